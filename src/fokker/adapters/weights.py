r"""Weights of a run in one safetensors file, for a forward pass in another framework.

Arrays are named as the attributes of the model: `experts.0.network.trunk.first.weight`. Linear maps
have the layout of PyTorch: `weight` of shape (out, in), `y = weight @ x + bias`. The header entry
`fokker` is JSON; it has

    format, version     "fokker-weights", 3
    system              beads, bonds, kT (kJ/mol), whether translation is removed (`centred`)
    scale, offset       nm: scaled = (x - offset) / scale
    t                   diffusion time of the simulation
    process             name and parameters, see `fokker.process`
    degrees_of_freedom  D
    experts             for each: interval of t, kind ("energy", "score" or "field"), options of its
                        network, prefix of its arrays
    arrays              shape and type of every array

Energy of an expert of kind "energy" with the network "invariant", `E = kT u(scaled, t)` in kJ/mol,
from the arrays after the prefix (`geometry.`, the standardisation,
`springs.` and `trunk.`, the weights):

    alpha, sigma = process(t)
    r   = sqrt(|x_i - x_j|^2 + 1e-12)                                  (i, j) = row of pairs
    z_r = (r - alpha distance_mean) / sqrt(alpha^2 distance_std^2 + 2 sigma^2)
    a, b, c = edges @ x                                                per tetrad
    v   = a . (b x c)
    z_v = (v - alpha^3 volume_mean) / sqrt(alpha^6 volume_std^2 + 2 sigma^2 alpha^4 mean_area
                                           + 8 sigma^4 alpha^2 mean_length + 48 sigma^6)
    L   = -log(sigma^2 / alpha^2 + (min distance_std / 2)^2)
    w   = 2 pi L / (4, 8, 16, 32)
    h   = silu(first(concat(z_r, z_v, L / 10, sin w, cos w)))
    h   = h + silu(layer(h))                                           for each of layers
    w   = (share @ stiffness)[kind]                                    per pair, of springs
    u   = last(h) + w @ z_r^2 + D/2 w @ log(alpha^2 distance_std^2 + 2 sigma^2) / sum w + V

with `share` the softmax of `-((G(0.001) - G) / (G_1 - G_0))^2` over the grid G, 24 numbers evenly
from log 0.001 to log 30, and `G(f) = log(sigma^2 / alpha^2 + f^2) / 2`. V is 0 if the network has
`"potentials": 0`, else from the arrays `potentials.`

    V   = sum over k and coordinates of H_k exp(-(c - a centre_k)^2 / (2 (a^2 width_k^2 + n)))
    H   = part @ height                               part: softmax of -(7 S - (0, ..., 7))^2
    S   = (G(f) - log f) / (log 3 - log f)                              f = min distance_std / 2

where c, a, n are r, alpha and 2 sigma^2 for distances, then v, alpha^3 and the three terms with
sigma in the variance of z_v for volumes.

The other networks are in `fokker.network`, one file each.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import FokkerError
from ..run.folder import write_atomically
from ..run.loaded import LoadedRun
from ..runtime import checkpoint
from .evaluator import Run, opened

FORMAT = "fokker-weights"
VERSION = 3


def export_weights(run: Run, out: Path, *, overwrite: bool = False) -> None:
    """Write the averaged weights and constants of every expert; see the module for the layout.

    Parameters
    ----------
    run
        Folder of a trained run, or the run itself.
    out
        `.safetensors` file.
    overwrite
        Replace a file that exists.

    Raises
    ------
    FokkerError
        If the run is bad or the file cannot be written; one that was there stays.
    """
    from safetensors.numpy import save

    if out.suffix != ".safetensors":
        raise FokkerError(f"{out}: weights are written as safetensors; use that suffix.")
    if out.exists() and not overwrite:
        raise FokkerError(f"{out}: already exists; choose another name or use --overwrite.")
    loaded = opened(run)
    arrays = checkpoint.named_arrays(loaded.model)
    metadata = {"fokker": json.dumps(describe(loaded, arrays))}
    write_atomically(out, save(arrays, metadata=metadata))


def describe(loaded: LoadedRun, arrays: dict[str, np.ndarray]) -> dict[str, Any]:
    """Return the `fokker` entry of the header."""
    config = loaded.config
    return {
        "format": FORMAT,
        "version": VERSION,
        "system": loaded.system.model_dump(mode="json"),
        "scale": loaded.scaling.scale,
        "offset": loaded.scaling.offset,
        "t": config.simulation.t,
        "process": config.process.model_dump(mode="json"),
        "degrees_of_freedom": loaded.system.degrees_of_freedom,
        "experts": [
            {
                "interval": expert.interval,
                "kind": expert.kind,
                "network": expert.network.model_dump(mode="json"),
                "prefix": f"experts.{index}.network.",
            }
            for index, expert in enumerate(config.experts)
        ],
        "arrays": {
            name: {"shape": array.shape, "dtype": str(array.dtype)}
            for name, array in arrays.items()
        },
    }
