"""Standard normal numbers addressed by (key, step, element).

Drawing the noise of a step from `jax.random.normal` costs more on a CPU than a small force field:
its generator is a loop that does not fuse with the integrator. Here the same Threefry-2x32 with 20
rounds (Salmon et al., SC 2011) is unrolled into elementwise operations, with the step and the
element as the counter, so that no key is folded or split inside the loop and the numbers do not
depend on the version of JAX.
"""

import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Float, Int, UInt32

ROTATIONS = ((13, 15, 26, 6), (17, 29, 16, 24))
PARITY = 0x1BD11BDA


def threefry(
    key: UInt32[Array, "2"], x0: UInt32[Array, " n"], x1: UInt32[Array, " n"]
) -> tuple[UInt32[Array, " n"], UInt32[Array, " n"]]:
    """Threefry-2x32-20 of the counter words (x0, x1)."""
    schedule = (key[0], key[1], key[0] ^ key[1] ^ jnp.uint32(PARITY))
    x0, x1 = x0 + schedule[0], x1 + schedule[1]
    for group in range(5):
        for rotation in ROTATIONS[group % 2]:
            x0 = x0 + x1
            x1 = ((x1 << rotation) | (x1 >> (32 - rotation))) ^ x0
        x0 = x0 + schedule[(group + 1) % 3]
        x1 = x1 + schedule[(group + 2) % 3] + jnp.uint32(group + 1)
    return x0, x1


def cosine(turn: UInt32[Array, " n"]) -> Float[Array, " n"]:
    """Cosine of `2 pi (turn / 2^32 - 1/8)`: of an angle uniform on the circle if turn is.

    The library cosine is a scalar call on a CPU; the top two bits give the quadrant and a Taylor
    polynomial the rest.
    """
    quadrant = turn >> 30
    fraction = ((turn << 2) >> 8).astype(jnp.float32) * 2.0**-24 - 0.5 + 2.0**-25
    angle = (0.5 * jnp.pi) * fraction
    square = angle * angle
    sin = angle * (1 + square * (-1 / 6 + square * (1 / 120 - square / 5040)))
    cos = 1 + square * (-1 / 2 + square * (1 / 24 + square * (-1 / 720 + square / 40320)))
    value = jnp.where(quadrant % 2 == 0, cos, sin)
    return jnp.where((quadrant == 1) | (quadrant == 2), -value, value)


def standard_normal(key: UInt32[Array, "2"], step: Int[Array, ""], n: int) -> Float[Array, " n"]:
    """Return the n independent standard normal numbers of one step, by Box and Muller.

    Parameters
    ----------
    key : two words of key material
    step : counter; every step has its own numbers
    n : how many; the first m < n do not depend on n
    """
    element = lax.iota(jnp.uint32, n)
    radius_bits, angle_bits = threefry(key, element, jnp.full_like(element, step))
    uniform = ((radius_bits >> 8).astype(jnp.float32) + 0.5) * 2.0**-24
    return jnp.sqrt(-2.0 * jnp.log(uniform)) * cosine(angle_bits)
