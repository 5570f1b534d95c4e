"""How a run over a folder shows: a bar with rate, time left and failures; a sentence for each failure, as it comes."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, ProgressColumn, Task, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.text import Text

from unetlift.batch.manifest import FAILED
from unetlift.batch.run import Show
from unetlift.batch.work import Outcome


class Rate(ProgressColumn):
    """Pictures a second."""

    def render(self, task: Task) -> Text:
        """Of the last pictures."""
        return Text(f"{task.speed:.1f} pictures/s" if task.speed else "")


@contextmanager
def shown() -> Iterator[Show]:
    """A bar where there is a terminal; failures go to stderr, what there is to say of an answer to stdout."""
    failures = TextColumn("{task.fields[failures]}", style="red")
    columns = BarColumn(), MofNCompleteColumn(), Rate(), TimeElapsedColumn(), TimeRemainingColumn(), failures
    with Progress(*columns, console=Console(stderr=True), transient=True, disable=not sys.stderr.isatty()) as bar:
        task = bar.add_task("", total=None, failures="")
        failed = 0

        def tell(outcome: Outcome) -> None:
            nonlocal failed
            record = outcome.record
            if record.status == FAILED:
                failed += 1
                print(f"unetlift: {_printable(str(record.error))}", file=sys.stderr, flush=True)
            for note in () if outcome.skipped else record.notes:
                print(f"{_printable(record.file)}: {note}", flush=True)
            bar.update(task, advance=1, failures=f"{failed} failed" if failed else "")

        yield Show(lambda total: bar.update(task, total=total), tell, lambda sentence: print(sentence, file=sys.stderr, flush=True))


def _printable(text: str) -> str:
    """Names may hold line breaks, control characters and bytes that are no text; a terminal is to get none of them."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape", "backslashreplace").decode() for c in text)
