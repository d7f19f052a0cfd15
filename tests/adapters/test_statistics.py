"""OpenMM's own Langevin integrator gives the distribution of our simulation, within its error.

Chains are the blocks: they are independent, so the standard error of a histogram bin is the spread
of the chains' means over the root of their number, whatever the correlation in time. Both programs
start from training frames and make as many steps, so they agree before equilibrium too.
"""

import numpy as np
import pytest
from jax import random

from fokker import load_run
from fokker.dynamics import LangevinOptions, simulate
from fokker.metrics import compute_all
from fokker.units import BOLTZMANN
from tests.helpers.engine_run import make_run, start_positions

STEPS, STRIDE, DT, FRICTION = 5000, 20, 0.002, 1.0
BINS = np.linspace(-np.pi, np.pi, 19)
VISITORS = 40
"""Chains that must have been in a bin for the error of its mean to be near normal."""


def chain_histograms(system, frames):
    """Probabilities of the bins of phi and of psi, shape (chains, bins), of (time, chains, ...)."""
    rows = []
    for chain in frames.swapaxes(0, 1):
        values = compute_all(system, chain)
        counts = [np.histogram(values[name], BINS)[0] for name in ("phi", "psi")]
        rows.append(np.concatenate(counts) / len(chain))
    return np.array(rows)


def deviations(ours, theirs):
    """Difference of each bin that is visited, in standard errors."""
    error = np.sqrt(sum(h.var(axis=0, ddof=1) / len(h) for h in (ours, theirs)))
    seen = np.minimum((ours > 0).sum(axis=0), (theirs > 0).sum(axis=0)) >= VISITORS
    return (ours.mean(axis=0) - theirs.mean(axis=0))[seen] / error[seen]


def our_frames(loaded, kT, n, seed):
    integrator = LangevinOptions(dt=DT, friction=FRICTION).build(loaded.system.masses, kT)
    blocks = []
    simulate(
        integrator,
        loaded.force(loaded.config.simulation.t),
        start_positions(loaded, n, seed),
        random.key(seed),
        n_steps=STEPS,
        stride=STRIDE,
        centred=True,
        on_block=lambda block: blocks.append(block.frames),
    )
    return np.concatenate(blocks)


def openmm_frames(loaded, kT, n, seed):
    import openmm

    from fokker.adapters.openmm import system

    integrator = openmm.LangevinMiddleIntegrator(kT / BOLTZMANN, FRICTION, DT)
    integrator.setRandomNumberSeed(seed + 1)
    platform = openmm.Platform.getPlatformByName("Reference")
    context = openmm.Context(system(loaded, copies=n), integrator, platform)
    context.setPositions(start_positions(loaded, n, seed).reshape(-1, 3).astype(float))
    context.setVelocitiesToTemperature(kT / BOLTZMANN, seed + 1)
    frames = np.empty((STEPS // STRIDE, n, loaded.system.n_beads, 3))
    for row in frames:
        integrator.step(STRIDE)
        positions = context.getState(positions=True).getPositions(asNumpy=True)._value
        row[:] = positions.reshape(row.shape)
    return frames


@pytest.mark.slow
def test_openmm_has_the_distribution_of_our_simulation(tmp_path):
    pytest.importorskip("openmm")
    loaded = load_run(make_run(tmp_path / "run"))
    kT = loaded.system.kT
    theirs = chain_histograms(loaded.system, openmm_frames(loaded, kT, 256, seed=1))
    ours = chain_histograms(loaded.system, our_frames(loaded, kT, 1000, seed=2))
    z = deviations(ours, theirs)
    print(f"{len(z)} bins, largest {np.abs(z).max():.2f} errors, mean square {np.mean(z**2):.2f}")
    assert len(z) > 15
    assert np.abs(z).max() < 4.0
    assert np.mean(z**2) < 2.0

    hotter = chain_histograms(loaded.system, our_frames(loaded, 1.1 * kT, 1000, seed=2))
    z = deviations(hotter, theirs)
    print(f"at 1.1 T: largest {np.abs(z).max():.2f} errors, mean square {np.mean(z**2):.2f}")
    assert np.mean(z**2) > 5.0, "a wrong temperature would not be seen"
