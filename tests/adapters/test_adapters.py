"""The same energy and forces in fokker, OpenMM, openmmml, ASE and from the exported weights."""

import ast
import json
import os
import subprocess
import sys
import threading

import jax
import numpy as np
import pytest
from safetensors import safe_open
from typer.testing import CliRunner

from fokker import FokkerError, load_run, preset
from fokker.adapters.evaluator import BATCH, evaluator, potential
from fokker.adapters.openmm_script import export_openmm
from fokker.adapters.weights import export_weights
from fokker.cli import app as command_line
from fokker.dynamics import LangevinOptions, State
from tests.helpers.engine_run import EXPERT, make_run, without_energy
from tests.helpers.tools import random_rotation


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return make_run(tmp_path_factory.mktemp("engines") / "run")


@pytest.fixture(scope="module")
def loaded(run):
    return load_run(run)


@pytest.fixture(scope="module")
def evaluate(loaded):
    return evaluator(loaded)


@pytest.fixture(scope="module")
def frames(loaded):
    """Training frames somewhere in space, nm."""
    rng = np.random.default_rng(0)
    positions = loaded.scaling.invert(loaded.start_frames[::450]).astype(np.float64)
    return positions @ random_rotation() + rng.normal(size=(len(positions), 1, 3))


@pytest.fixture(scope="module")
def truth(loaded, frames):
    """Energy and forces of the library itself, frame by frame."""
    force = loaded.force(loaded.config.simulation.t)
    x = (frames - frames.mean(axis=1, keepdims=True)).astype(np.float32)
    scaled = x / loaded.scaling.scale
    t = jax.numpy.asarray(loaded.config.simulation.t)
    energy = jax.vmap(lambda y: force.model.energy(y, t, loaded.features))(scaled)
    return loaded.system.kT * np.asarray(energy), np.asarray(jax.vmap(force)(x))


def assert_same(found, truth):
    energy, forces = truth
    np.testing.assert_allclose(found[0], energy, rtol=1e-4)
    np.testing.assert_allclose(found[1], forces, rtol=1e-3, atol=1e-3 * np.abs(forces).max())


def test_evaluator_is_the_energy_and_force_of_the_library(evaluate, frames, truth):
    single = [evaluate(frame) for frame in frames]
    assert_same(tuple(np.stack(part) for part in zip(*single, strict=True)), truth)
    assert_same(evaluate(frames), truth)
    assert np.ptp(truth[0]) > 1.0
    assert np.abs(truth[1]).max() > 100.0


def test_evaluator_compiles_once_for_any_number_of_frames(evaluate, frames):
    tiled = np.tile(frames, (BATCH // len(frames) + 2, 1, 1))
    energies = [evaluate(tiled[:n])[0] for n in (1, 7, BATCH, BATCH + 3)]
    assert [len(e) for e in energies] == [1, 7, BATCH, BATCH + 3]
    np.testing.assert_array_equal(energies[3][:BATCH], energies[2])
    assert evaluate._batch._cache_size() == 1
    for frame in frames:
        evaluate(frame)
    assert evaluate._frame._cache_size() == 1
    assert evaluate(tiled[:0])[1].shape == (0, 5, 3)


def test_forces_are_minus_the_gradient_of_the_energy(evaluate, frames):
    rng = np.random.default_rng(1)
    h = 1e-4
    for frame in frames[:5]:
        along = rng.normal(size=frame.shape)
        along /= np.linalg.norm(along)
        forward, backward = (float(evaluate(frame + s * h * along)[0]) for s in (1, -1))
        force = evaluate(frame)[1]
        assert (backward - forward) / (2 * h) == pytest.approx(
            np.sum(force * along), abs=5e-3 * np.linalg.norm(force)
        )
        np.testing.assert_allclose(force.sum(axis=0), 0.0, atol=1e-4 * np.abs(force).max())


def test_far_from_the_origin_nothing_is_lost(evaluate, frames):
    near, far = evaluate(frames), evaluate(frames + 1e4)
    np.testing.assert_allclose(far[1], near[1], atol=1e-4 * np.abs(near[1]).max())


def test_bad_use_is_refused_in_one_sentence(loaded, evaluate, frames):
    with pytest.raises(FokkerError, match=r"no energy \(kind = \"score\"\)"):
        evaluator(without_energy(loaded))
    with pytest.raises(FokkerError, match="t = 2"):
        evaluator(loaded, t=2.0)
    with pytest.raises(FokkerError, match=r"shape \(4, 3\) do not fit"):
        evaluate(frames[0][:4])
    with pytest.raises(FokkerError, match="no such run"):
        evaluator("nowhere")


# --- OpenMM -------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def in_openmm(loaded):
    """Context of the run on the reference platform."""
    openmm = pytest.importorskip("openmm")
    from fokker.adapters.openmm import system

    platform = openmm.Platform.getPlatformByName("Reference")
    return openmm.Context(system(loaded), openmm.VerletIntegrator(0.002), platform)


def openmm_energy_and_forces(context, positions):
    context.setPositions(positions)
    state = context.getState(energy=True, forces=True)
    return state.getPotentialEnergy()._value, state.getForces(asNumpy=True)._value


def test_openmm_has_the_same_energy_and_forces(in_openmm, frames, truth):
    found = [openmm_energy_and_forces(in_openmm, frame) for frame in frames]
    assert_same(tuple(np.stack(part) for part in zip(*found, strict=True)), truth)


def test_openmm_forces_are_minus_the_gradient_of_its_energy(in_openmm, frames):
    _, force = openmm_energy_and_forces(in_openmm, frames[0])
    h, along = 1e-4, force / np.linalg.norm(force)
    forward, backward = (
        openmm_energy_and_forces(in_openmm, frames[0] + s * h * along)[0] for s in (1, -1)
    )
    assert (backward - forward) / (2 * h) == pytest.approx(np.linalg.norm(force), rel=5e-3)


def test_openmm_system_and_topology_are_those_of_the_run(in_openmm, loaded):
    from fokker.adapters.openmm import topology

    made, beads = in_openmm.getSystem(), loaded.system
    assert [made.getParticleMass(i)._value for i in range(5)] == pytest.approx(beads.masses)
    assert [f.getName() for f in made.getForces()] == ["FokkerForce", "CMMotionRemover"]
    assert not made.usesPeriodicBoundaryConditions()
    atoms = list(topology(loaded).atoms())
    assert [a.name for a in atoms] == [b.name for b in beads.beads]
    assert [a.element.symbol for a in atoms] == [b.element for b in beads.beads]
    assert [a.residue.name for a in atoms] == ["ACE", "ALA", "ALA", "ALA", "NME"]
    bonds = {tuple(sorted((a.index, b.index))) for a, b in topology(loaded).bonds()}
    assert bonds == set(beads.bonds)


def test_openmm_force_on_some_particles_of_a_system(loaded, frames, truth):
    openmm = pytest.importorskip("openmm")
    from fokker.adapters.openmm import fokker_force

    made = openmm.System()
    for _ in range(7):
        made.addParticle(12.0)
    made.addForce(fokker_force(loaded, particles=[6, 1, 2, 3, 4]))
    context = openmm.Context(
        made, openmm.VerletIntegrator(0.001), openmm.Platform.getPlatformByName("Reference")
    )
    positions = np.zeros((7, 3))
    positions[[6, 1, 2, 3, 4]] = frames[0]
    energy, forces = openmm_energy_and_forces(context, positions)
    assert energy == pytest.approx(truth[0][0], rel=1e-4)
    np.testing.assert_allclose(forces[[6, 1, 2, 3, 4]], truth[1][0], rtol=1e-3, atol=0.5)
    assert not forces[[0, 5]].any()
    with pytest.raises(FokkerError, match="3 particles do not fit"):
        fokker_force(loaded, particles=[0, 1, 2])


def test_openmm_copies_do_not_feel_each_other(loaded, frames, truth):
    openmm = pytest.importorskip("openmm")
    from fokker.adapters.openmm import system, topology

    made = system(loaded, copies=3)
    context = openmm.Context(
        made, openmm.VerletIntegrator(0.001), openmm.Platform.getPlatformByName("Reference")
    )
    energy, forces = openmm_energy_and_forces(context, np.concatenate(frames[:3]))
    assert_same((energy, forces.reshape(3, 5, 3)), (truth[0][:3].sum(), truth[1][:3]))
    assert made.getNumForces() == 1
    many = topology(loaded, copies=3)
    assert (many.getNumAtoms(), many.getNumChains(), many.getNumBonds()) == (15, 3, 12)


def test_openmm_verlet_is_our_frictionless_langevin(in_openmm, loaded, frames):
    """The same leapfrog: velocities half a step behind, kick, drift."""
    dt, n = 0.002, 50
    x = frames[0] - frames[0].mean(axis=0)
    in_openmm.setPositions(x)
    in_openmm.setVelocities(np.zeros_like(x))
    in_openmm.getIntegrator().step(n)
    found = in_openmm.getState(positions=True).getPositions(asNumpy=True)._value

    integrator = LangevinOptions(dt=dt, friction=0.0).build(loaded.system.masses, loaded.system.kT)
    force = loaded.force(loaded.config.simulation.t)
    start = State(jax.numpy.asarray(x, np.float32), jax.numpy.zeros(x.shape))
    step = jax.jit(lambda state: integrator.advance(state, force, jax.numpy.zeros(x.shape)))
    state = start
    for _ in range(n):
        state = step(state)
    np.testing.assert_allclose(found, state.x, atol=1e-4)
    assert np.abs(found - x).max() > 0.001


def test_an_openmm_force_is_never_serialised(in_openmm):
    """Its XML would hold a pickle."""
    openmm = pytest.importorskip("openmm")
    for thing in (in_openmm.getSystem(), in_openmm.getSystem().getForce(0)):
        with pytest.raises(openmm.OpenMMException, match="could not be pickled"):
            openmm.XmlSerializer.serialize(thing)


def test_openmmml_finds_the_potential_by_name(run, loaded, frames, truth):
    openmm = pytest.importorskip("openmm")
    ml = pytest.importorskip("openmmml")
    from fokker.adapters.openmm import topology

    made = ml.MLPotential("fokker", run=str(run)).createSystem(topology(run))
    assert made.getParticleMass(0)._value == pytest.approx(loaded.system.masses[0])
    context = openmm.Context(
        made, openmm.VerletIntegrator(0.001), openmm.Platform.getPlatformByName("Reference")
    )
    energy, forces = openmm_energy_and_forces(context, frames[1])
    assert energy == pytest.approx(truth[0][1], rel=1e-4)
    np.testing.assert_allclose(forces, truth[1][1], rtol=1e-3, atol=0.5)


def test_openmmml_refuses_other_atoms_and_arguments(run):
    ml = pytest.importorskip("openmmml")
    from fokker.adapters.openmm import app, topology

    with pytest.raises(FokkerError, match="needs a run"):
        ml.MLPotential("fokker")
    with pytest.raises(FokkerError, match="unknown argument 'model'"):
        ml.MLPotential("fokker", run=run, model="x")
    potential = ml.MLPotential("fokker", run=run)
    with pytest.raises(FokkerError, match="unknown argument 'device'"):
        potential.createSystem(topology(run), device="cuda")
    other = app.Topology()
    residue = other.addResidue("MOL", other.addChain())
    for name in "NCNCN":
        other.addAtom(name, app.Element.getBySymbol(name), residue)
    with pytest.raises(FokkerError, match="is N, the bead ACE1-C"):
        potential.createSystem(other)
    other.addAtom("C", app.element.carbon, residue)
    with pytest.raises(FokkerError, match="6 atoms do not fit"):
        potential.createSystem(other)


def test_openmmml_mixes_the_molecule_with_other_atoms(run, frames, truth):
    openmm = pytest.importorskip("openmm")
    ml = pytest.importorskip("openmmml")
    from fokker.adapters.openmm import app, topology

    mixed, bare = topology(run), openmm.System()
    mixed.addAtom("Ar", app.element.argon, mixed.addResidue("AR", mixed.addChain()))
    for _ in range(6):
        bare.addParticle(12.0)
    made = ml.MLPotential("fokker", run=run).createMixedSystem(mixed, bare, range(5), forceGroup=3)
    context = openmm.Context(
        made, openmm.VerletIntegrator(0.001), openmm.Platform.getPlatformByName("Reference")
    )
    context.setPositions(np.concatenate([frames[0], np.ones((1, 3))]))
    energy = context.getState(energy=True, groups={3}).getPotentialEnergy()._value
    assert energy == pytest.approx(truth[0][0], rel=1e-4)
    assert made.getParticleMass(0)._value == 12.0


def test_openmmml_loads_no_jax_when_imported():
    pytest.importorskip("openmmml")
    code = (
        "import sys, openmmml; print('jax' in sys.modules, "
        "'fokker' in openmmml.MLPotential._implFactories)"
    )
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert out.stdout.split() == ["False", "True"]


# --- the exported script ------------------------------------------------------------------------


def test_the_exported_script_simulates(run, tmp_path):
    pytest.importorskip("openmm")
    import mdtraj

    out = tmp_path / "it's" / "exported"
    result = CliRunner().invoke(command_line, ["export-openmm", str(run), "-o", str(out)])
    assert result.exit_code == 0, result.output
    script = out / "simulate.py"
    assert "XmlSerializer" not in script.read_text()
    arguments = [sys.executable, str(script), "--steps", "40", "--stride", "10"]
    done = subprocess.run(arguments, capture_output=True, text=True, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    trajectory = mdtraj.load(str(out / "trajectory.dcd"), top=str(out / "topology.pdb"))
    assert trajectory.xyz.shape == (4, 5, 3)
    assert np.isfinite(trajectory.xyz).all()
    assert trajectory.topology.n_bonds == 4
    log = (out / "log.csv").read_text().splitlines()
    assert len(log) == 5
    again = subprocess.run(arguments, capture_output=True, text=True, cwd=tmp_path)
    assert again.returncode == 2
    assert "already exists" in again.stderr


def test_the_exported_script_simulates_molecules_of_equal_names(tmp_path):
    """Two chains of one letter, an insertion code, and names that PDB has no room for."""
    pytest.importorskip("openmm")
    from openmm import app

    from fokker.adapters.openmm import topology

    rows = [(n, code, name) for n, code in ((1, " "), (1, "A")) for name in ("N", "CA", "C")]
    lines = [
        f"ATOM  {i + 1:5d}  {name:<3s} GLY L{n:4d}{code}   {1.4 * i:8.3f}{i % 2:8.3f}{0:8.3f}"
        f"  1.00  0.00           {name[0]}"
        for i, (n, code, name) in enumerate(rows * 2)
    ]
    (tmp_path / "md.pdb").write_text("\n".join([*lines[:6], "TER", *lines[6:], "END", ""]))
    still = np.array([[0.14 * i, 0.1 * (i % 2), 0.0] for i in range(12)])
    noise = np.random.default_rng(0).normal(0.0, 0.005, (1000, 12, 3))
    np.save(tmp_path / "md.npy", (still + noise).astype(np.float32))
    files = {"trajectory": [str(tmp_path / "md.npy")], "topology": str(tmp_path / "md.pdb")}
    config = preset(
        "molecule", "diffusion", {"system": {**files, "temperature": 300.0}, "experts": [EXPERT]}
    )
    run, out = make_run(tmp_path / "run", config), tmp_path / "exported"
    result = CliRunner().invoke(command_line, ["export-openmm", str(run), "-o", str(out)])
    assert result.exit_code == 0, result.output
    arguments = [sys.executable, str(out / "simulate.py"), "--steps", "2", "--stride", "1"]
    done = subprocess.run(arguments, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    of_run = topology(run)
    for made in (of_run, app.PDBFile(str(out / "topology.pdb")).topology):
        assert [len(list(chain.atoms())) for chain in made.chains()] == [6, 6]
        residues = [(r.id, r.insertionCode.strip()) for r in made.residues()]
        assert residues == [("1", ""), ("1", "A")] * 2
    assert [chain.id for chain in of_run.chains()] == ["L", "A"]


def test_export_openmm_refuses_in_one_sentence(run, loaded, tmp_path):
    export_openmm(run, tmp_path / "a")
    ast.parse((tmp_path / "a" / "simulate.py").read_text())
    result = CliRunner().invoke(
        command_line, ["export-openmm", str(run), "-o", str(tmp_path / "a")]
    )
    assert result.exit_code == 2
    assert "already exists" in " ".join(result.output.split())
    export_openmm(run, tmp_path / "a", overwrite=True)
    with pytest.raises(FokkerError, match="no energy"):
        export_openmm(without_energy(loaded), tmp_path / "b")
    assert not (tmp_path / "b").exists()


# --- ASE ----------------------------------------------------------------------------------------


def test_ase_has_the_same_energy_and_forces(run, frames, truth):
    units = pytest.importorskip("ase.units")
    from fokker.adapters.ase import atoms

    molecule = atoms(run)
    assert molecule.get_chemical_symbols() == ["C", "N", "C", "C", "N"]
    found = []
    for frame in frames:
        molecule.positions = frame * units.nm
        energy = molecule.get_potential_energy() / (units.kJ / units.mol)
        found.append((energy, molecule.get_forces() / (units.kJ / units.mol / units.nm)))
    assert_same(tuple(np.stack(part) for part in zip(*found, strict=True)), truth)


def test_ase_dynamics_are_ours(run, loaded, evaluate):
    """Velocity Verlet from rest is leapfrog with half a kick first."""
    ase = pytest.importorskip("ase")
    from ase.md.verlet import VelocityVerlet

    from fokker.adapters.ase import atoms

    molecule = atoms(run)
    x, dt, n = molecule.positions / ase.units.nm, 0.002, 50
    VelocityVerlet(molecule, timestep=dt * 1e3 * ase.units.fs).run(n)

    masses = np.asarray(loaded.system.masses)[:, None]
    v = 0.5 * dt * evaluate(x)[1] / masses
    for _ in range(n):
        x = x + dt * v
        v = v + dt * evaluate(x)[1] / masses
    np.testing.assert_allclose(molecule.positions / ase.units.nm, x, atol=1e-5)


def test_ase_refuses_periodic_atoms_and_other_counts(run):
    pytest.importorskip("ase")
    from fokker.adapters.ase import atoms

    molecule = atoms(run)
    molecule.pbc = True
    with pytest.raises(FokkerError, match="periodic"):
        molecule.get_potential_energy()
    few = atoms(run)[:3]
    few.calc = molecule.calc
    with pytest.raises(FokkerError, match="3 atoms do not fit"):
        few.get_potential_energy()


def test_the_protocol_of_i_pi_gives_the_same_forces(run):
    """ASE's client, which i-PI drives, against ASE's server, which speaks as i-PI does."""
    pytest.importorskip("ase")
    from ase.calculators.socketio import SocketClient, SocketIOCalculator

    from fokker.adapters.ase import atoms

    here, there = atoms(run), atoms(run)
    there.calc = None
    name = f"fokker-test-{os.getpid()}"
    with SocketIOCalculator(unixsocket=name, timeout=60) as server:
        client = threading.Thread(
            target=lambda: SocketClient(unixsocket=name).run(atoms(run), use_stress=False),
            daemon=True,
        )
        client.start()
        there.calc = server
        there.positions[0] += 0.05
        here.positions[0] += 0.05
        assert there.get_potential_energy() == pytest.approx(here.get_potential_energy(), rel=1e-6)
        np.testing.assert_allclose(there.get_forces(), here.get_forces(), atol=1e-6)
    client.join(timeout=60)
    assert not client.is_alive()


# --- weights ------------------------------------------------------------------------------------


def silu(x):
    return x / (1.0 + np.exp(-x))


def energy_from_file(path, positions):
    """Forward pass of the invariant network in double precision, from the file alone; kJ/mol."""
    with safe_open(path, "np") as file:
        header = json.loads(file.metadata()["fokker"])
        expert = header["experts"][0]
        names = [n for n in file.keys() if n.startswith(expert["prefix"])]  # noqa: SIM118
        p = {n.removeprefix(expert["prefix"]): file.get_tensor(n).astype(float) for n in names}
    assert expert["network"]["name"] == "invariant"
    assert header["process"]["name"] == "vp"
    low, high, t = header["process"]["beta_min"], header["process"]["beta_max"], header["t"]
    log_alpha = -0.5 * t * (low + 0.5 * t * (high - low))
    alpha, sigma = np.exp(log_alpha), np.sqrt(-np.expm1(2 * log_alpha))

    def linear(name, x):
        return p[f"trunk.{name}.weight"] @ x + p[f"trunk.{name}.bias"]

    x = (positions - positions.mean(axis=0) - header["offset"]) / header["scale"]
    i, j = p["geometry.pairs"].astype(int).T
    r = np.sqrt(((x[i] - x[j]) ** 2).sum(axis=1) + 1e-12)
    spread = alpha**2 * p["geometry.distance_std"] ** 2 + 2 * sigma**2
    z_r = (r - alpha * p["geometry.distance_mean"]) / np.sqrt(spread)
    a, b, c = p["geometry.edges"] @ x
    volume = (a * np.cross(b, c)).sum(axis=1)
    variance = (
        alpha**6 * p["geometry.volume_std"] ** 2
        + 2 * sigma**2 * alpha**4 * p["geometry.mean_area"]
        + 8 * sigma**4 * alpha**2 * p["geometry.mean_length"]
        + 48 * sigma**6
    )
    z_v = (volume - alpha**3 * p["geometry.volume_mean"]) / np.sqrt(variance)
    finest = p["geometry.distance_std"].min() / 2
    log_snr = -np.log((sigma / alpha) ** 2 + finest**2)
    phases = 2 * np.pi * log_snr / np.array([4, 8, 16, 32])
    h = silu(linear("first", np.r_[z_r, z_v, log_snr / 10, np.sin(phases), np.cos(phases)]))
    for layer in range(expert["network"]["depth"]):
        h = h + silu(linear(f"layers.{layer}", h))
    grid_start = 1e-3
    grid = np.linspace(np.log(grid_start), np.log(30.0), 24)
    place = np.log((sigma / alpha) ** 2 + grid_start**2) / 2
    share = np.exp(-(((place - grid) / (grid[1] - grid[0])) ** 2))
    w = (share / share.sum() @ p["springs.stiffness"])[p["springs.kind"].astype(int)]
    base = w @ z_r**2 + header["degrees_of_freedom"] / 2 * (w @ np.log(spread)) / w.sum()
    lowest = np.log(finest)
    steps = 7 * (np.log((sigma / alpha) ** 2 + finest**2) / 2 - lowest) / (np.log(3.0) - lowest)
    share = np.exp(-((steps - np.arange(8)) ** 2))
    height = np.tensordot(share / share.sum(), p["potentials.height"], 1)
    u, shrunk = np.r_[r, volume], np.r_[alpha + 0 * r, alpha**3 + 0 * volume]
    noise = np.r_[2 * sigma**2 + 0 * r, variance - alpha**6 * p["geometry.volume_std"] ** 2]
    width = (shrunk * p["potentials.width"]) ** 2 + noise
    away = u - shrunk * p["potentials.centre"]
    potentials = (height * np.exp(-0.5 * away**2 / width)).sum()
    return header["system"]["kT"] * (base + potentials + linear("last", h)[0])


def test_exported_weights_are_enough_for_the_energy(run, frames, truth, tmp_path):
    out = tmp_path / "weights.safetensors"
    result = CliRunner().invoke(command_line, ["export-weights", str(run), "-o", str(out)])
    assert result.exit_code == 0, result.output
    energy = [energy_from_file(out, frame) for frame in frames]
    np.testing.assert_allclose(energy, truth[0], rtol=1e-4)


def test_exported_weights_say_what_they_are(run, loaded, tmp_path):
    out = tmp_path / "weights.safetensors"
    export_weights(run, out)
    with safe_open(out, "np") as file:
        header = json.loads(file.metadata()["fokker"])
        shapes = {n: list(file.get_tensor(n).shape) for n in file.keys()}  # noqa: SIM118
    assert {n: a["shape"] for n, a in header["arrays"].items()} == shapes
    assert header["scale"] == loaded.scaling.scale
    assert header["experts"][0]["interval"] == [0.0, 1.0]
    with pytest.raises(FokkerError, match="already exists"):
        export_weights(run, out)
    with pytest.raises(FokkerError, match="use that suffix"):
        export_weights(run, tmp_path / "weights.pt")
    with pytest.raises(FokkerError, match="could not be written"):
        export_weights(run, tmp_path / "no" / "weights.safetensors")


def test_help_of_the_exports_shows_an_example():
    for command in ("export-openmm", "export-weights"):
        output = CliRunner().invoke(command_line, [command, "--help"]).output
        assert f"fokker {command}" in " ".join(output.split())
        assert "Example" in output


def test_a_potential_can_be_used_inside_jax(loaded, frames, truth):
    inside = jax.jit(jax.vmap(potential(loaded)))
    assert_same(tuple(np.asarray(p) for p in inside(frames.astype(np.float32))), truth)
