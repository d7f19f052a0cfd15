"""Figures and one HTML page a run, made from saved results only."""

from .page import write_report
from .plots import gather

__all__ = ["gather", "write_report"]
