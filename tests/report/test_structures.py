"""Structures of a report: the right frames, superposed without mirroring, few numbers."""

import json
from hashlib import sha256
from importlib import resources

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from fokker.errors import FokkerError
from fokker.metrics import compute_all
from fokker.report import Chains, write_report
from fokker.report.records import Structures
from fokker.report.structures import COORDINATES, STATES, structures
from fokker.report.superposition import superposed
from fokker.system import Bead, CollectiveVariable, System

PHI = CollectiveVariable(
    name="phi", kind="dihedral", indices=(0, 1, 2, 3), limits=(-np.pi, np.pi), periodic=True
)


def chain(n_beads=4, variables=(PHI,), **changes):
    return System(
        **{
            "name": "chain",
            "dim": 3,
            "beads": tuple(Bead(name=f"C{i}") for i in range(n_beads)),
            "kT": 2.5,
            "bonds": tuple((i, i + 1) for i in range(n_beads - 1)),
            "collective_variables": variables,
            **changes,
        }
    )


def turned(phi):
    """Four beads at each dihedral, placed and turned at random."""
    zero = np.zeros_like(phi)
    last = np.stack([0.14 * np.cos(phi), 0.14 * np.sin(phi), zero + 0.2], axis=1)
    frames = np.zeros((len(phi), 4, 3))
    frames[:, 0] = [0.14, 0.0, -0.05]
    frames[:, 2] = [0.0, 0.0, 0.15]
    frames[:, 3] = last
    rng = np.random.default_rng(0)
    rotations = Rotation.random(len(phi), random_state=1).as_matrix()
    shifts = rng.normal(size=(len(phi), 1, 3))
    return (np.einsum("fni,fji->fnj", frames, rotations) + shifts).astype(np.float32)


@pytest.fixture(scope="module")
def sets():
    rng = np.random.default_rng(3)
    two = np.concatenate([rng.normal(-1.3, 0.1, 700), rng.normal(1.0, 0.1, 300)])
    return {"data": turned(two), "iid": turned(two[::2]), "sim": turned(rng.normal(-1.3, 0.1, 400))}


def nanometres(flat):
    return 1e-3 * np.array(flat, float).reshape(-1, 3)


def test_states_are_the_peaks_of_the_data(sets):
    found = structures(chain(), sets)
    first, second = found["states"]
    assert first["values"][0] == pytest.approx(-1.3, abs=0.05)
    assert second["values"][0] == pytest.approx(1.0, abs=0.2)
    for state in found["states"]:
        for frame in state["frames"].values():
            shown = compute_all(chain(), nanometres(frame)[None])["phi"][0]
            assert shown == pytest.approx(state["values"][0], abs=0.05)
    assert first["share"]["data"] == pytest.approx(0.7, abs=0.05)
    assert second["share"]["sim"] == 0.0
    assert "sim" not in second["frames"]
    assert set(first["frames"]) == {"data", "iid", "sim"}


def test_a_peak_on_the_seam_of_an_angle_is_two_cells_but_one_state():
    rng = np.random.default_rng(0)
    around = np.concatenate([rng.normal(np.pi - 0.03, 0.2, 2000)])
    found = structures(chain(), {"data": turned(around)})
    assert len(found["states"]) == 1


@pytest.mark.parametrize("failure", [np.nan, 0.0, 7.0])
def test_frames_that_failed_are_never_shown(sets, failure):
    """Not finite, all beads at the origin (what a file keeps of it), a torn bond."""
    broken = sets["sim"].copy()
    broken[200::4] = failure
    broken[200::4, 0] *= 2.0
    found = structures(chain(), {**sets, "sim": broken}, Chains(4, 0.5))
    assert (found["movie"]["chain"], found["movie"]["failed"]) == (2, 1)
    assert found["states"][0]["share"]["sim"] < 0.9  # of all frames, the failed ones included
    broken[201:] = failure
    broken[201:, 0] *= 2.0
    movie = structures(chain(), {**sets, "sim": broken}, Chains(4, 0.5))["movie"]
    assert (movie["chain"], movie["failed"], len(movie["frames"])) == (1, 4, 50)
    broken[:] = failure
    broken[:, 0] *= 2.0
    found = structures(chain(), {**sets, "sim": broken}, Chains(4, 0.5))
    assert found["movie"] is None
    assert all("sim" not in state["frames"] for state in found["states"])


def test_the_movie_is_one_chain_in_order(sets):
    frames = sets["sim"]
    found = structures(chain(), sets, Chains(4, 0.5))["movie"]
    assert (found["chain"], found["chains"], found["interval"]) == (1, 4, 0.5)
    phi = compute_all(chain(), frames[::4])["phi"]
    np.testing.assert_allclose(np.ravel(found["values"]), phi, atol=2e-3)
    shown = np.array([nanometres(frame) for frame in found["frames"]])
    np.testing.assert_allclose(compute_all(chain(), shown)["phi"], phi, atol=0.05)
    thinned = structures(chain(), {"sim": np.tile(frames, (4, 1, 1))}, Chains(2, 0.5))["movie"]
    assert len(thinned["frames"]) == 200
    assert thinned["interval"] == 2.0


def test_chains_that_do_not_fit_the_frames_give_no_movie(sets):
    assert structures(chain(), sets, Chains(7, 0.5))["movie"] is None
    assert structures(chain(), sets)["movie"] is None


def test_a_large_molecule_gets_a_shorter_movie():
    frames = np.random.default_rng(0).normal(size=(400, 200, 3)).astype(np.float32)
    movie = structures(chain(200, ()), {"sim": frames}, Chains(1, 1.0))["movie"]
    assert 40 <= len(movie["frames"]) <= COORDINATES / 600
    assert len(json.dumps(movie)) < 250_000


def test_what_is_not_a_molecule_has_no_structures():
    plane = System(
        name="plane", dim=2, beads=(Bead(name="P"),), kT=1.0, length_unit="", centred=False
    )
    assert structures(plane, {"data": np.zeros((10, 1, 2), np.float32)}) is None
    assert structures(chain(bonds=()), {"data": np.zeros((10, 4, 3), np.float32)}) is None


def test_no_more_states_than_the_page_has_room_for():
    phi = np.repeat(np.linspace(-2.9, 2.6, 12)[::2] + 0.01, 50)
    two = (PHI, PHI.model_copy(update={"name": "psi"}))
    found = structures(chain(4, two), {"data": turned(phi)})
    assert len(found["states"]) <= STATES


def test_superposition_recovers_rotations_and_keeps_mirror_images():
    rng = np.random.default_rng(2)
    target = rng.normal(size=(6, 3))
    rotations = Rotation.random(20, random_state=4).as_matrix()
    moved = np.einsum("ni,fji->fnj", target, rotations) + rng.normal(size=(20, 1, 3))
    aligned = superposed(moved, target)
    np.testing.assert_allclose(aligned, np.broadcast_to(aligned[0], aligned.shape), atol=1e-12)
    lengths = np.ptp(aligned[0], axis=0)
    assert lengths[0] > lengths[2]
    mirrored = superposed(-moved, target)[0]

    def volume(x):
        return np.linalg.det(x[1:4] - x[0])

    assert volume(aligned[0]) == pytest.approx(volume(target))
    assert volume(mirrored) == pytest.approx(-volume(target))


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"bonds": [[0, 9]]}, "a bond names a bead beyond the 4"),
        ({"bonds": [[0, -1]]}, "structures.bonds"),
        ({"names": ["C0"]}, "4 names of beads wanted, 1 found"),
        ({"elements": ["</script>"] * 4}, "structures.elements"),
        ({"variables": []}, "0 values of a structure wanted, 1 found"),
    ],
)
def test_bad_structures_are_told(tmp_path, sets, change, words):
    record = structures(chain(), sets, Chains(4, 0.5)) | change
    (tmp_path / "metrics.json").write_text("{}")
    (tmp_path / "plots.json").write_text(json.dumps({"structures": record}))
    with pytest.raises(FokkerError, match=words):
        write_report(tmp_path)


def test_positions_of_another_number_of_beads_are_told(sets):
    record = structures(chain(), sets, Chains(4, 0.5))
    record["movie"]["frames"][3] = record["movie"]["frames"][3][:-1]
    with pytest.raises(ValueError, match="12 positions of a structure wanted, 11 found"):
        Structures.model_validate(record)


def test_the_vendored_library_is_the_one_that_is_documented():
    vendor = resources.files("fokker.report").joinpath("vendor")
    documented = vendor.joinpath("README.md").read_text(encoding="utf-8")
    script = vendor.joinpath("3Dmol-min.js").read_bytes()
    assert f"`{sha256(script).hexdigest()}`" in documented
    version = documented.split()[2]
    assert f"v{version}" in vendor.joinpath("3Dmol-min.js.LICENSE.txt").read_text(encoding="utf-8")
    # Inline, these would end the script or its element early; CR would change its hash.
    for ending in (b"</script", b"<!--", b"\r", b"\0"):
        assert ending not in script.lower()
    assert "-->" not in vendor.joinpath("3Dmol-LICENSE.txt").read_text(encoding="utf-8")
