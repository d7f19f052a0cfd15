"""Frames of alanine dipeptide, drawn as if under a bias on phi, with weights that take it back."""

import json

import numpy as np
import pytest
from typer.testing import CliRunner

from fokker.cli import app
from fokker.dataset.source import load_trajectory, resolve
from fokker.errors import FokkerError
from fokker.metrics import compute, effective_number
from fokker.run.loaded import load_run
from fokker.workflow.preset import preset

TOPOLOGY = resolve("embedded:alanine-dipeptide/topology.pdb")
OWN = ["-p", TOPOLOGY, "--temperature", 300, "--select", "name N CA CB C O"]
MANY, N = 49_900, 6000
KT = 2.494339


def bias(phi):
    """kT; frames near phi = 1, which are rare, are drawn more often."""
    return -3.0 * np.exp(2.0 * (np.cos(phi - 1.0) - 1.0))


def call(*arguments, code=0) -> str:
    result = CliRunner().invoke(app, [str(a) for a in arguments], catch_exceptions=False)
    assert result.exit_code == code, result.output
    return " ".join(result.output.split())


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """A trajectory of biased frames, and a file as PLUMED writes it."""
    folder = tmp_path_factory.mktemp("biased")
    whole = load_trajectory(
        preset(
            "molecule",
            changes={
                "system": {
                    "trajectory": ["embedded:alanine-dipeptide/train.dcd"],
                    "topology": str(TOPOLOGY),
                    "temperature": 300.0,
                    "select": "name N CA CB C O",
                }
            },
        )
    )
    phi = compute(whole.system.collective_variables[0], whole.positions)
    p = np.exp(-bias(phi))
    rows = np.random.default_rng(0).choice(len(phi), N, p=p / p.sum())
    file = folder / "md.npy"
    np.save(file, whole.positions[rows])
    of_frames = KT * bias(phi[rows])
    lines = [f" {k} {phi[i]} {of_frames[k]}\n" for k, i in enumerate(rows)]
    (folder / "COLVAR").write_text("#! FIELDS time phi restraint.bias\n" + "".join(lines))
    np.save(folder / "w.npy", np.exp(of_frames / KT))
    np.savetxt(folder / "log.txt", of_frames / KT)
    return folder, whole


def settings(folder, **system):
    own = {
        "trajectory": [str(folder / "md.npy")],
        "topology": str(TOPOLOGY),
        "temperature": 300.0,
        "select": "name N CA CB C O",
    }
    return preset("molecule", changes={"system": {**own, **system}})


def test_weighted_histograms_are_those_of_unbiased_frames(data):
    """Within five standard errors of the weighted counts, bin by bin, of phi and of psi."""
    folder, whole = data
    config = settings(folder, bias=[f"{folder / 'COLVAR'}:restraint.bias"])
    found = load_trajectory(config, whole.system)
    assert found.weights.mean() == pytest.approx(1.0)
    edges = np.linspace(-np.pi, np.pi, 25)
    for number, variable in enumerate(whole.system.collective_variables[:2]):
        values = compute(variable, found.positions)
        exact = np.histogram(compute(variable, whole.positions), edges)[0] / len(whole.positions)
        p = np.histogram(values, edges, weights=found.weights)[0] / N
        square = np.histogram(values, edges, weights=found.weights**2)[0] / N**2
        error = np.sqrt(square + exact / N**1.5 + 1.0 / N**2)
        assert np.abs((p - exact) / error).max() < 5
        if number == 0:
            plain = np.histogram(values, edges)[0] / N
            assert np.abs((plain - exact) / error).max() > 30


def test_all_ways_to_give_weights_are_one(data):
    folder, whole = data
    given = (
        {"bias": [f"{folder / 'COLVAR'}:restraint.bias"]},
        {"log_weights": [str(folder / "log.txt")]},
        {"weights": [str(folder / "w.npy")]},
    )
    weights = [load_trajectory(settings(folder, **one), whole.system).weights for one in given]
    np.testing.assert_allclose(weights[1], weights[2], rtol=1e-6)
    np.testing.assert_allclose(weights[0], weights[2], rtol=1e-4)


def test_inspect_tells_what_the_frames_are_worth(data, tmp_path):
    folder, _ = data
    weights = np.load(folder / "w.npy")
    file = tmp_path / "seen.json"
    shown = call(
        *("inspect", "molecule", "-f", folder / "md.npy", *OWN, "--json", file),
        *("--weights", folder / "w.npy"),
    )
    effective = effective_number(weights)
    assert f"worth {effective:,.0f} frames that count alike" in shown
    found = json.loads(file.read_text())
    assert found["weights"]["effective_number"] == pytest.approx(effective)
    assert found["weights"]["largest_share"] == pytest.approx(weights.max() / weights.sum())
    assert found["effective_frames"] < 1.1 * effective
    assert not [text for text in found["warnings"] if "by their weights" in text]
    few = np.where(np.arange(N) % 200 == 0, 1.0, 1e-5)
    np.save(tmp_path / "few.npy", few)
    warned = call(
        *("inspect", "molecule", "-f", folder / "md.npy", *OWN, "--weights", tmp_path / "few.npy")
    )
    assert "by their weights the 6,000 frames are worth 30 that count alike" in warned


TINY = [
    *("-sexperts.0.network.width=8", "-sexperts.0.network.depth=1"),
    *("-sexperts.0.training.batch_size=16", "-sexperts.0.training.steps=4"),
    *("-ssampling.n=300", "-ssampling.batch_size=128", "-ssampling.sampler.steps=5"),
    *("-ssimulation.chains=4", "-ssimulation.steps=100", "-ssimulation.stride=10"),
]


def test_a_run_with_weights_compares_with_weighted_frames(data, tmp_path):
    folder, whole = data
    run = tmp_path / "run"
    shown = call(
        *("run", "molecule", "-m", "diffusion", "-f", folder / "md.npy", *OWN, *TINY, "-o", run),
        *("--stride", 2, "--frame-bias", f"{folder / 'COLVAR'}:restraint.bias"),
    )
    assert "by their weights worth" in shown
    metrics = json.loads((run / "metrics.json").read_text())
    phi = compute(whole.system.collective_variables[0], whole.positions)
    for table in (metrics["iid"], metrics["sim"]):
        assert table["n_training_effective"] < 0.95 * table["n_training"]
        own = table["collective_variables"]["phi"]
        turn = np.exp(1j * phi).mean()
        error = 4 / np.sqrt(table["n_training_effective"])
        assert abs(own["training_mean"] - np.angle(turn)) < error / abs(turn)
    assert "(worth " in (run / "report.html").read_text()
    refused = call("evaluate", run, "--frame-time", "1ps", code=2)
    assert "a bias changes how fast things happen" in refused
    # simulations begin from frames of the unbiased distribution too
    start = load_run(run)
    frames = start.scaling.invert(start.start_frames)
    shown = np.angle(np.exp(1j * compute(whole.system.collective_variables[0], frames)).mean())
    assert abs(shown - np.angle(turn)) < error / abs(turn)


BAD = {
    "short": (np.ones(N - 1), "holds 5,999 weights"),
    "negative": (-np.ones(N), "not below zero"),
    "nan": (np.full(N, np.nan), "finite"),
    "zero": (np.zeros(N), "weights of all frames are zero"),
    "one": (np.where(np.arange(N) == 7, 1.0, 1e-12), "frame 7 of those read has 100.0%"),
}


@pytest.mark.parametrize("name", BAD)
@pytest.mark.parametrize("command", ["inspect", "train"])
def test_bad_weights_end_in_one_sentence(data, tmp_path, name, command):
    folder, _ = data
    values, told = BAD[name]
    file = tmp_path / f"{name}.npy"
    np.save(file, values)
    out = ["-o", tmp_path / "run"] if command == "train" else []
    shown = call(
        *(command, "molecule", "-f", folder / "md.npy", *OWN, *out, "--weights", file), code=2
    )
    assert told in shown
    assert file.name in shown
    assert "Traceback" not in shown


def test_what_takes_no_weights_says_so(data, tmp_path):
    folder, _ = data
    w = folder / "w.npy"
    shown = call("train", "molecules", "--folder", folder, "--temperature", 300,
                 "-o", tmp_path / "a", "--weights", w, code=2)  # fmt: skip
    assert "the frames of many molecules count alike" in shown
    shown = call("train", "mixture-2d", "-o", tmp_path / "a", "--weights", w, code=2)
    assert "--weights is for your own molecule" in shown
    shown = call("train", "molecule", "-f", folder / "md.npy", *OWN, "-o", tmp_path / "a",
                 "--weights", w, "--log-weights", w, code=2)  # fmt: skip
    assert "weights and log_weights say the same" in shown
    with pytest.raises(FokkerError, match="the forces of a biased simulation"):
        settings(folder, weights=[str(w)], forces=["forces.npz"])
    with pytest.raises(FokkerError, match="a bias changes how fast things happen"):
        settings(folder, weights=[str(w)], frame_time="1ps")
