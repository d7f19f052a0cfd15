"""What annealed sampling writes beside its samples: weights, and what they are worth."""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float

from ..errors import FokkerError
from ..run.folder import write_atomically
from ..run.weights import write_weights
from ..sampler import Island

_COLUMNS = "n", "log_normalisation", "error", "effective", "distinct", "share", "resamplings"


def row_of(island: Island) -> dict[str, float]:
    """What is recorded of one island."""
    return {
        "n": float(len(island.frames)),
        "log_normalisation": island.log_normalisation,
        "error": island.error,
        "effective": island.effective,
        "distinct": float(len(np.unique(island.ancestor))),
        "share": island.share,
        "resamplings": float(island.resamplings),
    }


def sound(rows: Any) -> tuple[dict[str, float], ...]:
    """Rows read back from a file.

    Raises
    ------
    ValueError, KeyError, TypeError
        If they are not what `row_of` makes.
    """
    return tuple({name: float(row[name]) for name in _COLUMNS} for row in rows)


def save_weights(
    samples: Path,
    rows: Sequence[dict[str, float]],
    tilts: Float[np.ndarray, " frames"] | None = None,
) -> None:
    """Weigh the frames of each island by its normalisation, and each back from its tilt."""
    islands = [np.full(int(row["n"]), row["log_normalisation"]) for row in rows]
    log_weight = np.concatenate(islands) + (0.0 if tilts is None else tilts)
    weight = np.exp(log_weight - log_weight.max())
    write_weights(samples, weight / weight.mean())


class Tilts:
    """What the bias of each frame is, kept beside a file of samples until it is finished."""

    def __init__(self, samples: Path):
        self._file = samples.with_name(f".{samples.name}.tilts.npy")

    def add(self, values: Float[np.ndarray, " frames"], after: int) -> None:
        """Put values behind the first so many.

        Raises
        ------
        FokkerError
            If these are not there.
        """
        before = self.first(after) if after else np.empty(0)
        content = io.BytesIO()
        np.save(content, np.concatenate([before, values]), allow_pickle=False)
        write_atomically(self._file, content.getvalue())

    def first(self, n: int) -> Float[np.ndarray, " frames"]:
        """The first n values.

        Raises
        ------
        FokkerError
            If they are not there.
        """
        try:
            values = np.load(self._file, allow_pickle=False)[:n]
        except (OSError, ValueError, EOFError, IndexError):
            values = np.empty(0)
        if values.shape != (n,):
            raise FokkerError(
                f"{self._file}: does not hold {n:,} values; sample again with --overwrite."
            )
        return values


def pooled(rows: Sequence[dict[str, float]]) -> dict[str, float | int]:
    """Normalisation, effective number and the like of all islands together."""
    column = {name: np.array([row[name] for row in rows]) for name in _COLUMNS}
    share = _shares(column["n"], column["log_normalisation"])
    most = column["log_normalisation"].max()
    mean = np.average(np.exp(column["log_normalisation"] - most), weights=column["n"])
    return {
        "log_normalisation": float(most + np.log(mean)),
        "log_normalisation_error": float(np.sqrt(np.sum((share * column["error"]) ** 2))),
        "effective": float(1.0 / np.sum(share**2 / column["effective"])),
        "distinct_ancestors": int(column["distinct"].sum()),
        "effective_share": float(column["share"].mean()),
        "resamplings": float(column["resamplings"].mean()),
        "islands": len(rows),
    }


def sentence(found: dict[str, float | int]) -> str:
    """What the samples are worth, for people."""
    return (
        f"worth {found['effective']:,.0f} independent samples, of "
        f"{found['distinct_ancestors']:,} ancestors; log of the energy's normalisation "
        f"{found['log_normalisation']:.3f} +- {found['log_normalisation_error']:.3f}"
    )


def _shares(
    n: Float[np.ndarray, " islands"], log_normalisation: Float[np.ndarray, " islands"]
) -> Float[np.ndarray, " islands"]:
    """Of the weight of all frames."""
    weight = n * np.exp(log_normalisation - log_normalisation.max())
    return weight / weight.sum()
