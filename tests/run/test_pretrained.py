"""Fine-tuning: training that starts from the weights of another run."""

import equinox as eqx
import jax
import numpy as np
import pytest

from fokker.dataset.frames import centre
from fokker.run.loaded import load_run
from fokker.run.molecule import molecule
from fokker.workflow.evaluate import baseline_of
from tests.cli.test_cli import call, refused
from tests.helpers.peptides import SELECT, write_molecule, write_pdb
from tests.helpers.tools import is_weight

TINY = [
    "-sexperts.0.network.width=8",
    "-sexperts.0.network.depth=1",
    "-sexperts.0.training.batch_size=8",
    "-sexperts.0.training.steps=3",
    "-sexperts.0.training.warmup=1",
]
MANY = ["dipeptides", "--method", "diffusion", "--temperature", 300, "--select", SELECT, *TINY]


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """A run of two dipeptides, and a folder with a third one of their residues."""
    root = tmp_path_factory.mktemp("pretrained")
    for folder, molecules in (("many", ("ALA SER", "VAL ALA")), ("one", ("SER VAL",))):
        (root / folder).mkdir()
        for residues in molecules:
            write_molecule(root / folder, residues.replace(" ", "-"), residues)
    call("train", *MANY, "--folder", root / "many", "-o", root / "base")
    return root


def weights(run):
    return jax.tree.leaves(eqx.filter(run.model, is_weight))


def test_a_model_of_many_is_tuned_to_one_it_has_not_seen(files, tmp_path):
    given = [*MANY, "--folder", files / "one", "--pretrained", files / "base"]
    shown = call("train", *given, "-sexperts.0.training.learning_rate=1e-12", "-o", tmp_path / "a")
    assert "starts from the weights of" in " ".join(shown.split())
    call("train", *given, "-o", tmp_path / "b")
    topology = write_pdb(tmp_path / "SER-VAL.pdb", "SER VAL")
    runs = (files / "base", tmp_path / "a", tmp_path / "b")
    base, still, tuned = (load_run(molecule(run, topology)) for run in runs)
    assert still.scaling == tuned.scaling == base.scaling
    assert tuned.vocabulary == base.vocabulary
    for a, b in zip(weights(base), weights(still), strict=True):
        np.testing.assert_allclose(a, b, atol=1e-8)
    moved = [np.abs(a - b).max() for a, b in zip(weights(base), weights(tuned), strict=True)]
    assert max(moved) > 1e-4


def test_without_validation_commands_are_for_the_one_molecule(files, tmp_path):
    given = [*MANY, "--folder", files / "one", "--pretrained", files / "base"]
    call("train", *given, "-o", tmp_path / "run")
    call("sample", tmp_path / "run", "-n", 8, "-ssampler.steps=2")
    assert (tmp_path / "run" / "molecules" / "SER-VAL" / "samples.xtc").exists()


def test_what_does_not_fit_is_one_sentence(files, tmp_path):
    one = ["--folder", files / "one", "-o", tmp_path / "x"]
    base = ["--pretrained", files / "base"]
    refused("train", *MANY, *one, *base, "-sexperts.0.network.width=16", match="experts.0.network")
    refused("train", *MANY, *one, *base, "-sprocess.name=cosine", match="its process is not that")
    refused("train", *MANY, *one, "--pretrained", tmp_path / "none", match="no checkpoint")
    refused("train", *MANY, *one, *base, "--method", "mixture", match="it has 1 experts")
    other = tmp_path / "other"
    other.mkdir()
    write_molecule(other, "WA", "TRP ALA")
    refused(
        *("train", *MANY, *base, "--folder", other, "-o", tmp_path / "x"),
        match="never trained on bead TRP1-N",
    )
    refused(
        *("train", "alanine-dipeptide", "--method", "diffusion", *TINY, *base),
        *("-o", tmp_path / "x"),
        match="a run of many molecules, and the new one is of one",
    )
    assert not (tmp_path / "x" / "checkpoint").exists()


def test_a_run_of_one_molecule_starts_from_another_of_it(tmp_path):
    given = ["alanine-dipeptide", "--method", "diffusion", *TINY]
    call("train", *given, "-o", tmp_path / "base")
    call("train", *given, "--pretrained", tmp_path / "base", "--seed", 1, "-o", tmp_path / "next")
    base, tuned = (load_run(tmp_path / name) for name in ("base", "next"))
    assert base.scaling == tuned.scaling
    distance = [np.abs(a - b).max() for a, b in zip(weights(base), weights(tuned), strict=True)]
    assert 0 < max(distance) < 0.05
    thinned = ["-ssystem.stride=7", "--pretrained", tmp_path / "base"]
    call("train", *given, *thinned, "-o", tmp_path / "thinned")
    loaded = load_run(tmp_path / "thinned")
    data = baseline_of(loaded)
    assert loaded.scaling == base.scaling
    np.testing.assert_array_equal(data.scaled, loaded.scaling.apply(centre(data.frames)))
    heavy = [*given, "-ssystem.select=not name H"]
    refused(
        *("train", *heavy, "--pretrained", tmp_path / "base", "-o", tmp_path / "x"),
        match="other beads or bonds",
    )
