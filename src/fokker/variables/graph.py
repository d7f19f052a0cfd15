"""Paths along bonds."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
from jaxtyping import Int


def longest_path(neighbours: Sequence[Sequence[int]]) -> list[int]:
    """Find the longest of the shortest paths between two beads.

    Two breadth-first sweeps a connected part; exact for parts without rings.
    """
    best: list[int] = []
    seen: set[int] = set()
    for start in range(len(neighbours)):
        if start not in seen:
            order, _ = sweep(neighbours, start)
            seen.update(order)
            order, parent = sweep(neighbours, order[-1])
            path = [order[-1]]
            while path[-1] != order[0]:
                path.append(parent[path[-1]])
            best = max(best, min(path, path[::-1]), key=len)
    return best


def ends(neighbours: Sequence[Sequence[int]]) -> tuple[int, int]:
    """Ends of the longest bonded path; the first and the last bead if none are bonded."""
    path = longest_path(neighbours)
    return (path[0], path[-1]) if len(path) > 1 else (0, len(neighbours) - 1)


def separation(neighbours: Sequence[Sequence[int]], start: int) -> dict[int, int]:
    """Bonds between one bead and every bead connected to it."""
    order, parent = sweep(neighbours, start)
    bonds = {start: 0}
    for bead in order[1:]:
        bonds[bead] = bonds[parent[bead]] + 1
    return bonds


def separations(neighbours: Sequence[Sequence[int]], most: int) -> Int[np.ndarray, "beads beads"]:
    """Bonds between every two beads, at most `most`, which unconnected ones are apart as well."""
    table = np.full((len(neighbours), len(neighbours)), most, np.int32)
    for start in range(len(neighbours)):
        for bead, bonds in separation(neighbours, start).items():
            table[start, bead] = min(bonds, most)
    return table


def neighbours_of(n_beads: int, bonds: Iterable[tuple[int, int]]) -> tuple[tuple[int, ...], ...]:
    """Bonded neighbours of each bead, in ascending order."""
    table: list[set[int]] = [set() for _ in range(n_beads)]
    for i, j in bonds:
        table[i].add(j)
        table[j].add(i)
    return tuple(tuple(sorted(row)) for row in table)


def sweep(neighbours: Sequence[Sequence[int]], start: int) -> tuple[list[int], dict[int, int]]:
    """Beads connected to one, nearest first, and the bead each was reached from."""
    order, parent = [start], {start: start}
    for i in order:  # grows while it is walked
        for j in neighbours[i]:
            if j not in parent:
                parent[j] = i
                order.append(j)
    return order, parent
