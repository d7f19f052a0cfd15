"""Where data that the package makes are kept."""

import os
from pathlib import Path


def cache_folder() -> Path:
    """Folder of generated data: `$XDG_CACHE_HOME/fokker` or `~/.cache/fokker`."""
    base = os.environ.get("XDG_CACHE_HOME")
    return (Path(base) if base else Path.home() / ".cache") / "fokker"
