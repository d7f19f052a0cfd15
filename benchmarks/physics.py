"""Physics of the integrators against closed forms and against the package `physical_validation`.

    python benchmarks/physics.py OUT_FOLDER [SEEDS]

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

KT = 2.5
MASSES = (12.0, 14.0, 16.0, 1.0)


class SoftDoubleWell(AbstractPotential):
    """`x^2 / 2 + 3/2 exp(-x^2 / 2)`: two wells at +-0.9, and a curvature that stays bounded."""

    def energy(self, x):
        """Potential energy, in kT."""
        return jnp.sum(0.5 * x**2 + 1.5 * jnp.exp(-0.5 * x**2))


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


def conserved(dt: float, time: float = 8.0) -> np.ndarray:
    """Energy along one chain without friction, velocities moved to the time of the positions."""
    integrator = LangevinOptions(dt=dt, friction=0.0).build(MASSES, KT)
    potential = Chain()
    x0 = jnp.asarray([[0.15 * i, 0.01 * i * i, 0.0] for i in range(4)], jnp.float32)
    start = integrator.start(x0, random.normal(random.key(1), x0.shape))
    still = jnp.zeros_like(x0)

    def energy(state):
        v = state.v + 0.5 * dt * potential.force(state.x) / integrator.masses[:, None]
        return 0.5 * jnp.sum(integrator.masses[:, None] * v**2) + potential.energy(state.x)

    @jax.jit
    def path(state):
        def step(state, _):
            state = integrator.advance(state, potential.force, still)
            return state, energy(state)

        return lax.scan(step, state, length=round(time / dt))[1]

    return np.asarray(path(start), np.float64)


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


def variance(options, potential, x0, dt, *, chains, time=40.0) -> tuple[float, float]:
    """Mean of x^2 and its standard error over chains."""
    stride = max(1, round(1.0 / dt))
    steps = stride * round(time / (stride * dt))
    integrator = options(dt).build((1.0,), 1.0)
    frames, _ = run(
        integrator, potential, x0[:chains], 3, steps=steps, stride=stride, centred=False, skip=10
    )
    means = (frames.astype(np.float64) ** 2).mean(axis=(0, 2, 3))
    return float(means.mean()), float(means.std(ddof=1) / np.sqrt(chains))


def step_size_study(chains: int = 4000) -> dict:
    """Configurational error `<x^2> / exact - 1` against the step, with standard errors."""
    well, spring = SoftDoubleWell(), Harmonic(jnp.ones((1, 1)), 1.0)
    x = np.linspace(-10, 10, 200_001)
    weight = np.exp(-0.5 * x**2 - 1.5 * np.exp(-0.5 * x**2))
    exact = {"harmonic": 1.0, "double well": float((x**2 * weight).sum() / weight.sum())}
    schemes = {
        "baoab": (lambda dt: LangevinOptions(dt=dt, friction=1.0), (0.3, 0.6, 0.9, 1.2, 1.5)),
        "leimkuhler-matthews": (
            lambda dt: OverdampedOptions(dt=dt, friction=1.0),
            (0.1, 0.2, 0.3, 0.4, 0.6),
        ),
        "euler-maruyama": (
            lambda dt: OverdampedOptions(dt=dt, friction=1.0, scheme="euler-maruyama"),
            (0.1, 0.2, 0.3, 0.4, 0.6),
        ),
    }
    table = {}
    for name, potential in (("harmonic", spring), ("double well", well)):
        x0 = np.asarray(spring.sample(random.key(0), chains))
        for scheme, (options, steps) in schemes.items():
            rows = [variance(options, potential, x0, dt, chains=chains) for dt in steps]
            error = np.array([mean / exact[name] - 1 for mean, _ in rows])
            spread = np.array([e / exact[name] for _, e in rows])
            table[f"{name}, {scheme}"] = {
                "dt": list(steps),
                "error": error.tolist(),
                "standard_error": spread.tolist(),
                "order": fitted_order(np.array(steps), error, spread),
            }
    return table


def fitted_order(dt, error, spread) -> dict[str, float] | None:
    """Power of dt by weighted least squares on logarithms; None where the error is not seen."""
    seen = np.abs(error) > 3 * spread
    if seen.sum() < 3:
        return None
    sigma = spread[seen] / np.abs(error[seen])
    (slope, _), cov = np.polyfit(
        np.log(dt[seen]), np.log(np.abs(error[seen])), 1, w=1 / sigma, cov="unscaled"
    )
    return {"order": float(slope), "standard_error": float(np.sqrt(cov[0, 0]))}


def draw(table: dict, path: Path) -> None:
    """Error against step, one panel a potential."""
    import matplotlib

    matplotlib.use("svg")
    from matplotlib import pyplot as plt

    figure, panels = plt.subplots(1, 2, figsize=(9, 3.6), constrained_layout=True)
    for panel, name in zip(panels, ("harmonic", "double well"), strict=True):
        for key, rows in table.items():
            if key.startswith(name):
                scheme, order = key.split(", ")[1], rows["order"]
                label = scheme + (f", order {order['order']:.2f}" if order else ", not seen")
                size = np.maximum(np.abs(rows["error"]), 1e-6)
                panel.errorbar(rows["dt"], size, rows["standard_error"], fmt="o-", label=label)
        panel.set(
            title=name, xscale="log", yscale="log", ylim=(1e-4, 1), xlabel="time step",
            ylabel=r"$|\langle x^2 \rangle / \mathrm{exact} - 1|$",
        )  # fmt: skip
        panel.legend(fontsize=8)
    figure.savefig(path, metadata={"Date": None})


def checked_elsewhere(n_seeds: int) -> dict:
    """What `physical_validation` says about the molecule."""
    with tempfile.TemporaryDirectory() as folder:
        for seed in range(n_seeds):
            np.savez(Path(folder) / f"chain-{seed}.npz", **chain_data(seed))
        steps = (0.004, 0.002, 0.001)
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
