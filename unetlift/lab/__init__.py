"""Measures how still anybody's models hold, side by side, and writes the report."""

from unetlift.lab.run import Result, Show, run

__all__ = ["Result", "Show", "run"]
