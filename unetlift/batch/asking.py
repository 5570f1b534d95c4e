"""One thread runs the networks while others read and write: questions of one shape, from whatever file, make a batch."""

from collections.abc import Callable
from concurrent.futures import Future
from threading import Condition, Thread
from typing import NamedTuple

import torch

from unetlift.errors import Stopped
from unetlift.runtime import is_out_of_memory
from unetlift.types import Map


class Question(NamedTuple):
    """A network's input (1, C, H, W), and where its answer goes."""

    function: Callable[[Map], Map]
    x: Map
    answer: Future


class Asking:
    """Answers questions in order, up to `batch` of one function and shape at a time; use it as a context manager.

    A batch that is not full is filled up with zeros, so that no answer depends on which others came along: networks
    sum in another order at another batch size.

    Args:
        batch: questions at a time; where memory does not hold them it is halved.
        halved: called with the new size when that has happened.
    """

    def __init__(self, batch: int, halved: Callable[[int], None]):
        self.batch, self._halved = batch, halved
        self._waiting: list[Question] = []
        self._changed = Condition()
        self._stopped: Stopped | None = None
        self._thread = Thread(target=self._run, name="networks", daemon=True)

    def __enter__(self) -> "Asking":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop(Stopped("The run is over.", 1))
        self._thread.join()

    def submit(self, function: Callable[[Map], Map], x: Map) -> Future:
        """Hands over a question; its answer, or its error, is the future's.

        Raises:
            Stopped: nothing is answered any more.
        """
        question = Question(function, x, Future())
        with self._changed:
            if self._stopped:
                raise self._stopped
            self._waiting.append(question)
            self._changed.notify()
        return question.answer

    def stop(self, why: Stopped) -> None:
        """Answers nothing any more; whoever waits, or asks, is told why."""
        with self._changed:
            self._stopped = self._stopped or why
            while self._waiting:
                self._waiting.pop().answer.set_exception(self._stopped)
            self._changed.notify()

    @property
    def stopped(self) -> Stopped | None:
        """Why nothing is answered any more."""
        return self._stopped

    def _run(self) -> None:
        while self._turn():  # in a call of its own, since an error keeps all that it has met in memory as long as it is known
            pass

    def _turn(self) -> bool:
        questions = self._next()
        try:
            answers = self._ask(questions) if questions else []
        except Exception as error:  # whoever asked has to know, whatever it is
            for question in questions:
                question.answer.set_exception(error)
        else:
            for question, answer in zip(questions, answers, strict=True):
                question.answer.set_result(answer)
        return bool(questions)

    def _next(self) -> list[Question]:
        """The oldest question with the others of its kind; none once stopped."""
        with self._changed:
            self._changed.wait_for(lambda: self._waiting or self._stopped)
            if self._stopped:
                return []
            first, alike, others = self._waiting[0], [], []
            for question in self._waiting:
                fits = question.function == first.function and question.x.shape == first.x.shape and len(alike) < self.batch
                (alike if fits else others).append(question)
            self._waiting = others
            return alike

    def _ask(self, questions: list[Question]) -> list[Map]:
        function, x = questions[0].function, questions[0].x
        answers: list[Map] = []
        while len(answers) < len(questions):
            rest = questions[len(answers) :][: self.batch]
            filling = [torch.zeros_like(x)] * (self.batch - len(rest))
            try:
                answers += function(torch.cat([q.x for q in rest] + filling)).split(1)[: len(rest)]
            except RuntimeError as error:
                if not is_out_of_memory(error) or self.batch == 1:
                    raise
                self.batch //= 2
                self._halved(self.batch)
        return answers
