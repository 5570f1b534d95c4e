"""The card of a trained network: README.md of its folder, as model hubs read it."""

import yaml

from unetlift.report.outcome import Outcome, figure, word
from unetlift.report.stability import conditions, decibels


def card(outcome: Outcome) -> str:
    """Markdown, with what hubs search for in front of it."""
    front = yaml.safe_dump(_front(outcome), sort_keys=False, allow_unicode=True)
    parts = [f"# {outcome.network.variant}", _about(outcome), _meaning(outcome), _load(), *_scores(outcome), *_stability(outcome)]
    parts += [_training(outcome), *_limits(outcome)]
    return f"---\n{front}---\n\n" + "\n\n".join(parts) + "\n"


def _front(outcome: Outcome) -> dict:
    task = "image-segmentation" if outcome.info.answers == "labels" else "image-to-image"
    return {"library_name": "unetlift", "pipeline_tag": task, "tags": ["pytorch", "u-net", outcome.network.variant]}


def _about(outcome: Outcome) -> str:
    return (
        f"A U-Net that was trained with unetlift to {outcome.purpose}, on the folder `{_code(outcome.data)}`. "
        f"It is the best of {len(outcome.epochs)} epochs by validation {word(outcome.score)}, that of epoch {outcome.best_epoch}."
    )


def _meaning(outcome: Outcome) -> str:
    info, network = outcome.info, outcome.network
    lines = [
        f"- Input: {network.in_channels} channels, scaled to 0..1, less a mean of {_numbers(info.mean)}, divided by {_numbers(info.std)}; "
        f"any height and width (multiples of {network.stride} divide evenly on every level).",
    ]
    if info.answers == "labels":
        lines.append(f"- Output: logits of {len(info.class_names)} classes: {', '.join(f'`{_code(name)}`' for name in info.class_names)}.")
    else:
        added = " to be added to the input" if info.residual else ""
        lines.append(
            f"- Output: a picture of {network.classes} channels{added}; `unetlift.predict.load_predictor(folder)` gives it in 0..1."
        )
    return "\n".join(["## Input and output", "", *lines])


def _load() -> str:
    return (
        "## Use\n\n```python\nimport unetlift\n\nmodel = unetlift.from_pretrained(folder)  # where this file is\n```\n\n"
        "Pictures of a folder: `unetlift predict --model FOLDER --input PICTURES --output ANSWERS`."
    )


def _scores(outcome: Outcome) -> list[str]:
    if not outcome.scores:
        return []
    splits = outcome.scores
    first = next(iter(splits.values()))
    heads = ["", *(f"{split} ({scores.pictures} pictures)" for split, scores in splits.items())]
    rows = [[word(name), *(figure(name, scores.means[name]) for scores in splits.values())] for name in first.means]
    rows += [[f"IoU of `{_code(name)}`", *(figure("iou", scores.iou[name]) for scores in splits.values())] for name in first.iou]
    return ["## Scores", _table(heads, rows)]


def _stability(outcome: Outcome) -> list[str]:
    if not outcome.stability:
        return []
    rows = [[mode, decibels(report.mean), decibels(report.worst), conditions(report)] for mode, report in outcome.stability.items()]
    told = "PSNR between the answer to a moved picture, moved back, and the answer to the picture as it was; R is the answer's range."
    return ["## Shift stability", told, _table(["mode", "mean dB", "worst dB", "measured"], rows, words=(0, 3))]


def _training(outcome: Outcome) -> str:
    counts = ", ".join(f"{count} in {split}" for split, count in outcome.pictures.items())
    told = f"Pictures: {counts}. Settings that are not the usual ones, as flags of `unetlift train`; the run's `config.yaml` has all."
    other = [(f"--{name.replace('_', '-')}", value, usual) for name, value, usual in outcome.settings if value != usual]
    rows = [[f"`{_code(text)}`" if text else "" for text in row] for row in other]
    return f"## Training\n\n{told}\n\n{_table(['setting', 'value', 'usual'], rows, words=(0, 1, 2))}"


def _limits(outcome: Outcome) -> list[str]:
    return ["## Not measured\n\n" + "\n".join(f"- {note}" for note in outcome.notes)] if outcome.notes else []


def _table(heads: list[str], rows: list[list[str]], words: tuple[int, ...] = (0,)) -> str:
    rule = ["---" if column in words else "---:" for column in range(len(heads))]
    return "\n".join(f"| {' | '.join(row)} |" for row in (heads, rule, *rows))


def _numbers(value: float | tuple[float, ...]) -> str:
    return ", ".join(f"{number:g}" for number in value) if isinstance(value, tuple) else f"{value:g}"


def _code(text: str) -> str:
    """Words of others', such as they stand within backticks in a table."""
    return " ".join(text.replace("`", "'").replace("|", "\\|").split())
