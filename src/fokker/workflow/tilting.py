"""A bias on a collective variable, as the configuration has it, for annealed sampling."""

from __future__ import annotations

import math

import jax.numpy as jnp
import numpy as np
from pydantic import TypeAdapter

from ..config import BiasOptions
from ..errors import FokkerError
from ..run.loaded import LoadedRun
from ..sampler import AbstractPath, HarmonicBias, TiltedPath
from ..system import CollectiveVariable
from ..variables import AbstractChoice, Context, VariableChoice, parse_choice
from ..variables.differentiable import differentiable


def tilted(loaded: LoadedRun, path: AbstractPath, options: BiasOptions) -> TiltedPath:
    """Path of the density with the bias.

    Raises
    ------
    FokkerError
        If the molecule does not have the variable, or it cannot be biased.
    """
    variable = variable_of(loaded, options.variable)
    period = variable.limits[1] - variable.limits[0] if variable.periodic else None
    offset = np.asarray(loaded.scaling.offset, np.float32)
    k = options.k / loaded.system.kT
    bias = HarmonicBias(
        differentiable(variable), options.center, k, period, float(loaded.scaling.scale), offset
    )
    frames = jnp.asarray(loaded.start_frames[:512], jnp.float32)
    stiffness = bias.stiffness(frames)
    if not math.isfinite(stiffness):
        raise FokkerError(
            f"collective variable {variable.name!r}: it has no slope in the frames of the run; "
            "bias another one."
        )
    return TiltedPath.of(path, bias, stiffness)


def variable_of(loaded: LoadedRun, text: str) -> CollectiveVariable:
    """Variable of that name, or the one that the words describe.

    Raises
    ------
    FokkerError
        If there is none, or not one.
    """
    system = loaded.system
    named = [each for each in system.collective_variables if each.name == text.strip()]
    if named:
        return named[0]

    def no_file(name: str) -> np.ndarray:
        raise FokkerError(f"collective variable {text!r}: one with a file cannot be biased.")

    context = Context(
        labels=system.labels,
        masses=system.masses,
        neighbours=system.neighbours,
        segments=(loaded.scaling.invert(loaded.start_frames),),
        automatic=system.collective_variables,
        read_structure=no_file,
    )
    choice: AbstractChoice = TypeAdapter(VariableChoice).validate_python(parse_choice(text))
    found = choice.build(context)
    if len(found) != 1:
        raise FokkerError(f"collective variable {text!r}: {len(found)} variables; bias one.")
    return found[0]
