"""Vectors of a periodic box."""

import numpy as np
from jaxtyping import Float


def box_vectors(
    lengths: Float[np.ndarray, "*frames 3"], angles: Float[np.ndarray, "*frames 3"]
) -> Float[np.ndarray, "*frames 3 3"]:
    """Rows a, b, c from edge lengths and the angles (b, c), (a, c), (a, b) in degrees.

    a lies along x and b in the plane of x and y, as in the International Tables for
    Crystallography. Impossible angles give a box that is not finite.
    """
    a, b, c = np.moveaxis(np.asarray(lengths, float), -1, 0)
    alpha, beta, gamma = np.moveaxis(np.radians(np.asarray(angles, float)), -1, 0)
    with np.errstate(all="ignore"):
        x = c * np.cos(beta)
        y = c * (np.cos(alpha) - np.cos(beta) * np.cos(gamma)) / np.sin(gamma)
        z = np.sqrt(c * c - x * x - y * y)
    zero = np.zeros_like(a)
    rows = [(a, zero, zero), (b * np.cos(gamma), b * np.sin(gamma), zero), (x, y, z)]
    return np.stack([np.stack(row, -1) for row in rows], -2)
