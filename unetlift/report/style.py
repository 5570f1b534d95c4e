"""The style sheet of the pages: the reader's own fonts, light and dark."""

CSS = """
:root { color-scheme: light dark; --paper: #fff; --ink: #1b1f24; --soft: #57606a; --line: #d8dee4; --raised: #f6f8fa;
        --first: #0072b2; --second: #c2520a; }
@media (prefers-color-scheme: dark) {
  :root { --paper: #14171b; --ink: #e6e9ed; --soft: #a3adb8; --line: #363d46; --raised: #1c2127; --first: #6cb8ee; --second: #f0a05a; }
}
* { box-sizing: border-box; }
body { margin: 0; background: var(--paper); color: var(--ink);
       font: 15px/1.5 system-ui, "Segoe UI", Roboto, Helvetica, "DejaVu Sans", sans-serif; }
main { max-width: 1120px; margin: 0 auto; padding: 32px 24px 64px; }
h1 { font-size: 28px; line-height: 1.2; margin: 0 0 4px; letter-spacing: -.015em; overflow-wrap: anywhere; }
h2 { font-size: 19px; line-height: 1.3; margin: 44px 0 10px; padding-top: 14px; border-top: 1px solid var(--line); }
h3 { font-size: 15px; margin: 22px 0 8px; }
p { margin: 0 0 10px; max-width: 78ch; }
.lead, caption, figcaption, .note { color: var(--soft); }
.facts { display: flex; flex-wrap: wrap; gap: 10px; margin: 20px 0 0; }
.facts div { flex: 1 1 150px; padding: 10px 14px 12px; background: var(--raised); border: 1px solid var(--line); border-radius: 6px; }
.facts dt { font-size: 13px; color: var(--soft); }
.facts dd { margin: 0; font-size: 25px; line-height: 1.25; font-weight: 600; letter-spacing: -.02em; font-variant-numeric: tabular-nums; }
.tables { display: flex; flex-wrap: wrap; gap: 20px 48px; align-items: flex-start; }
.wide { overflow-x: auto; max-width: 100%; }
table { min-width: min(100%, 360px); border-collapse: collapse; font-size: 14px; font-variant-numeric: tabular-nums; }
caption { text-align: left; font-size: 13px; padding-bottom: 6px; }
th, td { padding: 5px 14px 5px 0; border-bottom: 1px solid var(--line); vertical-align: baseline; }
th { font-weight: 600; text-align: left; } thead th { font-size: 13px; color: var(--soft); }
.number { text-align: right; white-space: nowrap; } td.words { overflow-wrap: anywhere; }
.confusion th, .confusion td { padding: 6px 10px; }
td.share { text-align: right; background: color-mix(in srgb, var(--first) calc(var(--share) * 45%), transparent); }
tr.other th, tr.other td { background: var(--raised); } tr.other th, tr.other td:first-child { padding-left: 8px; }
svg { display: block; width: 100%; height: auto; }
.legend { display: flex; flex-wrap: wrap; gap: 2px 18px; margin: 0; padding: 0; list-style: none; font-size: 13.5px; }
.legend i { display: inline-block; width: 12px; height: 12px; margin-right: 6px; vertical-align: -1px; border: 1px solid var(--soft); }
figure { margin: 0 0 18px; }
.case { display: grid; grid-template-columns: repeat(4, minmax(0, 1fr)); gap: 6px; align-items: start; }
.case div { min-width: 0; } .case span { display: block; font-size: 12px; line-height: 1.5; color: var(--soft); }
.case img { display: block; width: 100%; height: auto; max-height: 340px; object-fit: contain; object-position: 0 0; }
figcaption { grid-column: 1 / -1; font-size: 13.5px; overflow-wrap: anywhere; }
figcaption strong { color: var(--ink); font-weight: 600; }
details { margin-top: 8px; } summary { cursor: pointer; color: var(--first); }
details .wide { margin-top: 10px; }
code { font-family: ui-monospace, Consolas, "DejaVu Sans Mono", monospace; font-size: 13px; overflow-wrap: anywhere; }
:focus-visible { outline: 2px solid var(--first); outline-offset: 2px; }
@media (max-width: 640px) { main { padding: 20px 14px 40px; } .case { grid-template-columns: repeat(2, minmax(0, 1fr)); } }
@media print { details > * { display: block; } h2, figure, tr { break-inside: avoid; } }
"""

STABILITY = """
:root { --series-1: #0072b2; --series-2: #c2520a; --series-3: #00795b; --series-4: #a23b82; --series-5: #7d6608; --series-6: #4a5560; }
@media (prefers-color-scheme: dark) {
  :root { --series-1: #6cb8ee; --series-2: #f0a05a; --series-3: #4fc9a4; --series-4: #e391c8; --series-5: #d8c552; --series-6: #b4bec9; }
}
.wide + .wide { margin-top: 22px; } .wide + .note { margin-top: 10px; } .note + figure, .wide + figure { margin-top: 22px; }
table { min-width: min(100%, 620px); } thead th.number { white-space: normal; min-width: 5.2em; vertical-align: bottom; }
tbody th { overflow-wrap: break-word; min-width: 10em; max-width: 22em; }
.sources code { font-size: 11.5px; overflow-wrap: break-word; }
.sources td.words { min-width: 5em; overflow-wrap: break-word; } .sources td + td + td + td + td { min-width: 38em; }
.wide tbody th, .wide thead th:first-child { position: sticky; left: 0; background: var(--paper); }
.maps { display: grid; grid-template-columns: repeat(auto-fill, minmax(200px, 1fr)); gap: 18px 24px; }
.maps.small { grid-template-columns: repeat(auto-fill, minmax(112px, 1fr)); gap: 14px 16px; }
.maps figure { margin: 0; min-width: 0; max-width: 300px; display: flex; flex-direction: column; justify-content: space-between; }
.maps figcaption { line-height: 1.4; margin-bottom: 4px; } .maps figcaption > * { display: block; }
.small figcaption { font-size: 12px; }
.map { display: grid; grid-template-columns: 22px minmax(0, 1fr); gap: 2px 4px; font-size: 11px; color: var(--soft); }
.map img { display: block; width: 100%; height: auto; image-rendering: pixelated; border: 1px solid var(--line); }
.map b { font-weight: 400; } .map span { display: flex; justify-content: space-between; font-variant-numeric: tabular-nums; }
.map .down { flex-direction: column; text-align: right; } .map .across { grid-column: 2; }
.scale { display: flex; flex-wrap: wrap; gap: 6px 28px; align-items: center; margin-top: 12px; font-size: 13px; }
.scale .bar { display: inline-block; width: 180px; height: 12px; margin: 0 8px; vertical-align: -1px; border: 1px solid var(--line); }
.scale .chip { display: inline-block; width: 12px; height: 12px; margin-right: 6px; vertical-align: -1px; border: 1px solid var(--soft); }
.case { align-items: end; }
.case details { grid-column: 1 / -1; margin: 0; font-size: 13.5px; }
.case details img { margin-top: 6px; width: min(100%, 420px); max-height: none; image-rendering: pixelated; }
"""
