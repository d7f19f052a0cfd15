"""Command line: every command is a function of `fokker.workflow` with a display."""

from .app import app, main

__all__ = ["app", "main"]
