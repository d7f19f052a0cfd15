"""Checks of the package `physical_validation` on energies that `physics.py` wrote.

    python benchmarks/reliability/physics_checks.py FOLDER KT_LOW KT_HIGH

A process of its own: pymbar, which it imports, switches JAX to 64 bits. Temperatures are handed
over as kT in kJ/mol, with a Boltzmann constant of 1. Prints one line of JSON.
"""

import contextlib
import io
import json
import sys
import warnings
from pathlib import Path

import numpy as np
import physical_validation as pv

UNITS = pv.data.UnitData(
    kb=1.0, energy_conversion=1.0, length_conversion=1.0, volume_conversion=1.0,
    temperature_conversion=1.0, pressure_conversion=1.0, time_conversion=1.0,
)  # fmt: skip


def simulation(kT: float, kinetic: np.ndarray, potential: np.ndarray) -> pv.data.SimulationData:
    """Four beads without motion of the centre of mass: 9 degrees of freedom."""
    return pv.data.SimulationData(
        units=UNITS,
        dt=0.002,
        system=pv.data.SystemData(
            natoms=4, nconstraints=0, ndof_reduction_tra=3, ndof_reduction_rot=0
        ),
        ensemble=pv.data.EnsembleData("NVT", natoms=4, volume=1.0, temperature=kT),
        observables=pv.data.ObservableData(
            kinetic_energy=kinetic, potential_energy=potential, total_energy=kinetic + potential
        ),
    )


def main() -> None:
    """Check every seed."""
    folder, low_kT, high_kT = Path(sys.argv[1]), float(sys.argv[2]), float(sys.argv[3])
    found: dict[str, list] = {"kinetic": [], "moments": [], "ensemble": []}
    for path in sorted(folder.glob("chain-*.npz")):
        data = np.load(path)
        low, high = (
            simulation(kT, data[f"{name}_kinetic"], data[f"{name}_potential"])
            for name, kT in (("low", low_kT), ("high", high_kT))
        )
        quick = {"verbosity": 0, "data_is_uncorrelated": True, "bootstrap_seed": 1}
        strict = pv.kinetic_energy.distribution(low, strict=True, **quick)
        found["kinetic"].append(float(strict))
        moments = pv.kinetic_energy.distribution(low, strict=False, **quick)
        found["moments"].append([float(value) for value in moments])
        found["ensemble"].append(float(pv.ensemble.check(low, high, **quick)[0]))
    energies = np.load(folder / "conserved.npz")
    runs = [
        pv.data.SimulationData(
            units=UNITS,
            dt=float(dt),
            observables=pv.data.ObservableData(constant_of_motion=energies[dt]),
        )
        for dt in energies.files
    ]
    deviation = pv.integrator.convergence(runs, verbose=False)
    result = {
        **found,
        "convergence": float(deviation),
        "fluctuation": {dt: float(np.std(energies[dt])) for dt in energies.files},
    }
    sys.__stdout__.write(json.dumps(result) + "\n")


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    with contextlib.redirect_stdout(io.StringIO()):
        main()
