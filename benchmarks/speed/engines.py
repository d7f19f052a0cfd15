"""A run in fokker, OpenMM and ASE: agreement, distribution and cost of a step, as Markdown.

    python benchmarks/speed/engines.py RUN OUT.md

RUN is a trained run of a molecule with dihedrals as collective variables.
"""

import re
import sys
import time
from collections.abc import Callable
from pathlib import Path

import ase.units
import jax
import numpy as np
import openmm

import fokker
from fokker.adapters.ase import FokkerCalculator, atoms
from fokker.adapters.evaluator import evaluator
from fokker.adapters.openmm import system
from fokker.dynamics import LangevinOptions, simulate
from fokker.metrics import compute_all
from fokker.units import BOLTZMANN

DT, FRICTION = 0.002, 1.0
CHAINS, STEPS, STRIDE = 256, 5000, 20
BINS = np.linspace(-np.pi, np.pi, 19)
VISITORS = 40


def chosen_frames(loaded, n: int, seed: int) -> np.ndarray:
    """Random training frames, nm."""
    rows = np.random.default_rng(seed).choice(len(loaded.start_frames), n, replace=False)
    return loaded.scaling.invert(loaded.start_frames[rows]).astype(float)


def context_of(loaded, platform: str, copies: int = 1, seed: int = 1) -> openmm.Context:
    """A Context with the run's masses and force at its temperature."""
    temperature = loaded.system.kT / BOLTZMANN
    integrator = openmm.LangevinMiddleIntegrator(temperature, FRICTION, DT)
    integrator.setRandomNumberSeed(seed)
    made = openmm.Context(
        system(loaded, copies=copies), integrator, openmm.Platform.getPlatformByName(platform)
    )
    made.setPositions(chosen_frames(loaded, copies, seed).reshape(-1, 3))
    made.setVelocitiesToTemperature(temperature, seed)
    return made


def agreement(loaded) -> list[str]:
    """Largest differences to fokker over 200 frames, and finite differences."""
    frames = chosen_frames(loaded, 200, 0)
    own = np.asarray(jax.vmap(loaded.force(loaded.config.simulation.t))(frames.astype(np.float32)))
    energy = evaluator(loaded)(frames)[0]
    scale = np.abs(own).max()
    found = {}
    for platform in ("Reference", "CPU"):
        context, rows = context_of(loaded, platform), []
        for frame in frames:
            context.setPositions(frame)
            state = context.getState(energy=True, forces=True)
            rows.append((state.getPotentialEnergy()._value, state.getForces(asNumpy=True)._value))
        found[f"OpenMM {platform}"] = rows
    molecule, rows = atoms(loaded), []
    unit = ase.units.kJ / ase.units.mol
    molecule.calc = FokkerCalculator(loaded)
    for frame in frames:
        molecule.positions = frame * ase.units.nm
        forces = molecule.get_forces() / unit * ase.units.nm
        rows.append((molecule.get_potential_energy() / unit, forces))
    found["ASE"] = rows
    lines = [
        "| against fokker, 200 frames | energy, relative | force, relative to the largest |",
        "|---|---|---|",
    ]
    for name, rows in found.items():
        energies, forces = (np.stack(part) for part in zip(*rows, strict=True))
        e = np.max(np.abs(energies / energy - 1))
        f = np.max(np.abs(forces - own)) / scale
        lines.append(f"| {name} | {e:.1e} | {f:.1e} |")
    lines += ["", f"Largest force component {scale:,.0f} kJ/mol/nm. "]
    lines[-1] += finite_difference(loaded, frames[:50])
    return lines


def finite_difference(loaded, frames: np.ndarray) -> str:
    """OpenMM's force along random directions against central differences of its energy."""
    context, h = context_of(loaded, "Reference"), 1e-4
    rng = np.random.default_rng(0)

    def energy(x: np.ndarray) -> float:
        context.setPositions(x)
        return context.getState(energy=True).getPotentialEnergy()._value

    errors = []
    for frame in frames:
        along = rng.normal(size=frame.shape)
        along /= np.linalg.norm(along)
        slope = (energy(frame - h * along) - energy(frame + h * along)) / (2 * h)
        context.setPositions(frame)
        force = context.getState(forces=True).getForces(asNumpy=True)._value
        errors.append(abs(slope - np.sum(force * along)) / np.linalg.norm(force))
    return (
        f"OpenMM's force against central differences of its energy (h = {h} nm, "
        f"{len(frames)} frames, random directions): largest difference "
        f"{max(errors):.1e} of |F|."
    )


def our_frames(loaded, x0: np.ndarray, steps: int, stride: int, seed: int) -> np.ndarray:
    """Frames of fokker's own simulation, shape (times, chains, beads, 3)."""
    integrator = LangevinOptions(dt=DT, friction=FRICTION).build(
        loaded.system.masses, loaded.system.kT
    )
    blocks = []
    simulate(
        integrator,
        loaded.force(loaded.config.simulation.t),
        x0,
        jax.random.key(seed),
        n_steps=steps,
        stride=stride,
        centred=True,
        on_block=lambda block: blocks.append(block.frames),
        frames_per_block=100,
    )
    return np.concatenate(blocks)


def best(work: Callable[[], object], steps: int, repeats: int) -> float:
    """Microseconds of processor time a step, all threads together, in the cheapest repeat.

    Time on the clock says more of what else runs on the machine.
    """
    times = []
    for _ in range(repeats):
        began = time.process_time()
        work()
        times.append(time.process_time() - began)
    return min(times) / steps * 1e6


def overhead(loaded) -> list[str]:
    """Cost of a step in both programs."""
    lines = [
        "| chains | program | processor us a step | ratio to fokker | us a chain and step |",
        "|---|---|---|---|---|",
    ]
    for copies, platforms, long, short in (
        (1, ("Reference", "CPU"), 5000, 100),
        (CHAINS, ("Reference",), 300, 10),
    ):
        x0 = chosen_frames(loaded, copies, 3)
        # Long, since a simulation also has a start; the first repeat compiles.
        own = best(lambda x0=x0, n=long: our_frames(loaded, x0, n, n, 0), long, 6)
        rows = [("fokker", own)]
        for platform in platforms:
            context = context_of(loaded, platform, copies)
            spent = best(lambda c=context, n=short: c.getIntegrator().step(n), short, 30)
            rows.append((f"OpenMM {platform}", spent))
        lines += [
            f"| {copies} | {name} | {us:,.0f} | {us / own:.1f} | {us / copies:,.1f} |"
            for name, us in rows
        ]
    return lines


def histograms(loaded, frames: np.ndarray) -> np.ndarray:
    """Probabilities of the bins of every dihedral, shape (chains, bins)."""
    rows = []
    for chain in frames.swapaxes(0, 1):
        counts = [np.histogram(v, BINS)[0] for v in compute_all(loaded.system, chain).values()]
        rows.append(np.concatenate(counts) / len(chain))
    return np.array(rows)


def distribution(loaded) -> list[str]:
    """Phi and psi of OpenMM's Langevin integrator against our own simulation."""
    ours = our_frames(loaded, chosen_frames(loaded, 4 * CHAINS, 5), STEPS, STRIDE, 7)
    context = context_of(loaded, "Reference", CHAINS)
    theirs = np.empty((STEPS // STRIDE, CHAINS, loaded.system.n_beads, 3))
    for row in theirs:
        context.getIntegrator().step(STRIDE)
        row[:] = (
            context.getState(positions=True).getPositions(asNumpy=True)._value.reshape(row.shape)
        )
    a, b = histograms(loaded, ours), histograms(loaded, theirs)
    error = np.sqrt(sum(h.var(axis=0, ddof=1) / len(h) for h in (a, b)))
    seen = np.minimum((a > 0).sum(axis=0), (b > 0).sum(axis=0)) >= VISITORS
    z = (a.mean(axis=0) - b.mean(axis=0))[seen] / error[seen]
    return [
        f"{CHAINS} chains of OpenMM (`LangevinMiddleIntegrator`) and {4 * CHAINS} of fokker, "
        f"{STEPS:,} steps of {DT * 1e3:g} fs each from training frames, a frame every {STRIDE}. "
        f"Histograms of phi and psi, {len(BINS) - 1} bins each, chains as blocks: over the "
        f"{seen.sum()} bins that at least {VISITORS} chains of each visited, the largest "
        f"difference is {np.abs(z).max():.2f} standard errors and the mean square "
        f"{np.mean(z**2):.2f} (1 expected)."
    ]


def main() -> None:
    """Measure and write the page."""
    run, out = Path(sys.argv[1]), Path(sys.argv[2])
    loaded = fokker.load_run(run)
    command = loaded.folder.read_record().get("command", "fokker train ... --out RUN")
    trained = re.sub(r"(--out|-o) \S+", "--out RUN", command)
    parts = [
        "# In OpenMM and ASE",
        f"    {trained}\n    python benchmarks/speed/engines.py RUN {out}",
        f"OpenMM {openmm.version.version}, JAX {jax.__version__}; {loaded.system.name}, "
        f"{loaded.system.n_beads} beads, t = {loaded.config.simulation.t:g}.",
        "## Agreement",
        "\n".join(agreement(loaded)),
        "## Distribution",
        "\n".join(distribution(loaded)),
        "## Cost of a step",
        "Processor time of all threads, since the machine may have other work. Of 256 chains, "
        "those of OpenMM are `system(run, copies=256)`.",
        "\n".join(overhead(loaded)),
    ]
    out.write_text("\n\n".join(parts) + "\n")
    print(out.read_text())


if __name__ == "__main__":
    main()
