"""Physics of the integrators against closed forms and against the package `physical_validation`.

    python benchmarks/reliability/physics.py OUT_FOLDER [SEEDS]

Writes OUT_FOLDER/physics.json and physics.svg. Needs the extra `validation`, whose pymbar switches
JAX to 64 bits: its checks run in a process of their own, `physics_checks.py`, on files written
here.

Seeds give p values; over many seeds those of a right simulation are uniform, which is the test.
"""

import json
import subprocess
import sys
import tempfile
from pathlib import Path

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax import lax, random
from scipy import stats

from fokker.dynamics import LangevinOptions, OverdampedOptions, simulate
from fokker.potential import AbstractPotential, DoubleWell, Harmonic

sys.path.insert(0, str(Path(__file__).parents[2]))
from tests.dynamics.test_order import SoftDoubleWell, exact_variance, stationary_moments

KT = 2.5
MASSES = (12.0, 14.0, 16.0, 1.0)


class Chain(AbstractPotential):
    """Four beads in 3 dimensions, bonds of `1000 (r^2 - 0.15^2)^2 / 0.15^2` kJ/mol."""

    def energy(self, x):
        """Potential energy of shape (4, 3) positions in nm."""
        square = jnp.sum((x[1:] - x[:-1]) ** 2, axis=-1)
        return jnp.sum(1000.0 * (square - 0.15**2) ** 2 / 0.15**2)


def run(integrator, potential, x0, seed, *, steps, stride, centred, skip=0):
    """Frames (frames, chains, beads, dim) and kinetic energies after `skip` frames."""
    blocks = []
    force = _force(potential)
    simulate(
        integrator, force, x0, random.key(seed), n_steps=steps, stride=stride, centred=centred,
        on_block=lambda b: blocks.append((b.frames, b.kinetic_energy)),
    )  # fmt: skip
    frames, kinetic = (np.concatenate(part)[skip:] for part in zip(*blocks, strict=True))
    assert np.isfinite(frames).all()
    return frames, kinetic


class _Force(eqx.Module):
    potential: AbstractPotential

    def __call__(self, x):
        return self.potential.force(x)


def _force(potential):
    return _Force(potential)


def chain_data(seed: int) -> dict[str, np.ndarray]:
    """Kinetic (at the half step) and potential energies of the molecule at two temperatures."""
    rng = np.random.default_rng(seed)
    line = np.array([[0.15 * i, 0.0, 0.0] for i in range(4)])
    x0 = (line + 0.01 * rng.normal(size=(200, 4, 3))).astype(np.float32)
    found = {}
    for name, kT in (("low", KT), ("high", 1.1 * KT)):
        integrator = LangevinOptions(dt=0.002, friction=20.0).build(MASSES, kT)
        frames, kinetic = run(
            integrator, Chain(), x0, 2 * seed + (name == "high"), steps=4000, stride=400,
            centred=True, skip=5,
        )  # fmt: skip
        energy = jax.vmap(Chain().energy)(frames.reshape(-1, 4, 3))
        found[f"{name}_kinetic"] = kinetic.ravel().astype(np.float64)
        found[f"{name}_potential"] = np.asarray(energy, np.float64)
    return found


def conserved(dt: float, time: float = 20.0) -> np.ndarray:
    """Energy along one chain without friction, velocities moved to the time of the positions.

    In double precision: rounding in single precision adds a random walk of about 5e-4 kJ/mol.
    """
    with jax.enable_x64(True):
        integrator = LangevinOptions(dt=dt, friction=0.0).build(MASSES, KT)
        potential = Chain()
        x0 = jnp.asarray([[0.15 * i, 0.01 * i * i, 0.0] for i in range(4)])
        start = integrator.start(x0, random.normal(random.key(1), x0.shape))
        still = jnp.zeros_like(x0)

        def energy(state):
            v = state.v + 0.5 * dt * potential.force(state.x) / integrator.masses[:, None]
            return 0.5 * jnp.sum(integrator.masses[:, None] * v**2) + potential.energy(state.x)

        def step(state, _):
            state = integrator.advance(state, potential.force, still)
            return state, energy(state)

        path = jax.jit(lambda state: lax.scan(step, state, length=round(time / dt))[1])
        energies = np.asarray(path(start))
    assert energies.dtype == np.float64
    return energies


def stays_exact(seed: int) -> dict[str, float]:
    """Exact samples, moved by k steps: p value that two samples are of one distribution."""
    n = 20_000
    well = DoubleWell(barrier=2.0, width=1.0, kT=1.0)
    spring = Harmonic(jnp.asarray([[1.0, 4.0, 25.0]]), 1.0)
    schemes = {
        "langevin": LangevinOptions(dt=0.02, friction=1.0),
        "overdamped": OverdampedOptions(dt=0.001, friction=1.0),
    }
    found = {}
    for name, potential in (("double well", well), ("harmonic", spring)):
        before, other = (np.asarray(potential.sample(random.key(2 * seed + i), n)) for i in (0, 1))
        for scheme, options in schemes.items():
            integrator = options.build((1.0,), 1.0)
            frames, _ = run(
                integrator, potential, before, seed, steps=200, stride=200, centred=False
            )
            for axis in range(before.shape[-1]):
                p = stats.ks_2samp(frames[-1, :, 0, axis], other[:, 0, axis]).pvalue
                found[f"{name}, {scheme}, axis {axis}"] = float(p)
    return found


def variance(options, potential, x0, time: float = 40.0) -> tuple[float, float]:
    """Mean of x^2 and its standard error over chains."""
    stride = max(1, round(1.0 / options.dt))
    steps = stride * round(time / (stride * options.dt))
    integrator = options.build((1.0,), 1.0)
    frames, _ = run(
        integrator, potential, x0, 3, steps=steps, stride=stride, centred=False, skip=10
    )
    means = (frames.astype(np.float64) ** 2).mean(axis=(0, 2, 3))
    return float(means.mean()), float(means.std(ddof=1) / np.sqrt(len(x0)))


SCHEMES: dict[str, tuple] = {
    "baoab": (LangevinOptions, {}, (0.2, 0.4, 0.6, 0.8, 1.0)),
    "leimkuhler-matthews": (
        OverdampedOptions,
        {"scheme": "leimkuhler-matthews"},
        (0.05, 0.1, 0.2, 0.3, 0.4),
    ),
    "euler-maruyama": (OverdampedOptions, {"scheme": "euler-maruyama"}, (0.05, 0.1, 0.2, 0.3, 0.4)),
}


def step_size_study(chains: int = 4000) -> dict:
    """Configurational error `<x^2> / exact - 1` against the step.

    Predicted without statistical error from the Markov operator of one step (see the test
    `test_dynamics_order`), and measured on simulations, with standard errors. The order is that of
    the predictions at the two smallest steps.
    """
    potentials = {"harmonic": Harmonic(jnp.ones((1, 1)), 1.0), "double well": SoftDoubleWell()}
    exact = {"harmonic": 1.0, "double well": float(exact_variance(SoftDoubleWell()))}
    x0 = np.asarray(potentials["harmonic"].sample(random.key(0), chains))
    table = {}
    for name, potential in potentials.items():
        for scheme, (options, fields, steps) in SCHEMES.items():
            predicted, error, spread = [], [], []
            for dt in steps:
                made = options(dt=dt, friction=1.0, **fields)
                second_moment, _ = stationary_moments(made.build((1.0,), 1.0), potential.force)
                mean, standard_error = variance(made, potential, x0)
                predicted.append(float(second_moment / exact[name] - 1))
                error.append(mean / exact[name] - 1)
                spread.append(standard_error / exact[name])
            table[f"{name}, {scheme}"] = {
                "dt": list(steps),
                "predicted": predicted,
                "error": error,
                "standard_error": spread,
                "order": order(steps, predicted),
            }
    return table


def order(steps: tuple[float, ...], predicted: list[float]) -> float | None:
    """Power of the step; None where there is no error but rounding."""
    if abs(predicted[0]) < 1e-5 or abs(predicted[1]) < 2e-5:
        return None
    return float(np.log(predicted[1] / predicted[0]) / np.log(steps[1] / steps[0]))


def draw(table: dict, path: Path) -> None:
    """Error against step, one panel a potential."""
    import matplotlib

    matplotlib.use("svg")
    from matplotlib import pyplot as plt

    figure, panels = plt.subplots(1, 2, figsize=(9, 3.6), constrained_layout=True)
    for panel, name in zip(panels, ("harmonic", "double well"), strict=True):
        for key, rows in table.items():
            if key.startswith(name):
                scheme, power = key.split(", ")[1], rows["order"]
                label = scheme + (f", order {power:.2f}" if power else ", no error")
                size = np.maximum(np.abs(rows["error"]), 1e-6)
                points = panel.errorbar(rows["dt"], size, rows["standard_error"], fmt="o")
                colour = points.lines[0].get_color()
                curve = np.maximum(np.abs(rows["predicted"]), 1e-6)
                panel.plot(rows["dt"], curve, "-", color=colour, label=label)
        panel.set(
            title=name, xscale="log", yscale="log", ylim=(1e-5, 1), xlabel="time step",
            ylabel=r"$|\langle x^2 \rangle / \mathrm{exact} - 1|$",
        )  # fmt: skip
        panel.legend(fontsize=8)
    figure.savefig(path, metadata={"Date": None})


def checked_elsewhere(n_seeds: int) -> dict:
    """What `physical_validation` says about the molecule."""
    with tempfile.TemporaryDirectory() as folder:
        for seed in range(n_seeds):
            np.savez(Path(folder) / f"chain-{seed}.npz", **chain_data(seed))
        steps = (0.002, 0.001, 0.0005)
        np.savez(Path(folder) / "conserved.npz", **{str(dt): conserved(dt) for dt in steps})
        script = Path(__file__).with_name("physics_checks.py")
        command = [sys.executable, str(script), folder, str(KT), str(1.1 * KT)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            raise RuntimeError(done.stderr[-2000:])
        return json.loads(done.stdout.splitlines()[-1])


def uniform(p: list[float]) -> float:
    """P value that p values are uniform."""
    return float(stats.kstest(p, "uniform").pvalue)


def main() -> None:
    """Run everything and write it."""
    folder, n_seeds = Path(sys.argv[1]), int((sys.argv[2:] or ["20"])[0])
    study = step_size_study()
    draw(study, folder / "physics.svg")
    checks = checked_elsewhere(n_seeds)
    exact = [stays_exact(seed) for seed in range(n_seeds)]
    result = {
        "seeds": n_seeds,
        "kinetic energy, p value of a KS test": checks["kinetic"],
        "kinetic energy, uniform p": uniform(checks["kinetic"]),
        "kinetic energy, mean and width off by (standard errors)": checks["moments"],
        "ensemble at two temperatures, off by (standard errors)": checks["ensemble"],
        "ensemble, rms over seeds": float(np.sqrt(np.mean(np.square(checks["ensemble"])))),
        "energy conservation, largest deviation of ratios from order 2": checks["convergence"],
        "energy fluctuation at each step, kJ/mol": checks["fluctuation"],
        "exact samples moved by 200 steps, uniform p": {
            name: uniform([row[name] for row in exact]) for name in exact[0]
        },
        "exact samples moved by 200 steps, smallest p": min(min(row.values()) for row in exact),
        "step-size study": study,
    }
    (folder / "physics.json").write_text(json.dumps(result, indent=1) + "\n")
    print(json.dumps(result, indent=1))


if __name__ == "__main__":
    main()
