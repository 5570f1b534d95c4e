"""What people look at afterwards: stability side by side, and a training's page, pictures and model card."""

from unetlift.report.cases import draw_case
from unetlift.report.stability import PLOT, About, Case, Subject, as_json, conditions, decibels, markdown, plot, tables, write

__all__ = ["PLOT", "About", "Case", "Subject", "as_json", "conditions", "decibels", "draw_case", "markdown", "plot", "tables", "write"]
