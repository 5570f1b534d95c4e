"""HTML as a tree, in which whatever is text stays text."""

import base64
from collections.abc import Sequence
from io import BytesIO
from xml.etree import ElementTree
from xml.etree.ElementTree import Element

from unetlift import images
from unetlift.report.tiles import Pixels

Child = Element | str


def tag(name: str, /, *children: Child, **attributes: str) -> Element:
    """An element with what is in it, in order; an attribute that Python has a word for ends in _."""
    element = Element(name, {key.rstrip("_").replace("_", "-"): value for key, value in attributes.items()})
    last = None
    for child in children:
        if isinstance(child, Element):
            element.append(last := child)
        elif last is None:
            element.text = (element.text or "") + child
        else:
            last.tail = (last.tail or "") + child
    return element


def table(caption: str, heads: list[str], rows: list[list[Child]], words: int = 1) -> Element:
    """A table with a head for each column, and one for each row in its first cell.

    Args:
        caption: what it shows.
        heads: of the columns.
        rows: cells; a `td` of its own is taken as it is.
        words: how many of the first columns hold words, the others numbers.
    """

    def cell(column: int, child: Child) -> Element:
        if isinstance(child, Element) and child.tag == "td":
            return child
        name, attributes = ("th", {"scope": "row"}) if column == 0 else ("td", {})
        return tag(name, child, **attributes, class_="words" if column < words else "number")

    head = [tag("th", text, scope="col", class_="words" if column < words else "number") for column, text in enumerate(heads)]
    body = [tag("tr", *(cell(column, child) for column, child in enumerate(row))) for row in rows]
    drawn = tag("table", tag("caption", caption), tag("thead", tag("tr", *head)), tag("tbody", *body))
    return tag("div", drawn, class_="wide", tabindex="0", role="region", aria_label=caption)


def picture(pixels: Pixels, words: str) -> Element:
    """A picture that is part of the page, and what it shows in words."""
    stored = BytesIO()
    images.write_picture(stored, pixels)
    height, width = pixels.shape[:2]
    source = f"data:image/png;base64,{base64.b64encode(stored.getvalue()).decode()}"
    return tag("img", src=source, alt=words, width=str(width), height=str(height))


def animation(frames: Sequence[Pixels], milliseconds: int, words: str) -> Element:
    """Pictures in turn, and what they show in words; to readers who want no motion the first alone."""
    moving = BytesIO()
    images.write_animation(moving, frames, milliseconds)
    still = picture(frames[0], words).get("src")
    height, width = frames[0].shape[:2]
    source = f"data:image/webp;base64,{base64.b64encode(moving.getvalue()).decode()}"
    drawn = tag("img", src=source, alt=words, width=str(width), height=str(height))
    return tag("picture", tag("source", media="(prefers-reduced-motion: reduce)", srcset=still), drawn)


def page(title: str, style: str, *children: Child) -> str:
    """A whole document in English."""
    head = tag(
        "head",
        tag("meta", charset="utf-8"),
        tag("meta", name="viewport", content="width=device-width, initial-scale=1"),
        tag("meta", name="color-scheme", content="light dark"),
        tag("title", title),
        tag("style", style),
    )
    html = tag("html", head, tag("body", tag("main", *children)), lang="en")
    return f"<!doctype html>\n{ElementTree.tostring(html, encoding='unicode', method='html')}\n"
