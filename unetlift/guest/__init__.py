"""A stranger's model, measured in a process of its own: nothing in it reaches the process that serves others."""

from unetlift.guest.process import heard

__all__ = ["heard"]
