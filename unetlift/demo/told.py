"""How far a visitor's computation is, and what went wrong with it, in words that are read out too."""

from html import escape

CSS = """
.told-status { display: flex; flex-wrap: wrap; gap: 4px 12px; align-items: center; }
.told-status progress { width: min(260px, 100%); accent-color: #0b7a75; } .told-status p { font-size: 13px; color: var(--soft); }
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
