"""Type of the figures, and their way from matplotlib to SVG and PNG.

Figures are drawn in the colours of the light palette on a transparent ground. Inside the page the
text takes the colour of the text around it (`currentColor`) and each line the colour of a CSS
variable, so that one drawing serves light, dark and print.
"""

from __future__ import annotations

import base64
import io
import re
from collections.abc import Callable, Sequence
from html import escape
from typing import Any, NamedTuple, TypeAlias

import numpy as np

from .formats import power_of_ten
from .palette import DARK_GROUND, RULE, SERIES, SET_COLOURS, TEXT, dark_svg, darken

Figure: TypeAlias = Any
"""A `matplotlib.figure.Figure`; matplotlib is imported only when something is drawn."""

Axes: TypeAlias = Any
"""A `matplotlib.axes.Axes`."""

ENERGY_MAP = "viridis"
DIFFERENCE_MAP = "RdBu_r"
ONLY_DATA, ONLY_OTHER = "#a9afb6", "#6a3d9a"

SVG_LIMIT = 500_000
"""Bytes beyond which a figure is shown as a PNG."""

_GREEK = {"phi": "φ", "psi": "ψ", "chi": "χ", "omega": "ω", "theta": "θ"}

_VARIABLES = {
    TEXT: "currentColor",
    RULE: "var(--rule, #8b929b)",
    SET_COLOURS["data"]: "var(--set-data, #3f464e)",
    **{colour: f"var(--series-{i}, {colour})" for i, colour in enumerate(SERIES)},
}

_SETTINGS: dict[str, Any] = {
    "font.family": "sans-serif",
    "font.sans-serif": ["DejaVu Sans"],
    "font.size": 11.0,
    "axes.titlesize": 11.5,
    "axes.titlepad": 7.0,
    "axes.labelsize": 11.0,
    "axes.facecolor": "none",
    "axes.linewidth": 0.8,
    "axes.edgecolor": RULE,
    "axes.labelcolor": TEXT,
    "axes.titlecolor": TEXT,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "axes.unicode_minus": True,
    "grid.color": RULE,
    "grid.alpha": 0.22,
    "grid.linewidth": 0.7,
    "text.color": TEXT,
    "xtick.color": RULE,
    "ytick.color": RULE,
    "xtick.labelcolor": TEXT,
    "ytick.labelcolor": TEXT,
    "xtick.labelsize": 10.0,
    "ytick.labelsize": 10.0,
    "legend.frameon": False,
    "legend.fontsize": 10.5,
    "legend.labelcolor": TEXT,
    "lines.linewidth": 1.8,
    "lines.solid_capstyle": "round",
    "figure.dpi": 100.0,
    "savefig.dpi": 160.0,
    "svg.fonttype": "none",
    "text.parse_math": False,
}


class Picture(NamedTuple):
    """One finished figure: for a light and, with `dark_png`, for a dark ground."""

    name: str
    title: str
    caption: str
    svg: str
    png: bytes
    dark_png: bytes

    @property
    def markup(self) -> str:
        """HTML that shows the figure inside a page, without any request."""
        if len(self.svg.encode("utf-8")) > SVG_LIMIT:
            data = base64.b64encode(self.png).decode("ascii")
            return (
                f'<img class="sheet" alt="{escape(self.title)}" src="data:image/png;base64,{data}">'
            )
        return _inline(self.svg, self.title)

    @property
    def files(self) -> dict[str, bytes]:
        """Contents of the figure as files of its own, by `file_names`."""
        contents = (self.svg.encode("utf-8"), self.png, dark_svg(self.svg), self.dark_png)
        return dict(zip(file_names(self.name), contents, strict=True))


def file_names(name: str) -> tuple[str, ...]:
    """Names of the files of one figure. SVGs have no ground; PNGs have a white or a dark one."""
    return f"{name}.svg", f"{name}.png", f"{name}-dark.svg", f"{name}-dark.png"


def draw(
    name: str,
    title: str,
    caption: str,
    paint: Callable[[Figure], None],
    size: tuple[float, float],
) -> Picture:
    """Paint a figure in the common style.

    Parameters
    ----------
    name
        Name of the file, without ending.
    title, caption
        Plain text, shown around the figure in the page.
    paint
        Adds the axes to an empty figure.
    size
        Width and height in inches.
    """
    import matplotlib
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure as Canvas

    # The salt makes the identifiers inside the SVG the same in every run.
    settings: Any = {**_SETTINGS, "svg.hashsalt": name}
    with matplotlib.rc_context():
        # A user's own matplotlib settings must not change a report.
        matplotlib.rcdefaults()
        matplotlib.rcParams.update(settings)
        figure = Canvas(figsize=size, layout="constrained")
        FigureCanvasAgg(figure)
        paint(figure)
        svg = _as_svg(figure, name)
        # The layout takes most of the time and is the same in all four files.
        figure.set_layout_engine("none")
        png = _as_png(figure, "white")
        darken(figure)
        dark_png = _as_png(figure, DARK_GROUND)
    return Picture(name, title, caption, svg, png, dark_png)


def array(values: Sequence[Any]) -> np.ndarray:
    """Numbers of a JSON file as an array, nan for null."""
    return np.array(values, dtype=float)


def log_ticks(axis: Any) -> None:
    """Label a logarithmic axis in plain text, which any font can show."""
    from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

    low, high = axis.get_view_interval()
    # One or two decades have too few powers of ten to read a value from.
    subdivisions = (1.0, 2.0, 3.0, 5.0) if high < 10.0 * low else (1.0, 2.0, 5.0)
    subdivisions = subdivisions if high < 100.0 * low else (1.0,)
    axis.set_major_locator(LogLocator(subs=subdivisions, numticks=8))
    axis.set_major_formatter(FuncFormatter(lambda value, _: log_tick(value)))
    axis.set_minor_formatter(NullFormatter())


def log_tick(value: float) -> str:
    """Label of a tick: from 0.01 to 1000 as it is, else with an exponent, for example ``10⁻³``."""
    if value <= 0.0 or 0.00999 < value < 1001.0:
        return f"{value:g}"
    mantissa, exponent = f"{value:.0e}".split("e")
    power = power_of_ten(int(exponent))
    return power if mantissa == "1" else f"{mantissa} × {power}"


def pretty(name: str) -> str:
    """Name of a collective variable with Greek letters: ``phi1`` becomes ``φ1``."""
    return re.sub(
        r"(?<![A-Za-z])(phi|psi|chi|omega|theta)(?![a-z])", lambda m: _GREEK[m.group(1)], name
    )


def axis_label(name: str, unit: str) -> str:
    """Label of an axis, with its unit if it has one."""
    return f"{pretty(name)} ({unit})" if unit else pretty(name)


def shown_in(unit: str) -> tuple[float, str]:
    """Factor and unit in which a quantity is shown: angles in degrees, the rest as it is."""
    return (180.0 / np.pi, "°") if unit == "rad" else (1.0, unit)


def angle_ticks(axis: Any, edges: np.ndarray, unit: str) -> None:
    """Put ticks at multiples of 90 degrees on an axis that spans more than half a turn."""
    if unit == "°" and edges[-1] - edges[0] > 180.0:
        # The tolerance keeps the ticks at limits such as -3.14 rad.
        axis.set_ticks(np.arange(np.ceil(edges[0] / 90.0 - 1e-3) * 90.0, edges[-1] + 0.1, 90.0))


def _as_svg(figure: Figure, name: str) -> str:
    buffer = io.StringIO()
    nothing = dict.fromkeys(("Date", "Creator", "Format", "Type"))
    figure.savefig(buffer, format="svg", transparent=True, metadata=nothing)
    svg = buffer.getvalue()
    svg = svg[svg.index("<svg") :]
    svg = re.sub(r"'DejaVu Sans'[^;\"]*", "system-ui, 'Helvetica Neue', Arial, sans-serif", svg)
    # Several figures share one page, where an identifier may exist only once.
    svg = re.sub(r'\bid="', f'id="{name}-', svg)
    return re.sub(r'(url\(#|href="#)', rf"\g<1>{name}-", svg)


def _as_png(figure: Figure, ground: str) -> bytes:
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", facecolor=ground, metadata={"Software": None})
    return buffer.getvalue()


def _inline(svg: str, title: str) -> str:
    for colour, variable in _VARIABLES.items():
        svg = svg.replace(colour, variable)
    svg = re.sub(r' xmlns(:xlink)?="[^"]*"', "", svg)
    # A style sheet inside the drawing would reach the whole page.
    svg = re.sub(r"<style[^>]*>.*?</style>", "", svg, flags=re.DOTALL)
    return re.sub(
        r'<svg ([^>]*?)width="[^"]*" ?',
        lambda match: f'<svg role="img" aria-label="{escape(title)}" {match.group(1)}',
        re.sub(r'(<svg [^>]*?)height="[^"]*" ?', r"\1", svg, count=1),
        count=1,
    )
