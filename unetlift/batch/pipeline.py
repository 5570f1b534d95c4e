"""Several pictures at a time, each in a thread of its own: while one waits for the network, another is read or written."""

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from queue import Queue
from signal import SIGINT, SIGTERM, Signals, getsignal, signal
from threading import Lock, Thread, current_thread, main_thread

from unetlift.batch.work import Item, Outcome
from unetlift.errors import Stopped

Answer = Callable[[Item], Outcome]


class _Over:
    """What a worker says when it has no more to do, or cannot go on."""

    def __init__(self, error: BaseException | None = None):
        self.error = error


def outcomes(items: Iterable[Item], answer: Answer, workers: int) -> Iterator[Outcome]:
    """Answers items, each taken only once a worker is free; yields what became of them as it is known.

    Where a worker cannot go on, the others finish the picture they have, and then its error is raised. The same
    happens when the iteration is left early.

    Args:
        items: may come slowly, and without end.
        answer: of one item; called in several threads.
        workers: how many.
    """
    source, taking, said, leaving = iter(items), Lock(), Queue[Outcome | _Over](), []

    def work() -> None:
        try:
            while True:
                with taking:
                    item = None if leaving else next(source, None)
                if item is None:
                    break
                said.put(answer(item))
        except BaseException as error:  # whatever it is, it has to reach the caller's thread
            leaving.append(error)
            said.put(_Over(error))
        else:
            said.put(_Over())

    threads = [Thread(target=work, name=f"picture {number}", daemon=True) for number in range(workers)]
    for thread in threads:
        thread.start()
    errors, running = [], workers
    try:
        while running:
            heard = said.get()
            if isinstance(heard, Outcome):
                yield heard
            else:
                running -= 1
                errors += [heard.error] if heard.error else []
    finally:
        leaving.append(None)
        for thread in threads:
            thread.join()
    if errors:
        raise errors[0]


@contextmanager
def told_to_stop(stop: Callable[[Stopped], None]) -> Iterator[None]:
    """Calls `stop` when the process gets SIGINT or SIGTERM; the second one ends it as ever."""
    if current_thread() is not main_thread():
        yield  # signals reach the main thread alone
        return
    before = {number: getsignal(number) for number in (SIGINT, SIGTERM)}

    def handle(number: int, _: object) -> None:
        for each, handler in before.items():
            signal(each, handler)
        stop(Stopped(f"Stopped by {Signals(number).name}; what was being written is complete. Run it again to go on.", 128 + number))

    for number in before:
        signal(number, handle)
    try:
        yield
    finally:
        for number, handler in before.items():
            signal(number, handler)
