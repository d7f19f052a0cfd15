"""The paper's table as one resumable command: every method on one system, several seeds of each.

A cell is one method with one seed, and lies in a run folder of its own, `FOLDER/method-seed`.
"""

from .paper import ROWS
from .plan import Budget, Plan
from .run import run

__all__ = ["ROWS", "Budget", "Plan", "run"]
