"""A stability report on one page: an HTML file that needs nothing but itself."""

from collections.abc import Sequence
from xml.etree.ElementTree import Element

from unetlift.report import heatmaps, stability_plots
from unetlift.report.markup import Child, animation, page, picture, table, tag
from unetlift.report.stability_cells import classes, comparisons, described, prices, summary
from unetlift.report.style import CSS, STABILITY
from unetlift.report.subject import About, Case, Subject, conditions, count, decibels, titles

FLICKER = 500
"""Milliseconds of a frame: one change and back a second, which is well below what could harm anybody."""


def html(subjects: Sequence[Subject], cases: Sequence[Case] = (), about: About | None = None) -> str:
    """The page.

    Args:
        subjects: what was measured, under the same modes; the others are compared with the first.
        cases: comparisons to look at, the worst first.
        about: the circumstances.
    """
    modes = list(subjects[0].reports)
    sections = [*(_mode(subjects, mode) for mode in modes), _price(subjects), _layers(subjects), _cases(cases), _about(about)]
    return page(_title(subjects), CSS + STABILITY, *_head(subjects, modes), *(child for section in sections for child in section))


def _title(subjects: Sequence[Subject]) -> str:
    names = titles(subjects)
    return f"Shift stability of {names[0]}" if len(names) == 1 else f"Shift stability of {len(names)} networks"


def _head(subjects: Sequence[Subject], modes: Sequence[str]) -> list[Element]:
    lead = (
        "How little an answer changes, other than by moving, when its picture moves: the answer to the moved picture is moved back and "
        "compared with the answer to the picture as it was. Higher is better; the worst case counts beside the mean."
    )
    reports = [(mode, subjects[0].reports[mode]) for mode in modes]
    facts = [("networks", f"{len(subjects)}")]
    seen = dict(("frames", len(r.names)) if r.mode == "video" else ("pictures", count(r)) for _, r in reports)
    facts += [(name, f"{number:,}") for name, number in seen.items()]
    facts += [("comparisons", f"{sum(len(report.records) for s in subjects for report in s.reports.values()):,}")]
    for mode, _ in reports:
        best = max(subject.reports[mode].mean for subject in subjects)
        facts.append((f"{'best mean' if len(subjects) > 1 else 'mean'} under {mode}", f"{decibels(best)} dB"))
    return [
        tag("h1", _title(subjects)),
        tag("p", lead, class_="lead"),
        tag("dl", *(tag("div", tag("dt", name), tag("dd", value)) for name, value in facts), class_="facts"),
        tag("h2", "What was measured, and how"),
        described(subjects),
        *(tag("p", tag("strong", mode), f": {conditions(report)}", class_="note") for mode, report in reports),
    ]


def _mode(subjects: Sequence[Subject], mode: str) -> list[Element]:
    drawn = [tag("h2", f"Under {mode}"), *summary(subjects, mode), _plot(subjects, mode)]
    if len(subjects) > 1:
        drawn += comparisons(subjects, mode)
    maps = heatmaps.grids(subjects, mode)
    if maps:
        told = "Mean shift PSNR for every shift, down by rows and across by columns; brighter is more stable."
        drawn += [tag("h3", "Every shift of the square"), tag("p", told, class_="lead"), *maps]
    return [*drawn, *classes(subjects, mode)]


def _plot(subjects: Sequence[Subject], mode: str) -> Element:
    first = subjects[0].reports[mode]
    if first.mode == "video":
        cuts = ", dashed where the clip is cut" if stability_plots.cuts(first) else ""
        words = f"Frame by frame{cuts}. The dotted grey line is the PSNR of the frames themselves along the same motion."
        drawing = stability_plots.over_time(subjects, mode)
    else:
        band = "; the bands are 95 % intervals of the mean over such pictures" if count(first) > 1 else ""
        words = f"Left: the mean of all pictures by distance{band}. Right: the mean of each picture, and of all as a bar."
        drawing = stability_plots.against_shift(subjects, mode)
    plot = tag("div", drawing, class_="wide", tabindex="0", role="region", aria_label=f"PSNR under {mode}")
    return tag("figure", _legend(subjects), plot, tag("figcaption", words))


def _legend(subjects: Sequence[Subject]) -> Element:
    chips = [tag("i", style=f"background: var(--series-{number % 6 + 1})", aria_hidden="true") for number in range(len(subjects))]
    items = [tag("li", chip, f"{number} {title}") for number, (chip, title) in enumerate(zip(chips, titles(subjects), strict=True), 1)]
    return tag("ul", *items, class_="legend", aria_label="Networks")


def _price(subjects: Sequence[Subject]) -> list[Element]:
    return [tag("h2", "Price of an answer"), *prices(subjects)] if any(subject.seconds for subject in subjects) else []


def _layers(subjects: Sequence[Subject]) -> list[Element]:
    drawn = heatmaps.layers(subjects)
    told = "How far each layer's features are from moving with the picture: mean cosine distance by shift; brighter is more stable."
    return [tag("h2", "Inside the network"), tag("p", told, class_="lead"), *drawn] if drawn else []


def _cases(cases: Sequence[Case]) -> list[Element]:
    if not cases:
        return []
    told = "The comparisons of lowest PSNR. What cannot be compared is grey."
    return [tag("h2", "Worst cases"), tag("p", told, class_="lead"), *(_case(case) for case in cases)]


def _case(case: Case) -> Element:
    shown = [tag("div", tag("span", name), picture(pixels, f"{case.name}: {name}")) for name, pixels in case.pictures.items()]
    move = f"moved by ({case.record.dy:g}, {case.record.dx:g}) under {case.mode}"
    caption = tag("figcaption", tag("strong", case.subject), f", {case.name}, {move}: {decibels(case.record.psnr)} dB")
    if case.frames:
        words = f"{case.name}: {case.subject}'s answers before and after the move, in turn"
        shown.append(tag("details", tag("summary", "Flicker"), animation(case.frames, FLICKER, words)))
    return tag("figure", caption, *shown, class_="case")


def _about(about: About | None) -> list[Element]:
    if about is None:
        return []
    rows: list[list[Child]] = [["date", about.date], ["seed", f"{about.seed}"], *([name, value] for name, value in about.versions.items())]
    drawn = table("Circumstances", ["", ""], [row for row in rows if row[1]], words=2)
    again = [tag("p", "The same again: ", tag("code", about.command))] if about.command else []
    return [tag("h2", "To measure it again"), *again, drawn]
