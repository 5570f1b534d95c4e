"""The tables of a stability report's page."""

from collections.abc import Callable, Sequence
from xml.etree.ElementTree import Element

from unetlift.report.markup import Child, table, tag
from unetlift.report.subject import LOW, Subject, beside, between, decibels, titles
from unetlift.stability import Paired


def percent(value: float) -> str:
    """A share for people; all is not said of what is nearly all."""
    return "100 %" if value == 1 else f"{min(100 * value, 99.99):.2f} %"


def _plain(value: float) -> str:
    return f"{value:.4f}"


def _short(value: float) -> str:
    return f"{value:.3g}"


FIGURES: dict[str, tuple[str, Callable[[float], str]]] = {
    "agreement": ("labels kept", percent),
    "miou": ("mIoU", _plain),
    "boundary_iou": ("boundary IoU", _plain),
    "ssim": ("SSIM", _plain),
    "max_error": ("max error", _short),
    "total_variation": ("total variation", _short),
    "decision": ("decision kept", percent),
    "score": ("score before", _plain),
    "decline": ("decline", _short),
    "flicker": ("flicker", _short),
    "scene": ("scene dB", decibels),
}
"""Heads and words for the means beside the PSNR."""

MEANINGS = {
    "miou": "mIoU and boundary IoU are between the two answers",
    "max_error": "max error is the mean of each comparison's largest",
    "total_variation": "total variation is that of the answer before the move",
    "decision": "a decision is kept if both answers hold the same classes",
    "decline": "score before is the answer's beside the truth, decline what the move takes from it: mIoU, or PSNR in dB for pictures",
    "flicker": "flicker is the mean change of the answers as a share of R, of labels the share that changed",
    "scene": "scene is the PSNR of the frames themselves along the same motion",
}


def described(subjects: Sequence[Subject]) -> Element:
    """What each is and where it came from."""
    rows: list[list[Child]] = []
    for title, subject in zip(titles(subjects), subjects, strict=True):
        prints = tag("code", subject.fingerprint) if subject.fingerprint else "unknown"
        rows.append([title, tag("code", subject.folder), subject.padding_mode or "unknown", subject.way, _kind(subject), prints])
    drawn = table("Networks and where they came from", ["network", "source", "padding", "anchor", "answers", "SHA-256"], rows, words=6)
    drawn.set("class", "wide sources")
    return drawn


def _kind(subject: Subject) -> str:
    return ", ".join(dict.fromkeys(found.kind for found in subject.reports.values()))


def summary(subjects: Sequence[Subject], mode: str) -> list[Element]:
    """A row for each: its PSNR, then its other figures, and what they mean."""
    heads = ["network", "mean dB", "95 % interval", "deviation", f"{LOW}th percentile", "worst dB"]
    rows: list[list[Child]] = []
    for title, subject in zip(titles(subjects), subjects, strict=True):
        report = subject.reports[mode]
        spread = [f"{report.deviation:.2f}", decibels(report.percentile(LOW)), decibels(report.worst)]
        rows.append([title, decibels(report.mean), between(subject.intervals[mode]), *spread])
    return [table(f"Shift PSNR in dB under {mode}", heads, rows), *_others(subjects, mode)]


def _others(subjects: Sequence[Subject], mode: str) -> list[Element]:
    found = [_means(subject, mode) for subject in subjects]
    known = [name for name in FIGURES if any(name in means for means in found)]
    if not known:
        return []
    cells = [[FIGURES[name][1](means[name]) if name in means else "-" for name in known] for means in found]
    rows: list[list[Child]] = [[title, *row] for title, row in zip(titles(subjects), cells, strict=True)]
    meant = [MEANINGS[name] for name in known if name in MEANINGS]
    note = [tag("p", f"{'; '.join(meant)}.", class_="note")] if meant else []
    return [table(f"Other figures under {mode}, as means over all comparisons", ["network", *(FIGURES[n][0] for n in known)], rows), *note]


def _means(subject: Subject, mode: str) -> dict[str, float]:
    means = dict(subject.reports[mode].means)
    return means if subject.labels else {name: value for name, value in means.items() if name != "agreement"}


def comparisons(subjects: Sequence[Subject], mode: str) -> list[Element]:
    """Every subject beside the first, picture by picture."""
    names, first = titles(subjects), subjects[0]
    each = "frames" if first.reports[mode].mode == "video" else "pictures"
    found = {title: beside(subject.reports[mode], first.reports[mode]) for title, subject in zip(names[1:], subjects[1:], strict=True)}
    rows = [[title, *_pair(pair, first.intervals[mode] is not None)] for title, (pair, _) in found.items()]
    heads = ["network", "difference in dB", "95 % interval", "p", f"{each} better"]
    told = "p is that of a sign-flip permutation test over the pictures: how often chance alone would differ as much."
    notes = [told] if first.intervals[mode] else []
    notes += [f"{title}: {why}" for title, (_, why) in found.items() if why]
    drawn = table(f"Mean shift PSNR less that of {names[0]}", heads, rows)
    return [tag("h3", f"Beside {names[0]}"), drawn, *(tag("p", note, class_="note") for note in notes)]


def _pair(pair: Paired | None, sure: bool) -> list[Child]:
    if pair is None:
        return ["-"] * 4
    bounds = pair.difference
    ends, p_value = (f"{bounds.low:+.2f}..{bounds.high:+.2f}", f"{pair.p_value:.4f}") if sure else ("-", "-")
    return [f"{bounds.mean:+.2f}", ends, p_value, f"{round(pair.larger * bounds.count)} of {bounds.count}"]


def classes(subjects: Sequence[Subject], mode: str) -> list[Element]:
    """IoU of each class between the two answers, where there are classes."""
    found = [{name: value for name, value in subject.reports[mode].means.items() if name.startswith("iou/")} for subject in subjects]
    names = list(dict.fromkeys(name for means in found for name in means))
    if not names:
        return []
    rows: list[list[Child]] = [[name[4:], *(_plain(means[name]) if name in means else "-" for means in found)] for name in names]
    drawn = table("IoU of each class between the answers before and after the move", ["class", *titles(subjects)], rows)
    return [tag("details", tag("summary", f"{len(names)} classes"), drawn)]


def prices(subjects: Sequence[Subject]) -> list[Element]:
    """What an answer costs."""
    heads = ["network", "network calls", "seconds", "times"]
    rows: list[list[Child]] = [[title, *s.price(subjects)[2:]] for title, s in zip(titles(subjects), subjects, strict=True)]
    told = "An answer's median seconds in this run, and how many times as long it takes as without anchor and spin"
    return [table(told, heads, rows)]
