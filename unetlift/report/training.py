"""A training on one page: an HTML file that needs nothing but itself."""

from xml.etree.ElementTree import Element

from unetlift.info import ModelInfo
from unetlift.report.curves import curves
from unetlift.report.markup import Child, page, picture, table, tag
from unetlift.report.outcome import Case, Outcome, figure, word
from unetlift.report.stability import conditions, decibels
from unetlift.report.style import CSS
from unetlift.report.tiles import ERROR_GAIN


def html(outcome: Outcome) -> str:
    """The page; what is measured is of the best network, in float32."""
    sections = [_scores(outcome), _curves(outcome), _confusion(outcome), _cases(outcome), _stability(outcome), _settings(outcome)]
    return page(_title(outcome), CSS, *_head(outcome), *(child for section in sections for child in section))


def _title(outcome: Outcome) -> str:
    return f"{outcome.network.variant}: {outcome.config.task} {outcome.data}"


def _head(outcome: Outcome) -> list[Element]:
    config, best = outcome.config, outcome.score
    counts = ", ".join(f"{count} {split}" for split, count in outcome.pictures.items())
    done = f"{len(outcome.epochs)} of {config.epochs} epochs; the network kept is that of epoch {outcome.best_epoch}."
    facts = [(f"{split}: {word(best)}", figure(best, scores.means[best])) for split, scores in outcome.scores.items()]
    facts += [(f"shift stability ({mode}), mean dB", decibels(report.mean)) for mode, report in outcome.stability.items()]
    return [
        tag("h1", _title(outcome)),
        tag("p", f"Trained to {outcome.purpose}, on {outcome.data} ({counts} pictures). {done}", class_="lead"),
        tag("dl", *(tag("div", tag("dt", name), tag("dd", value)) for name, value in facts), class_="facts"),
        *(tag("p", note, class_="note", role="note") for note in outcome.notes),
    ]


def _scores(outcome: Outcome) -> list[Element]:
    splits = outcome.scores
    if not splits:
        return []
    first = next(iter(splits.values()))
    heads = [f"{split} ({scores.pictures} pictures)" for split, scores in splits.items()]
    rows = [[word(name), *(figure(name, scores.means[name]) for scores in splits.values())] for name in first.means]
    tables = [table("Over all pictures of a split", ["score", *heads], rows)]
    if first.iou:
        classes = [[name, *(figure("iou", scores.iou[name]) for scores in splits.values())] for name in first.iou]
        tables.append(table("Intersection over union of each class", ["class", *heads], classes))
    return [tag("h2", "Scores"), tag("div", *tables, class_="tables")]


def _curves(outcome: Outcome) -> list[Element]:
    words = "After each epoch; the dotted line is the epoch of the network kept. All figures are in metrics.csv."
    drawing = tag("div", curves(outcome), class_="wide", tabindex="0", role="region", aria_label="Curves")
    return [tag("h2", "Training"), tag("figure", drawing, tag("figcaption", words))]


def _confusion(outcome: Outcome) -> list[Element]:
    if not outcome.confusion:
        return []
    names = outcome.info.class_names
    rows = [[name, *_shares(name, counts, names)] for name, counts in zip(names, outcome.confusion, strict=True)]
    caption = "Rows: what pixels of the validation are; columns: what they were answered with, in % of the row"
    drawn = table(caption, ["", *names], rows)
    drawn.set("class", "wide confusion")
    return [tag("h2", "Which classes are taken for which"), drawn]


def _shares(name: str, counts: list[int], names: tuple[str, ...]) -> list[Child]:
    total = sum(counts)
    if not total:
        return ["absent"] * len(counts)

    def cell(other: str, count: int) -> Element:
        share, words = count / total, f"{count} pixels, {name} as {other}"
        return tag("td", f"{100 * share:.1f}", class_="share", style=f"--share: {share:.4f}", title=words)

    return [cell(other, count) for other, count in zip(names, counts, strict=True)]


def _cases(outcome: Outcome) -> list[Element]:
    if not outcome.worst:
        return []
    error = "wrong pixels in red" if outcome.info.answers == "labels" else f"the absolute error times {ERROR_GAIN}"
    drawn = [tag("h2", "Worst and best of the validation"), tag("p", f"By {word(outcome.score)}; error: {error}.", class_="lead")]
    if outcome.info.answers == "labels":
        drawn.append(_legend(outcome.info))
    for title, cases in (("Worst", outcome.worst), ("Best", outcome.best)):
        drawn += [tag("h3", title), *(_case(case, outcome.score) for case in cases)]
    return drawn


def _legend(info: ModelInfo) -> Element:
    """The classes by their colours; the first is not tinted."""
    colours = ["transparent", *("#{:02x}{:02x}{:02x}".format(*colour) for colour in info.colours[1:])]
    names = [f"{info.class_names[0]} (not tinted)", *info.class_names[1:]]
    chips = [tag("i", style=f"background: {colour}", aria_hidden="true") for colour in colours]
    return tag("ul", *(tag("li", chip, name) for chip, name in zip(chips, names, strict=True)), class_="legend", aria_label="Classes")


def _case(case: Case, score: str) -> Element:
    shown = [tag("div", tag("span", name), picture(pixels, f"{case.name}: {name}")) for name, pixels in case.pictures.items()]
    caption = tag("figcaption", tag("strong", case.name), f": {word(score)} {figure(score, case.score)}")
    return tag("figure", caption, *shown, class_="case")


def _stability(outcome: Outcome) -> list[Element]:
    if not outcome.stability:
        return []
    labels = outcome.info.answers == "labels"
    heads = ["mode", "mean dB", "worst dB", *(["label agreement"] if labels else [])]
    rows: list[list[Child]] = [
        [mode, decibels(report.mean), decibels(report.worst), *([f"{100 * report.agreement:.2f} %"] if labels else [])]
        for mode, report in outcome.stability.items()
    ]
    words = [tag("p", tag("strong", mode), f": {conditions(report)}", class_="note") for mode, report in outcome.stability.items()]
    caption = "PSNR between the answer to a moved picture, moved back, and the answer to the picture as it was"
    return [tag("h2", "Shift stability"), table(caption, heads, rows), *words]


def _settings(outcome: Outcome) -> list[Element]:
    rows: list[list[Child]] = [[tag("code", name), tag("code", value), tag("code", usual)] for name, value, usual in outcome.settings]
    drawn = table("Those that are not the usual ones come first", ["setting", "value", "usual"], rows, words=3)
    for row, (_, value, usual) in zip(drawn.iter("tr"), [("", "", ""), *outcome.settings], strict=True):
        if value != usual:
            row.set("class", "other")
    again = tag("p", "The same again: ", tag("code", "unetlift train --config config.yaml --out ANOTHER"))
    return [tag("h2", "Settings"), again, tag("details", tag("summary", f"All {len(rows)} settings"), drawn)]
