"""Figures and one HTML page a run, made from saved results only."""

from .page import write_report
from .plots import gather
from .structures import Chains

__all__ = ["Chains", "gather", "write_report"]
