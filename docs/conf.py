"""Sphinx configuration: `make docs` builds the site, warnings are errors."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent / "_ext"))

from sphinx.application import Sphinx

from fokker import __version__

project = "fokker"
author = "the fokker authors"
version = release = __version__

extensions = [
    "myst_parser",
    "sphinx.ext.autodoc",
    "sphinx.ext.napoleon",
    "sphinx.ext.viewcode",
    "docstrings",
    "mathml",
    "packages",
    "reference",
]
exclude_patterns = ["_build", "_ext"]
default_role = "code"
smartquotes = False

myst_enable_extensions = ["dollarmath", "colon_fence", "deflist", "attrs_inline"]
myst_heading_anchors = 3

autodoc_member_order = "bysource"
autodoc_typehints = "signature"
autodoc_preserve_defaults = True
autodoc_mock_imports = ["openmm", "openmmml"]
autodoc_default_options = {
    "members": True,
    "show-inheritance": True,
    "exclude-members": "model_config",
}
napoleon_numpy_docstring = True
napoleon_google_docstring = False
napoleon_use_rtype = False
napoleon_use_ivar = True
napoleon_attr_annotations = False

html_theme = "furo"
html_title = f"fokker {version}"
html_copy_source = False
html_show_sphinx = False
templates_path = []
html_static_path = ["_static"]
html_css_files = ["fokker.css"]
viewcode_line_numbers = True


def titled(app: Sphinx, name: str, source: list[str]) -> None:
    """Give a table of results without a heading the name of its file as one."""
    if name.startswith("results/") and not source[0].startswith("# "):
        source[0] = f"# {name.removeprefix('results/')}\n\n{source[0]}"


def setup(app: Sphinx) -> None:
    """Called by Sphinx."""
    app.connect("source-read", titled)
