"""Toy data sets: shapes, reproducibility, the cache and its failures."""

import hashlib
import json
import time
import warnings

import numpy as np
import pytest
from jax import random

from fokker.dataset import toys as datasets
from fokker.dataset.toys import load_toy, reference_frames, toy_names
from fokker.errors import FokkerError
from fokker.potential import MuellerBrown

NAMES = ("mixture-1d", "mixture-2d", "checkerboard", "mueller-brown")


@pytest.fixture
def no_generation(monkeypatch):
    """Fail if frames are made rather than read."""

    def forget(key, n):
        raise AssertionError("frames were generated again")

    def forbid():
        for name, toy in datasets.TOYS.items():
            monkeypatch.setitem(datasets.TOYS, name, toy._replace(generate=forget))

    return forbid


def test_names():
    assert toy_names() == NAMES


@pytest.mark.parametrize("name", NAMES)
def test_frames_and_system(name, tmp_path):
    toy = load_toy(name, n_frames=2500, cache=tmp_path)
    assert toy.positions.shape == (2500, 1, toy.system.dim)
    assert toy.positions.dtype == np.float32
    assert np.isfinite(toy.positions).all()
    assert toy.system.name == name
    assert not toy.system.centred
    assert toy.system.length_unit == ""
    assert toy.system.degrees_of_freedom == toy.system.dim
    assert len(toy.system.collective_variables) == toy.system.dim
    # The limits of the plots hold nearly everything: the Müller-Brown valley leaks half a percent.
    for variable in toy.system.collective_variables:
        x = toy.positions[:, 0, variable.indices[0]]
        assert ((x > variable.limits[0]) & (x < variable.limits[1])).mean() > 0.985


def test_the_mueller_brown_system_is_the_published_one():
    system = datasets.TOYS["mueller-brown"].system
    assert (system.kT, system.masses, system.histogram_bins) == (23.0, (0.5,), 100)
    assert [v.limits for v in system.collective_variables] == [(-1.8, 1.1), (-0.5, 2.0)]


@pytest.mark.parametrize("name", NAMES)
def test_seeds_and_parts(name, tmp_path):
    first = load_toy(name, n_frames=500, cache=tmp_path / "a").positions
    again = load_toy(name, n_frames=500, cache=tmp_path / "b").positions
    np.testing.assert_array_equal(first, again)
    others = [
        load_toy(name, seed=1, n_frames=500, cache=tmp_path / "a").positions,
        reference_frames(name, n_frames=500, cache=tmp_path / "a").positions,
        reference_frames(name, seed=1, n_frames=500, cache=tmp_path / "a").positions,
    ]
    for other in others:
        assert not np.isclose(first, other).all(axis=(1, 2)).any()


def test_default_sizes():
    assert [datasets.TOYS[name].n_frames for name in NAMES] == [50_000, 50_000, 50_000, 100_000]


def test_mueller_brown_in_full(tmp_path):
    """100,000 frames in well under half a minute of one core, with the exact averages."""
    began = time.process_time()
    positions = load_toy("mueller-brown", cache=tmp_path).positions
    assert time.process_time() - began < 30
    assert positions.shape == (100_000, 1, 2)

    chains = positions.reshape(1000, 100, 2).astype(np.float64)
    # Consecutive frames of a chain are close, different chains are not.
    within = np.abs(np.diff(chains, axis=1)).mean()
    assert within < 0.5 * np.abs(chains[1:, 0] - chains[:-1, -1]).mean()

    # Chains are independent, frames are not: each chain's mean is one observation. The exact
    # samples have their own error.

    exact = np.asarray(MuellerBrown().sample(random.key(11), 100_000), np.float64)[:, 0]
    for power in (1, 2):
        means = (chains**power).mean(axis=1)
        error = np.hypot(means.std(axis=0) / 1000**0.5, (exact**power).std(axis=0) / 1e5**0.5)
        assert (np.abs(means.mean(axis=0) - (exact**power).mean(axis=0)) < 5 * error).all()


# ---------------------------------------------------------------- cache


def only(folder, suffix):
    (path,) = folder.glob(f"*{suffix}")
    return path


def test_second_call_reads_the_cache(tmp_path, no_generation):
    first = load_toy("mixture-2d", n_frames=100, cache=tmp_path).positions
    no_generation()
    np.testing.assert_array_equal(
        first, load_toy("mixture-2d", n_frames=100, cache=tmp_path).positions
    )
    assert sorted(path.suffix for path in tmp_path.iterdir()) == [".json", ".npy"]


def test_cache_folder_follows_the_environment(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    load_toy("mixture-1d", n_frames=10)
    assert only(tmp_path / "xdg" / "fokker", ".npy").exists()
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    load_toy("mixture-1d", n_frames=10)
    assert only(tmp_path / "home" / ".cache" / "fokker", ".npy").exists()


def flip_a_byte(folder):
    path = only(folder, ".npy")
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)


def truncate(folder):
    path = only(folder, ".npy")
    path.write_bytes(path.read_bytes()[:60])


def garble_the_manifest(folder):
    only(folder, ".json").write_bytes(b"\xff{")


def empty_the_manifest(folder):
    only(folder, ".json").write_text("[]")


def lose_the_manifest(folder):
    only(folder, ".json").unlink()


def lose_the_frames(folder):
    only(folder, ".npy").unlink()


@pytest.mark.parametrize(
    "damage",
    [
        flip_a_byte,
        truncate,
        garble_the_manifest,
        empty_the_manifest,
        lose_the_manifest,
        lose_the_frames,
    ],
)
def test_a_damaged_cache_is_made_again(damage, tmp_path, no_generation):
    first = load_toy("mixture-1d", n_frames=100, cache=tmp_path).positions
    damage(tmp_path)
    np.testing.assert_array_equal(
        first, load_toy("mixture-1d", n_frames=100, cache=tmp_path).positions
    )
    no_generation()
    load_toy("mixture-1d", n_frames=100, cache=tmp_path)


def test_a_pickle_in_the_cache_is_never_loaded(tmp_path):
    """Even with a matching checksum."""
    first = load_toy("mixture-1d", n_frames=100, cache=tmp_path).positions
    path = only(tmp_path, ".npy")
    np.save(path, np.array([{"a": 1}] * 100, dtype=object).reshape(100, 1, 1), allow_pickle=True)

    manifest = only(tmp_path, ".json")
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    manifest.write_text(json.dumps({"sha256": digest}))
    np.testing.assert_array_equal(
        first, load_toy("mixture-1d", n_frames=100, cache=tmp_path).positions
    )


def test_a_cache_that_cannot_be_written_is_a_warning(tmp_path):
    blocked = tmp_path / "file"
    blocked.write_text("not a folder")
    with pytest.warns(UserWarning, match="XDG_CACHE_HOME"):
        frames = load_toy("mixture-1d", n_frames=10, cache=blocked / "cache").positions
    assert frames.shape == (10, 1, 1)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        np.testing.assert_array_equal(
            frames, load_toy("mixture-1d", n_frames=10, cache=tmp_path / "good").positions
        )


@pytest.mark.parametrize(
    ("name", "n_frames", "message"),
    [("../etc", None, "choose one of mixture-1d"), ("mixture-1d", 0, "at least 1")],
)
def test_errors(name, n_frames, message, tmp_path):
    with pytest.raises(FokkerError, match=message):
        load_toy(name, n_frames=n_frames, cache=tmp_path)
