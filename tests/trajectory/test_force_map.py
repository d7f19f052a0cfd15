"""Forces on beads: unbiased for every map, least noise for the optimal one."""

import numpy as np
import pytest

from fokker.errors import FokkerError
from fokker.trajectory.force_map import force_map, internal_part, rigid_groups, virial_ratio

RNG = np.random.default_rng(0)
N = 40_000


def chain_of_springs(n_atoms=6, n_frames=N):
    """Harmonic bonds about atoms that are tied weakly to the origin: force -H r, kT = 1."""
    hessian = 0.5 * np.eye(n_atoms)
    for i in range(n_atoms - 1):
        k = 5.0 * (i + 1)
        hessian[[i, i + 1], [i, i + 1]] += k
        hessian[[i, i + 1], [i + 1, i]] -= k
    covariance = np.linalg.inv(hessian)
    normal = RNG.normal(size=(n_frames, n_atoms, 3))
    r = np.einsum("ab,nbd->nad", np.linalg.cholesky(covariance), normal)
    return r, -np.einsum("ab,nbd->nad", hessian, r), covariance


def centres():
    """Three beads: two groups by mass and one single atom; atom 3 in none."""
    m = np.zeros((3, 6))
    m[0, :2] = [0.25, 0.75]
    m[1, 2] = 1.0
    m[2, 4:] = [0.5, 0.5]
    return m


MAPS = {"atoms": np.eye(6)[[0, 2, 5]], "centres": centres()}
EACH_MAP = pytest.mark.parametrize("m", MAPS.values(), ids=MAPS)
EACH_KIND = pytest.mark.parametrize("kind", ["atoms", "optimal"])


@EACH_KIND
@EACH_MAP
def test_coefficients_undo_the_position_map(m, kind):
    _, forces, _ = chain_of_springs(n_frames=500)
    b = force_map(kind, m, forces, np.arange(6))
    np.testing.assert_allclose(b @ m.T, np.eye(3), atol=1e-10)


@EACH_KIND
@EACH_MAP
def test_the_mean_given_the_beads_is_the_mean_force(m, kind):
    """Beads are Gaussian with covariance M C M^T: the mean force is minus its inverse times x."""
    r, forces, covariance = chain_of_springs()
    b = force_map(kind, m, forces, np.arange(6))
    x, f = np.einsum("ba,nad->nbd", m, r), np.einsum("ba,nad->nbd", b, forces)
    truth = -np.linalg.inv(m @ covariance @ m.T)
    flat_x, flat_f = (np.swapaxes(v, 1, 2).reshape(-1, 3) for v in (x, f))
    slope, *_ = np.linalg.lstsq(flat_x, flat_f, rcond=None)
    residual = flat_f - flat_x @ slope
    inverse = np.linalg.inv(flat_x.T @ flat_x)
    error = np.sqrt(np.outer(np.diag(inverse), (residual**2).mean(0)))
    assert np.all(5.0 * error + 1e-9 > np.abs(slope.T - truth).T)


@EACH_MAP
def test_optimal_is_the_mean_force_itself_for_gaussians(m):
    """There it is a linear function of the forces, so no noise is left."""
    r, forces, covariance = chain_of_springs()
    b = force_map("optimal", m, forces, np.arange(6))
    x, f = np.einsum("ba,nad->nbd", m, r), np.einsum("ba,nad->nbd", b, forces)
    truth = -np.einsum("bc,ncd->nbd", np.linalg.inv(m @ covariance @ m.T), x)
    basic = np.einsum("ba,nad->nbd", force_map("atoms", m, forces, np.arange(6)), forces)
    assert np.mean((f - truth) ** 2) < 0.01 * np.mean((basic - truth) ** 2)


def test_rigid_bonds_share_a_coefficient():
    r, forces, _ = chain_of_springs(n_frames=400)
    r[:, 1] = r[:, 0] + 0.1 * np.array([0.0, 0.6, 0.8])
    groups = rigid_groups(r, np.array([(i, i + 1) for i in range(5)]))
    assert groups[0] == groups[1]
    assert len(set(groups)) == 5
    for kind in ("atoms", "optimal"):
        b = force_map(kind, MAPS["atoms"], forces, groups)
        np.testing.assert_allclose(b[:, 0], b[:, 1], atol=1e-12)
        np.testing.assert_allclose(b @ MAPS["atoms"].T, np.eye(3), atol=1e-10)
    with pytest.raises(FokkerError, match="fixed length tie two beads"):
        force_map("atoms", np.eye(6)[[0, 1]], forces, groups)


def test_optimal_needs_frames():
    _, forces, _ = chain_of_springs(n_frames=5)
    with pytest.raises(FokkerError, match="too few"):
        force_map("optimal", MAPS["atoms"], forces, np.arange(6))


def test_internal_part_has_no_net_force_and_torque_and_keeps_internal_forces():
    x, f = RNG.normal(size=(2, 50, 5, 3))
    inner = internal_part(f, x)
    np.testing.assert_allclose(inner.sum(axis=1), 0.0, atol=1e-12)
    np.testing.assert_allclose(np.cross(x, inner).sum(axis=1), 0.0, atol=1e-10)
    pulled = np.zeros_like(x)
    pulled[:, 1], pulled[:, 3] = x[:, 1] - x[:, 3], x[:, 3] - x[:, 1]
    np.testing.assert_allclose(internal_part(pulled, x), pulled, atol=1e-10)


@pytest.mark.parametrize("spread", [0.01, 0.3], ids=["stiff", "soft"])
def test_virial_is_one_at_equilibrium_and_shows_sign_and_units(spread):
    place = np.arange(15).reshape(5, 3) ** 1.5
    shift = spread * RNG.normal(size=(N, 5, 3))
    pairs = np.array([[0, 1], [1, 2], [2, 4]])
    ratio, error = virial_ratio(-2.5 * shift / spread**2, place + shift, pairs, 2.5)
    assert abs(ratio - 1.0) < 4 * error < 0.1
    assert virial_ratio(2.5 * shift / spread**2, place + shift, pairs, 2.5)[0] < -0.9
