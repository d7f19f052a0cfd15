"""A folder from which OpenMM simulates: structures and a script that a user may change."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from ..errors import FokkerError
from ..run.folder import write_atomically
from ..run.loaded import LoadedRun
from ..trajectory import write_topology
from ..units import BOLTZMANN
from .evaluator import Run, molecule, potential, start_positions

FILES = ("topology.pdb", "start.pdb", "simulate.py")


def export_openmm(
    run: Run,
    out: Path,
    *,
    overwrite: bool = False,
    on_message: Callable[[str], None] = lambda _: None,
) -> None:
    """Write `topology.pdb`, `start.pdb` and `simulate.py`.

    The script makes its System from the checkpoint in the run folder, whose path it holds; nothing
    of the model is serialised. OpenMM is not needed to write it.

    Parameters
    ----------
    run
        Folder of a trained run, or the run itself.
    out
        Folder, made if need be.
    overwrite
        Replace files that exist.
    on_message
        Told what PDB cannot hold and a file `.cif` beside does.

    Raises
    ------
    FokkerError
        If the run is bad, is no molecule, has no energy or no underdamped dynamics, or a file
        exists.
    """
    loaded = molecule(run, "OpenMM")
    potential(loaded)  # refuse a model without an energy now, not when the script is run
    script = render(loaded)
    present = [name for name in FILES if (out / name).exists()]
    if present and not overwrite:
        raise FokkerError(
            f"{out / present[0]}: already exists; choose another folder or use --overwrite."
        )
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise FokkerError(
            f"{out}: cannot be made ({error.strerror}); choose another folder."
        ) from error
    start = start_positions(loaded)
    cut = write_topology(out / "topology.pdb", loaded.system, start)
    if cut is not None:
        on_message(cut)
    write_topology(out / "start.pdb", loaded.system, start)
    write_atomically(out / "simulate.py", script)


def render(loaded: LoadedRun) -> str:
    """Return the script, with the settings of the run's simulation.

    Raises
    ------
    FokkerError
        If the run's dynamics are not underdamped Langevin dynamics.
    """
    from jinja2 import Environment, PackageLoader, StrictUndefined

    simulation = loaded.config.simulation
    integrator = simulation.integrator
    if integrator.name != "langevin":
        raise FokkerError(
            f"{loaded.folder.path}: simulates with integrator {integrator.name!r}, the script has "
            "LangevinMiddleIntegrator; train with simulation.integrator.name = 'langevin'."
        )
    environment = Environment(
        loader=PackageLoader("fokker.adapters", "."),
        autoescape=False,  # Python, not HTML: every value is a number or the repr of a string
        undefined=StrictUndefined,
        keep_trailing_newline=True,
    )
    return environment.get_template("simulate.py.j2").render(
        name=_plain(loaded.system.name),
        run=repr(str(loaded.folder.path.resolve())),
        steps=simulation.steps,
        stride=simulation.stride,
        temperature=f"{loaded.system.kT / BOLTZMANN:.6g}",
        friction=repr(integrator.friction),
        dt=repr(integrator.dt),
        t=repr(simulation.t),
    )


def _plain(name: str) -> str:
    """A name of the user that can end no docstring."""
    return "".join(c if c.isalnum() or c in "-_. " else "_" for c in name)
