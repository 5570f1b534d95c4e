"""What every tab does with a visitor's mistake: it is told in one sentence."""

from collections.abc import Callable
from functools import wraps
from html import escape
from typing import ParamSpec, TypeVar

import gradio as gr

from unetlift.errors import UnetliftError

Arguments, Answer = ParamSpec("Arguments"), TypeVar("Answer")


def in_one_sentence(function: Callable[Arguments, Answer]) -> Callable[Arguments, Answer]:
    """Shows what is wrong with a visitor's picture as one sentence; anything else stays a bug with a traceback in the log."""

    @wraps(function)
    def wrapped(*args: Arguments.args, **kwargs: Arguments.kwargs) -> Answer:
        try:
            return function(*args, **kwargs)
        except UnetliftError as error:
            # Gradio draws messages as HTML, and a file's name is its owner's to choose.
            raise gr.Error(escape(str(error), quote=False), title="That did not work", print_exception=False) from error

    return wrapped
