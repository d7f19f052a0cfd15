"""`fokker sample --sampler annealed`, its weights, biases, and `fokker likelihood`."""

import csv
import shutil
from pathlib import Path

import jax.numpy as jnp
import numpy as np
import pytest
from typer.testing import CliRunner

from fokker.cli.app import app
from fokker.config import BiasOptions, SamplingOptions
from fokker.dataset.frames import centre
from fokker.errors import FokkerError
from fokker.metrics import Ancestry, evenly
from fokker.run.folder import RunFolder
from fokker.run.loaded import load_run
from fokker.run.weights import read_weights, weights_file
from fokker.runtime.interruption import Interrupted, Stop
from fokker.sampler import AnnealedOptions, DPMSolverOptions
from fokker.trajectory import read_frames
from fokker.workflow.evaluate import evaluate
from fokker.workflow.likelihood import likelihood
from fokker.workflow.sample import sample
from tests.helpers.engine_run import make_run

OPTIONS = SamplingOptions(n=80, batch_size=32, sampler=AnnealedOptions(variance=0.5, most_steps=40))


class Stopped(Stop):
    """A stop that was asked for."""

    def __call__(self) -> bool:
        return True


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    run = make_run(tmp_path_factory.mktemp("annealed") / "run")
    sample(run, options=OPTIONS)
    return run


@pytest.fixture
def run(made: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(made, tmp_path / "run"))


def test_samples_have_weights_and_a_record_of_what_they_are_worth(run: Path):
    folder = RunFolder(run)
    record = folder.read_record()["sampling"]
    weights = read_weights(run / "samples.xtc", 80)
    assert weights is not None
    assert weights.mean() == pytest.approx(1.0)
    # each island has one weight: its normalisation
    assert [len(set(part)) for part in np.split(weights, [32, 64])] == [1, 1, 1]
    assert record["islands"] == 3
    assert 1.0 <= record["effective"] <= 80.0
    assert record["distinct_ancestors"] <= 80
    assert record["log_normalisation_error"] > 0.0
    assert record["sampler"] == "annealed"
    assert record["not_finite"] == 0


def test_a_run_that_was_interrupted_ends_as_one_that_was_not(run: Path):
    whole = (run / "samples.xtc").read_bytes(), (run / "samples.weights.npy").read_bytes()
    again = run / "again.xtc"
    with pytest.raises(Interrupted):
        sample(run, options=OPTIONS, out=again, stop=Stopped())
    assert not weights_file(again).exists()
    sample(run, options=OPTIONS, out=again, resume=True)
    assert (again.read_bytes(), weights_file(again).read_bytes()) == whole


def test_samples_of_another_sampler_do_not_keep_the_weights(run: Path):
    plain = SamplingOptions(n=8, batch_size=8, sampler=DPMSolverOptions(steps=4))
    sample(run, options=plain, overwrite=True)
    assert not (run / "samples.weights.npy").exists()
    assert read_weights(run / "samples.xtc", 8) is None


def test_floors_of_annealed_samples_are_those_of_so_many_independent_ones(run: Path):
    # of even weights, so that the two evaluations differ in ancestors alone
    np.save(run / "samples.weights.npy", np.ones(80))
    own = evaluate(run)["iid"]
    folder = RunFolder(run)
    record = folder.read_record()["sampling"]
    folder.note(sampling={**record, "effective": 80.0})
    all_independent = evaluate(run)["iid"]
    assert own["js"] == all_independent["js"]
    assert own["js_floor"] > 1.5 * all_independent["js_floor"]


def test_a_bias_pulls_and_weights_lead_back(run: Path):
    loaded = load_run(run)
    bias = BiasOptions(variable="distance ACE1-C NME3-N", center=0.5, k=2000.0)
    options = OPTIONS.model_copy(update={"bias": bias, "n": 64})
    target = sample(run, options=options, out=run / "biased.xtc")
    names = [label for label in loaded.system.labels]
    i, j = names.index("ACE1-C"), names.index("NME3-N")

    def distances(path: Path) -> np.ndarray:
        x = read_frames(path, loaded.system)
        return np.linalg.norm(x[:, i] - x[:, j], axis=-1)

    plain, pulled = distances(run / "samples.xtc"), distances(target)
    assert abs(pulled.mean() - 0.5) < abs(plain.mean() - 0.5)
    weights = read_weights(target, 64)
    assert weights is not None
    # weights are exp(+bias), times the normalisation of each island
    energy = 0.5 * 2000.0 / loaded.system.kT * (pulled - 0.5) ** 2
    for part in (slice(0, 32), slice(32, 64)):
        constant = np.log(weights[part]) - energy[part]
        # XTC holds 0.001 nm, and the bias is of the frame denoised by 0.001 of the data's scale
        assert np.ptp(constant) < 0.2 + 0.05 * energy[part].max()
    sample(run, options=options, out=target, resume=True)
    again = read_weights(target, 64)
    assert np.array_equal(again, weights)


def test_frames_are_drawn_as_often_as_their_weights_say():
    weights = np.array([0.0, 2.5, 0.5, 1.0])
    assert evenly(weights).tolist() == [1, 1, 2, 3] or evenly(weights).tolist() == [1, 1, 1, 3]
    assert evenly(np.ones(5)).tolist() == [0, 1, 2, 3, 4]


@pytest.mark.parametrize(
    "content",
    [np.ones(79), np.full(80, np.nan), -np.ones(80), np.zeros(80), np.ones(80, int)],
    ids=["length", "not finite", "negative", "zero", "integers"],
)
def test_weights_that_are_none_are_told(run: Path, content: np.ndarray):
    np.save(run / "samples.weights.npy", content)
    with pytest.raises(FokkerError, match=r"samples\.weights\.npy: not 80 weights"):
        read_weights(run / "samples.xtc", 80)


def test_weights_that_are_no_numpy_file_are_told(run: Path):
    (run / "samples.weights.npy").write_bytes(b"text")
    with pytest.raises(FokkerError, match="not a NumPy file"):
        read_weights(run / "samples.xtc", 80)


def test_log_densities_are_energies_up_to_one_constant(run: Path):
    found = likelihood(run, run / "samples.xtc", out=run / "log.csv", particles=64)
    loaded = load_run(run)
    frames = read_frames(run / "samples.xtc", loaded.system)
    scaled = jnp.asarray(loaded.scaling.apply(centre(frames)))
    expert, t = loaded.model.expert_at(1e-5), jnp.asarray(1e-5)
    energy = np.array([float(expert.energy(x, t, loaded.features)) for x in scaled])
    constant = found.log_density + energy
    assert np.ptp(constant) < 1e-2
    assert found.degrees_of_freedom == 12
    scale = 12 * np.log(loaded.scaling.scale)
    assert constant.mean() == pytest.approx(-found.log_normalisation - scale, abs=1e-2)
    rows = list(csv.DictReader((run / "log.csv").open()))
    assert [float(row["log_density"]) for row in rows] == pytest.approx(found.log_density, abs=1e-5)
    with pytest.raises(FokkerError, match="exists; choose another name"):
        likelihood(run, run / "samples.xtc", out=run / "log.csv")


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["--center", "60deg"], "name its variable with --bias"),
        (["--bias", "phi"], "needs --center and --k"),
        (["--bias", "phi", "--center", "sixty", "--k", "1"], "'sixty' is not a quantity"),
        (["--bias", "chi9", "--center", "1", "--k", "1"], "'chi9'"),
        (["--bias", "tica", "--center", "1", "--k", "1"], "'tica'"),
        (["--sampler", "anealed"], "anealed"),
        (
            ["--bias", "phi", "--center", "1", "--k", "1", "--sampler", "dpm-solver"],
            "annealed",
        ),
    ],
)
def test_what_cannot_be_biased_is_said_in_one_sentence(run: Path, words: list[str], sentence: str):
    out = str(run / "other.xtc")
    found = CliRunner().invoke(app, ["sample", str(run), "-n", "8", "-o", out, *words])
    assert found.exit_code == 2
    assert sentence in " ".join(found.output.split())
    assert "Traceback" not in found.output
    assert not Path(out).exists()


def test_the_command_says_what_the_samples_are_worth(run: Path):
    words = ["-n", "16", "-s", "batch_size=16", "-s", "sampler.variance=1", "--sampler", "annealed"]
    out = str(run / "other.xtc")
    found = CliRunner().invoke(app, ["sample", str(run), "-o", out, *words])
    assert found.exit_code == 0, found.output
    assert "independent samples" in " ".join(found.output.split())
    found = CliRunner().invoke(app, ["likelihood", str(run), out, "--particles", "32"])
    assert found.exit_code == 0, found.output
    assert "log density of 16 frames" in " ".join(found.output.split())
    assert (run / "log-density.csv").exists()


def test_ancestors_are_what_is_counted():
    even = Ancestry.of(np.zeros(6), np.array([4, 4, 4, 9, 9, 1]))
    assert even.effective == pytest.approx(1.0 / (0.25 + 1 / 9 + 1 / 36))
    assert even.distinct == 3
    mean, error = even.mean(np.array([1.0, 1.0, 1.0, 0.0, 0.0, 0.0]))
    assert mean == pytest.approx(0.5)
    assert error == pytest.approx(np.sqrt(0.25**2 + (1 / 6) ** 2 + (1 / 12) ** 2))
    alone = Ancestry.of(np.array([-np.inf, 0.0, np.log(3.0)]), np.arange(3))
    assert alone.effective == pytest.approx(1.6)
    assert alone.log_scale == pytest.approx(np.log(4.0 / 3.0))
    with pytest.raises(ValueError, match="no sample has a weight"):
        Ancestry.of(np.full(3, -np.inf), np.arange(3))
