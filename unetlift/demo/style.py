"""Theme and style sheet: local fonts alone, the page's own colours for light and dark."""

import gradio as gr

FONTS = ["system-ui", "Segoe UI", "Roboto", "Helvetica", "DejaVu Sans", "sans-serif"]
MONO = ["ui-monospace", "Consolas", "DejaVu Sans Mono", "monospace"]


def theme() -> gr.themes.Base:
    """Plain names make Gradio emit no font address at all: nothing is fetched, not even from this server."""
    theme = gr.themes.Default(primary_hue="teal", neutral_hue="slate", radius_size="sm", spacing_size="sm", font=FONTS, font_mono=MONO)
    # Gradio's own greys and teals have about half the contrast that controls and their words need.
    return theme.set(
        checkbox_border_color="*neutral_500",
        checkbox_border_color_dark="*neutral_400",
        body_text_color_subdued="*neutral_500",
        button_primary_background_fill="*primary_700",
        button_primary_background_fill_dark="*primary_700",
        button_primary_background_fill_hover="*primary_800",
        button_primary_background_fill_hover_dark="*primary_800",
    )


CSS = """
.gradio-container { --soft: color-mix(in srgb, var(--body-text-color) 76%, var(--body-background-fill));
  --line: color-mix(in srgb, var(--body-text-color) 18%, var(--body-background-fill)); }
.gradio-container .main { padding: 14px 22px 28px !important; margin: 0 auto !important;
  max-width: clamp(1280px, calc(166.7vh - 37px), 1720px) !important; }  /* as wide as lets two pictures a column fit the screen */
.gradio-container main, .gradio-container .html-container { padding: 0 !important; }
.gradio-container figure { margin: 0; }
.gradio-container p { margin: 0; }
.gradio-container :is(button, input, [tabindex]):focus-visible { outline: 2px solid var(--color-accent); outline-offset: 2px; }

#title h1 { font-size: 22px; line-height: 1.25; margin: 0; letter-spacing: -.01em; }
#tabs { gap: 4px; }
#tabs [role=tabpanel] { padding: 0; }
#tabs [role=tab][aria-selected=true] { color: #0f766e; } .dark #tabs [role=tab][aria-selected=true] { color: #2dd4bf; }
.introduction p { font-size: 13.5px; line-height: 1.45; color: var(--soft); }
.introduction b { color: var(--body-text-color); font-weight: 600; }
#mode-words p { font-size: 12.5px; line-height: 1.4; color: var(--soft); }
#mode-words p + p { margin-top: 3px; }
#mode-words b { color: var(--body-text-color); font-weight: 600; }

#side, #stage { gap: 10px; }
#side .wrap label, #choices .wrap label { padding: 4px 9px; }
#side .wrap, #choices .wrap { gap: 6px; }
#choices { gap: 10px; align-items: stretch; }
#own, #drift .row, #drift { gap: 8px; }
#choices > .form { padding: 0; }
#gain { padding: 8px 12px; }
.sight { display: grid; grid-template-columns: 1fr 1fr; gap: 8px; }
.sight figcaption { min-height: 32px; }
figure img { width: 100%; display: block; border-radius: 4px; background: #000; }
.marked { position: relative; }
.mark { position: absolute; width: 15px; height: 15px; transform: translate(-50%, -50%); filter: drop-shadow(0 0 1px #000);
        background: linear-gradient(#ff4fb0 0 0) center / 100% 2px no-repeat, linear-gradient(#ff4fb0 0 0) center / 2px 100% no-repeat; }
.sight .note { grid-column: 1 / -1; font-size: 12px; line-height: 1.35; font-weight: 600; }
.gradio-container figcaption { font-size: 11px; line-height: 1.3; padding-top: 2px; color: var(--soft); }

.variants { display: grid; grid-template-columns: repeat(var(--beside), minmax(0, 340px)); gap: 0 10px; }
.variant { --tone: var(--soft); display: grid; grid-row: span 6; grid-template-rows: subgrid; grid-template-columns: minmax(0, 1fr);
           row-gap: 4px; margin-bottom: 10px !important;
           border-style: solid; border-width: 5px 1px 1px; border-color: var(--tone) var(--line) var(--line);
           border-radius: 6px; padding: 7px 9px 8px; background: var(--background-fill-primary); }
.variant h2 { font-size: 15px; line-height: 1.2; margin: 0; overflow-wrap: anywhere; }
.variant .about { font-size: 11.5px; line-height: 1.3; color: var(--soft); }
.variant .psnr, .variant .psnr b, .variant .psnr small { color: var(--tone); line-height: 1.05; white-space: nowrap; }
.variant .psnr b { font-size: 38px; font-weight: 700; letter-spacing: -.03em; font-variant-numeric: tabular-nums; }
.variant .psnr small { font-size: 17px; font-weight: 600; letter-spacing: 0; }
.variant .agreement { font-size: 11.5px; line-height: 1.6; color: var(--soft); }
.variant .agreement b { color: var(--body-text-color); font-weight: 600; font-variant-numeric: tabular-nums; }
.variant:has(.without) { grid-row: span 7; }
.variant .without { font-size: 11.5px; line-height: 1.3; color: var(--soft); }
.variant .without b { color: var(--tone); font-weight: 600; font-variant-numeric: tabular-nums; }
.word { display: inline-block; padding: 0 6px; border-radius: 4px; font-weight: 600; white-space: nowrap;
        background: var(--tone); color: var(--background-fill-primary) !important; }
.nobody { padding: 40px 0; text-align: center; color: var(--soft); }

.pair .over { position: absolute; inset: 0; clip-path: inset(0 0 0 var(--pair, 50%)); }
.pair .bar { position: absolute; top: 0; bottom: 0; left: var(--pair, 50%); width: 2px; margin-left: -1px; background: #fff;
             box-shadow: 0 0 3px #000; pointer-events: none; }
.pair .bar::after { content: "\\2194"; position: absolute; top: 50%; left: 50%; width: 20px; height: 20px; transform: translate(-50%, -50%);
                    border-radius: 50%; background: #fff; color: #17202c; font: 13px/20px sans-serif; text-align: center; }
.pair input { position: absolute; inset: 0; width: 100%; height: 100%; margin: 0; opacity: 0; cursor: ew-resize; touch-action: pan-y; }
.pair:focus-within { outline: 2px solid var(--color-accent); outline-offset: 2px; border-radius: 4px; }
.gradio-container .ends { display: flex; justify-content: space-between; gap: 8px; }
.ends span:last-child { text-align: right; }

.jumps { --tone: #b3261e; } .wobbles { --tone: #945500; } .steady { --tone: #1f62a0; } .exact { --tone: #1b7237; }
.dark .jumps { --tone: #ff8a80; } .dark .wobbles { --tone: #ffb74d; } .dark .steady { --tone: #7cb8f2; } .dark .exact { --tone: #6fd08c; }
.gradio-container .key { font-size: 12px; line-height: 1.35; color: var(--soft); margin: 0 0 6px; padding: 0 !important; }
.gradio-container .key li { margin: 0 0 3px !important; padding: 0; list-style: none; line-height: 1.5; color: var(--soft); }
.key b { color: var(--body-text-color); font-weight: 600; }

#curve h2, #map h2 { font-size: 15px; margin: 8px 0 2px; }
#curve img.plot { width: 100%; max-width: 1150px; display: block; background: #fff; border-radius: 6px; }
.scroll { overflow-x: auto; }
#table table { border-collapse: collapse; border: 0; margin: 6px 0 0; width: auto;
               font-size: 13px; line-height: 1.5; font-variant-numeric: tabular-nums; }
#table caption { caption-side: bottom; text-align: left; font-size: 11px; color: var(--soft); padding-top: 3px; }
#table :is(th, td, tr, thead) { border: 0; background: none; }
#table :is(th, td) { padding: 3px 22px 3px 0; border-bottom: 1px solid var(--line); text-align: right; white-space: nowrap; }
#table th:first-child { text-align: left; font-weight: 600; }
#map-controls { gap: 10px; align-items: end; }
.maps { display: grid; grid-template-columns: repeat(var(--beside), minmax(0, 340px)); gap: 10px; }
.maps img { image-rendering: pixelated; }
.gradio-container .scale { display: flex; flex-wrap: wrap; align-items: center; gap: 8px; padding-top: 6px;
                           font-size: 12px; color: var(--soft); }
.scale img { width: 160px; height: 12px; border-radius: 3px; }
.scale i { width: 12px; height: 12px; border-radius: 3px; background: #1b7237; margin-left: 12px; }

.camera { border: 1px solid var(--line); border-radius: 8px; padding: 12px; background: var(--background-fill-primary); margin: auto; }
.camera::backdrop { background: #000a; }
.camera video { display: block; width: min(640px, 84vw); border-radius: 4px; background: #000; }
.camera form { display: flex; gap: 8px; padding-top: 10px; }
.camera button { padding: 6px 14px; border-radius: 4px; border: 1px solid var(--line); background: var(--button-secondary-background-fill);
                 color: var(--body-text-color); }
.camera button:disabled { opacity: 0.5; cursor: default; }

@media (min-width: 1001px) { #variants { flex: 1 1 480px; } #anchor { flex: 0 1 300px; } #gain { flex: 0 1 180px; } }
@media (max-width: 1000px) { .variants, .maps { grid-template-columns: repeat(auto-fill, minmax(150px, 1fr)); } }
@media (max-width: 640px) { .gradio-container .main { padding: 10px 12px 24px !important; }
  #side { display: contents; } #side > * { flex: 1 1 100%; } #stage { order: 1; } #key { order: 2; } }
"""
