"""How the events of the tabs that take files are called: nothing of Gradio's own before them, taking and answering apart."""

from typing import Any

PRIVATE = {"api_visibility": "private", "show_progress": "hidden", "preprocess": False, "trigger_mode": "multiple"}


def taking(tab: str) -> dict[str, Any]:
    """What is done at once. Unprocessed: Gradio would make an empty file for each upload and never remove it."""
    return {**PRIVATE, "concurrency_id": f"{tab}-take", "concurrency_limit": 4}


def answering(tab: str) -> dict[str, Any]:
    """What takes its time: one after the other."""
    return {**PRIVATE, "concurrency_id": tab, "concurrency_limit": 1}
