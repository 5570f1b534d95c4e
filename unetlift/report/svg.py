"""Matplotlib's figures as part of a page, in its colours."""

import re
from hashlib import sha256
from io import StringIO
from xml.etree import ElementTree
from xml.etree.ElementTree import Element

from matplotlib.figure import Figure

INK, LINE, FIRST, SECOND = "#01fe01", "#01fe02", "#01fe03", "#01fe04"
SERIES = ("#01fe11", "#01fe12", "#01fe13", "#01fe14", "#01fe15", "#01fe16")
VARIABLES = {INK: "var(--soft)", LINE: "var(--line)", FIRST: "var(--first)", SECOND: "var(--second)"}
VARIABLES |= {colour: f"var(--series-{number})" for number, colour in enumerate(SERIES, 1)}
"""Matplotlib knows no variables of a style sheet; these colours stand for them."""

STYLE = {
    "svg.fonttype": "none",
    "svg.hashsalt": "unetlift",
    "font.size": 9,
    "axes.titlesize": 10,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.formatter.useoffset": False,
    "grid.linewidth": 0.6,
    "grid.color": LINE,
    **dict.fromkeys(("text.color", "axes.labelcolor", "axes.edgecolor", "xtick.color", "ytick.color"), INK),
}
"""To be in force while such a figure is made."""


def inline(drawing: Figure, words: str) -> Element:
    """A figure as an `svg` that stands within a page, with what it shows in words."""
    stored = StringIO()
    drawing.savefig(stored, format="svg", transparent=True, metadata=dict.fromkeys(("Date", "Creator", "Format", "Type")))
    text = stored.getvalue()
    text = text[text.index("<svg") :].replace("xlink:href", "href")
    for pattern in (r' xmlns(:xlink)?="[^"]*"', r"<style.*?</style>", r"font-family: [^;\"]*;? ?", r' (width|height)="[\d.]+pt"'):
        text = re.sub(pattern, "", text, flags=re.S)
    for colour, variable in VARIABLES.items():
        text = text.replace(colour, variable)
    svg = ElementTree.fromstring(_named_apart(text, words))  # noqa: S314 - Matplotlib wrote it just now
    svg.attrib |= {"role": "img", "aria-label": words}
    return svg


def _named_apart(text: str, words: str) -> str:
    """Names that nothing refers to are taken away, and the others are made this figure's own: a page may hold many figures."""
    own = f"f{sha256((words + text).encode()).hexdigest()[:8]}-"
    used = set(re.findall(r'(?:href="#|url\(#)([^")]+)', text))
    text = re.sub(r' id="([^"]*)"', lambda found: f' id="{own}{found[1]}"' if found[1] in used else "", text)
    return re.sub(r'(href="#|url\(#)', rf"\g<1>{own}", text)
