"""What people look at afterwards: stability side by side, and a training's page, pictures and model card."""

from unetlift.report.stability import Subject, as_json, conditions, decibels, markdown, plot, tables, write

__all__ = ["Subject", "as_json", "conditions", "decibels", "markdown", "plot", "tables", "write"]
