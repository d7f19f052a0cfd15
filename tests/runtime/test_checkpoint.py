"""Checkpoints: whole or refused, the older one kept, nothing unpickled."""

import json

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fokker.errors import FokkerError
from fokker.runtime import checkpoint


def tree(seed=0):
    return {
        "linear": eqx.nn.Linear(3, 2, key=jax.random.key(seed)),
        "constant": np.full((2,), seed, np.float32),
        "step": jnp.asarray(seed, jnp.int32),
        "name": "not an array",
    }


@pytest.fixture
def saved(tmp_path):
    return checkpoint.save(tmp_path, 1, {"model": tree(7)}, {"note": "x"})


def test_round_trip_keeps_values_types_and_other_leaves(saved):
    assert checkpoint.read_manifest(saved)["note"] == "x"
    back = checkpoint.load(saved, "model", tree(0))
    want = tree(7)
    assert eqx.tree_equal(eqx.filter(back, eqx.is_array), eqx.filter(want, eqx.is_array))
    assert isinstance(back["constant"], np.ndarray)
    assert back["constant"][0] == 7
    assert back["name"] == "not an array"


def test_keeps_the_newest_two(tmp_path):
    for counter in (1, 2, 3, 10):
        checkpoint.save(tmp_path, counter, {"model": tree(counter)}, {})
    assert sorted(p.name for p in tmp_path.iterdir()) == ["00000003", "00000010"]
    assert checkpoint.latest(tmp_path).name == "00000010"


def test_unfinished_checkpoint_is_never_taken_for_a_whole_one(tmp_path, monkeypatch):
    checkpoint.save(tmp_path, 1, {"model": tree(1)}, {})

    def cut(path, data):
        path.write_bytes(data[: len(data) // 2])
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(checkpoint, "_write", cut)
    with pytest.raises(FokkerError, match="No space left"):
        checkpoint.save(tmp_path, 2, {"model": tree(2)}, {})
    monkeypatch.undo()
    newest = checkpoint.latest(tmp_path)
    assert newest.name == "00000001"
    checkpoint.read_manifest(newest)
    assert [p.name for p in tmp_path.iterdir()] == ["00000001"]


@pytest.mark.parametrize("name", ["model.safetensors"])
def test_one_flipped_byte_is_found_and_the_remedy_names_the_older_one(tmp_path, name):
    checkpoint.save(tmp_path, 1, {"model": tree(1)}, {})
    newest = checkpoint.save(tmp_path, 2, {"model": tree(2)}, {})
    data = bytearray((newest / name).read_bytes())
    data[-3] ^= 1
    (newest / name).write_bytes(data)
    with pytest.raises(FokkerError, match=r"altered.*00000001"):
        checkpoint.read_manifest(newest)


def test_missing_foreign_and_newer_checkpoints(tmp_path, saved):
    with pytest.raises(FokkerError, match="no checkpoint"):
        checkpoint.latest(tmp_path / "nothing")
    manifest = json.loads((saved / "manifest.json").read_text())
    for change, message in (
        ({"format": "other"}, "not a checkpoint of fokker"),
        ({"version": 99}, "version 99"),
        ({"files": {"../evil": {"bytes": 1}}}, "bad entry"),
        ({"files": None}, "list of files"),
    ):
        (saved / "manifest.json").write_text(json.dumps({**manifest, **change}))
        with pytest.raises(FokkerError, match=message):
            checkpoint.read_manifest(saved)


def test_arrays_of_another_model_are_refused(saved):
    other = {**tree(0), "linear": eqx.nn.Linear(4, 2, key=jax.random.key(0))}
    with pytest.raises(FokkerError, match="another model"):
        checkpoint.load(saved, "model", other)
    with pytest.raises(FokkerError, match="another model"):
        checkpoint.load(saved, "model", {**tree(0), "more": jnp.zeros(1)})
    fewer = {"linear": tree(0)["linear"]}
    with pytest.raises(FokkerError, match="unknown array"):
        checkpoint.load(saved, "model", fewer)


@settings(
    max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(data=st.binary(max_size=400))
def test_hostile_bytes_give_one_sentence(saved, data):
    (saved / "manifest.json").write_bytes(data)
    with pytest.raises(FokkerError):
        checkpoint.read_manifest(saved)
    (saved / "model.safetensors").write_bytes(data)
    with pytest.raises(FokkerError):
        checkpoint.load(saved, "model", tree(0))
