"""Weights of frames from files: one a frame, of the frames that are kept."""

import numpy as np
import pytest

from fokker.errors import FokkerError
from fokker.system import Bead, System
from fokker.trajectory import FrameWeights, read_trajectory

N = 20
BIAS = np.linspace(0.0, 5.0, N)


@pytest.fixture
def system() -> System:
    return System(name="plane", dim=2, beads=(Bead(name="P"),), kT=2.5, centred=False)


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "md.npy"
    np.save(path, np.random.default_rng(0).normal(size=(N, 1, 2)).astype(np.float32))
    return path


def colvar(path, values, restarted=False):
    """As PLUMED writes it; a restart writes the header again."""
    header = "#! FIELDS time phi metad.rbias\n#! SET min_phi -pi\n"
    lines = [f" {k:.6f} {0.1 * k:.6f} {value:.17g}\n" for k, value in enumerate(values)]
    middle = [header] if restarted else []
    path.write_text("".join([header, *lines[:7], *middle, *lines[7:]]))
    return path


def read(name, file, system, unit=None, **options):
    return read_trajectory([file], system, weights=FrameWeights((str(name),), unit), **options)


def test_every_format_gives_the_same_weights(tmp_path, file, system):
    expected = np.exp(BIAS / system.kT)
    expected /= expected.mean()
    text, columns, array = tmp_path / "w.txt", tmp_path / "two:w.dat", tmp_path / "w.npy"
    np.savetxt(text, BIAS / system.kT)
    np.savetxt(columns, np.column_stack([np.arange(N), np.exp(BIAS / system.kT - 700)]))
    np.save(array, np.exp(BIAS / system.kT))
    for name, unit in (
        (f"{colvar(tmp_path / 'COLVAR', BIAS)}:metad.rbias", system.kT),
        (f"{colvar(tmp_path / 'AGAIN', BIAS, restarted=True)}:metad.rbias", system.kT),
        (text, 1.0),
        (f"{columns}:2", None),
        (array, None),
    ):
        found = read(name, file, system, unit).weights
        np.testing.assert_allclose(found, expected, rtol=1e-6)


def test_log_weights_may_be_of_any_size(tmp_path, file, system):
    found = []
    for shift in (-5000.0, 0.0, 5000.0):
        np.save(tmp_path / "w.npy", BIAS + shift)
        found.append(read(tmp_path / "w.npy", file, system, 1.0).weights)
    np.testing.assert_allclose(found[0], found[1], rtol=1e-9)
    np.testing.assert_allclose(found[2], found[1], rtol=1e-9)


def test_weights_go_with_the_frames_that_a_stride_keeps(tmp_path, file, system):
    np.save(tmp_path / "w.npy", 1.0 + np.arange(N))
    found = read(tmp_path / "w.npy", file, system, stride=3)
    expected = 1.0 + np.arange(N)[::3]
    np.testing.assert_allclose(found.weights, expected / expected.mean())
    assert len(found.positions) == len(found.weights)


def test_several_files_have_one_scale(tmp_path, file, system):
    """One file of weights for each, or one for all."""
    other = tmp_path / "more.npy"
    np.save(other, np.load(file)[:7])
    w = 1.0 + np.arange(N + 7)
    names = [str(tmp_path / name) for name in ("a.npy", "b.npy", "all.npy")]
    for name, values in zip(names, (w[:N], w[N:], w), strict=True):
        np.save(name, values)
    for given in (names[:2], names[2:]):
        found = read_trajectory([file, other], system, stride=2, weights=FrameWeights((*given,)))
        expected = np.concatenate([w[:N:2], w[N::2]])
        np.testing.assert_allclose(found.weights, expected / expected.mean())
    three = FrameWeights((*names,))
    with pytest.raises(FokkerError, match="3 files of weights for 2 trajectory"):
        read_trajectory([file, other], system, weights=three)


def test_weights_of_frames_that_another_file_continues_are_left_out_with_them(tmp_path):
    from .test_clock import N_ATOMS, save, walk

    beads = tuple(Bead(name="C") for _ in range(N_ATOMS))
    bonds = tuple((i, i + 1) for i in range(N_ATOMS - 1))
    chain = System(name="chain", dim=3, beads=beads, kT=2.5, bonds=bonds)
    whole, times = walk(12), 2.0 * np.arange(12)
    files = [
        save(tmp_path / "one.xtc", whole[:8], times[:8]),
        save(tmp_path / "two.xtc", whole[5:], times[5:]),
    ]
    np.savetxt(tmp_path / "w.txt", np.concatenate([np.ones(5), 99 * np.ones(3), np.ones(7)]))
    found = read_trajectory(files, chain, weights=FrameWeights((str(tmp_path / "w.txt"),)))
    np.testing.assert_allclose(found.weights, np.ones(12))


ONE = np.where(np.arange(N) == 4, 1.0, 1e-9)
BAD = np.where(np.arange(N) == 3, np.nan, 1.0)


@pytest.mark.parametrize(
    ("values", "unit", "told"),
    [
        (np.ones(N - 1), None, r"holds 19 weights, .*md\.npy has 20 frames"),
        (np.ones(10 * N + 1), None, r"every 10th is of a frame"),
        (-BIAS, None, r"frame 1 has the weight -0\.26.*not below zero.*--log-weights"),
        (BAD, None, "frame 3 has the weight nan; give a finite number"),
        (BAD, 1.0, "frame 3 has the weight nan; give a finite number"),
        (np.zeros(N), None, "weights of all frames are zero"),
        (ONE, None, r"frame 4 of those read has 100\.0% of all the weight"),
        (200 * BIAS, 1.0, r"frame 19 of those read has 100\.0%"),
        (np.ones((N, 3)), None, r"has 3 columns \(1, 2, 3\); name that of the weights"),
    ],
)
def test_what_is_no_weight_is_refused_in_one_sentence(tmp_path, file, system, values, unit, told):
    for path, save in ((tmp_path / "w.npy", np.save), (tmp_path / "w.txt", np.savetxt)):
        save(path, values)
        with pytest.raises(FokkerError, match=told) as found:
            read(path, file, system, unit)
        assert path.name in str(found.value)


def test_a_file_that_is_no_table_is_told(tmp_path, file, system):
    path = colvar(tmp_path / "COLVAR", BIAS)
    with pytest.raises(FokkerError, match=r"3 columns \(time, phi, metad.rbias\); name"):
        read(path, file, system)
    with pytest.raises(FokkerError, match=r"no column 'bias'; its columns are time, phi"):
        read(f"{path}:bias", file, system)
    with pytest.raises(FokkerError, match="does not exist"):
        read(tmp_path / "none", file, system)
    text = path.read_text()
    for wrong, told in (
        (text + " 20.0 0.5", "not a table of numbers"),
        (text + "#! FIELDS time psi metad.rbias\n", "columns change within the file"),
        (text.replace("time phi", "time"), "names 2 columns and has 3"),
        ("weights\n", "not a table of numbers"),
        ("", "is empty"),
    ):
        path.write_text(wrong)
        with pytest.raises(FokkerError, match=told):
            read(f"{path}:metad.rbias", file, system)
