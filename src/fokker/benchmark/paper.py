"""Numbers of arXiv 2506.17139, mean and standard deviation, for comparison.

They are over three seeds; those of dipeptides over its validation peptides, of 200 trained on.

The counts of frames behind them are the paper's, so its JS and PMF errors are comparable with ours
only as far as our counts agree with its: the floor depends on them.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import TypeAlias

CITATION = "arXiv 2506.17139, tables of section 4 and its appendix"

ROWS = ("diffusion", "two-for-one", "mixture", "fokker-planck", "both", "fokker")
"""Rows of the table, in order: the paper's methods and ours."""

Reported: TypeAlias = dict[str, tuple[float, float]]


def _four(iid_js, sim_js, iid_pmf, sim_pmf) -> Reported:
    return {"iid_js": iid_js, "sim_js": sim_js, "iid_pmf": iid_pmf, "sim_pmf": sim_pmf}


def _bonds(iid, sim) -> Reported:
    return {"iid_bond_relative": iid, "sim_bond_relative": sim}


PAPER: dict[str, dict[str, Reported]] = {
    "mueller-brown": {
        "reference dynamics": {"sim_js": (0.0119, 0.0004), "sim_pmf": (0.087, 0.002)},
        "diffusion": _four((0.0122, 0.0013), (0.0448, 0.0125), (0.111, 0.006), (0.504, 0.150)),
        "mixture": _four((0.0109, 0.0007), (0.0254, 0.0109), (0.097, 0.004), (0.247, 0.113)),
        "fokker-planck": _four((0.0130, 0.0010), (0.0166, 0.0009), (0.122, 0.006), (0.163, 0.008)),
        "both": _four((0.0110, 0.0007), (0.0108, 0.0008), (0.098, 0.003), (0.099, 0.004)),
    },
    "alanine-dipeptide": {
        "diffusion": _four((0.0081, 0.0003), (0.0695, 0.0517), (0.095, 0.003), (1.047, 0.924))
        | _bonds((1.51, 1.28), (1.70, 0.38)),
        "two-for-one": _four((0.0081, 0.0003), (0.0158, 0.0002), (0.098, 0.006), (0.206, 0.004))
        | _bonds((0.96, 0.34), (48.92, 11.25)),
        "mixture": _four((0.0080, 0.0004), (0.0353, 0.0117), (0.092, 0.007), (0.388, 0.109))
        | _bonds((1.36, 0.21), (0.94, 0.21)),
        "fokker-planck": _four((0.0084, 0.0002), (0.0088, 0.0006), (0.098, 0.006), (0.105, 0.011))
        | _bonds((2.05, 0.62), (2.51, 0.59)),
        "both": _four((0.0079, 0.0002), (0.0086, 0.0004), (0.089, 0.005), (0.099, 0.003))
        | _bonds((1.0, 0.0), (1.0, 0.0)),
    },
    "dipeptides": {
        "diffusion": _four((0.0155, 0.0083), (0.2256, 0.1304), (0.206, 0.159), (6.515, 3.175)),
        "two-for-one": _four((0.0153, 0.0080), (0.0466, 0.0114), (0.203, 0.149), (0.741, 0.319)),
        "mixture": _four((0.0155, 0.0078), (0.0444, 0.0237), (0.200, 0.127), (0.658, 0.407)),
        "fokker-planck": _four((0.0154, 0.0060), (0.0200, 0.0106), (0.192, 0.118), (0.290, 0.222)),
        "both": _four((0.0158, 0.0077), (0.0158, 0.0052), (0.197, 0.124), (0.183, 0.070)),
    },
}
"""Reported rows by system; systems that the paper does not have are left out."""


def reported_as(row: str, rows: Collection[str]) -> str:
    """Name of the paper's row that a row stands beside.

    That of a preset to the paper's letter is `paper-NAME`; where a table has it, NAME alone, ours
    after the paper's, stands beside none.
    """
    if f"paper-{row}" in rows:
        return ""
    return row.removeprefix("paper-")
