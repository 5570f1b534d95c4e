"""How far a visitor's computation is, and what went wrong with it, in words that are read out too."""

from html import escape

CSS = """
.told-status { display: flex; flex-wrap: wrap; gap: 4px 12px; align-items: center; }
.gradio-container .told-status progress { appearance: none; width: min(260px, 100%); height: 10px; border-style: none;
  border-radius: 5px; overflow: hidden; background: var(--line); }
.told-status progress::-webkit-progress-bar { background: var(--line); }
.told-status progress::-webkit-progress-value { background: #0f766e; } .told-status progress::-moz-progress-bar { background: #0f766e; }
.dark .told-status progress::-webkit-progress-value { background: #2dd4bf; }
.dark .told-status progress::-moz-progress-bar { background: #2dd4bf; }
.told-status p { font-size: 13px; color: var(--soft); }
:is(#yours-status, #yours-result, #batch-status, #batch-result) > [data-testid=status-tracker] { display: none !important; }
.gradio-container .told-sentence { border-left: 4px solid #b3261e; padding: 8px 12px; border-radius: 4px; overflow-wrap: anywhere;
  background: var(--background-fill-secondary); }
"""


def status(done: int, count: int, words: str) -> str:
    """A bar and a sentence."""
    bar = f'<progress max="{max(count, 1)}" value="{done}" aria-hidden="true"></progress>'
    return f'<div class="told-status" role="status">{bar}<p>{escape(words)}</p></div>'


def sentence(words: str) -> str:
    """What went wrong."""
    return f'<p class="told-sentence" role="alert">{escape(words)}</p>'
