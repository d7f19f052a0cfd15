"""Measure the atoms that `fokker backmap` puts to beads.

    fokker train molecule -f md-01.xtc ... md-15.xtc -p md.pdb --select "name N CA C O CB" \
        --temperature 300 --effort 0.05 -o RUN
    fokker sample RUN -n 500
    python benchmarks/accuracy/backmapping.py RUN --held-out md-16.xtc ... md-20.xtc

The frames of the held-out files have all atoms: these are made into beads, rebuilt from fragments
of the run's own trajectory, and compared with what they were. The samples of the run follow, which
have no true atoms. Prints one table, in Markdown.
"""

import argparse
import time
from pathlib import Path

import numpy as np

from fokker.backmap import Builder, Library, Minimiser, Yardstick
from fokker.metrics import lost_frames
from fokker.run.loaded import load_run
from fokker.trajectory import read_frames
from fokker.workflow.all_atom import all_atom

HEADER = (
    "| frames | n | bond outliers a frame (between beads) | clashes a frame | chirality kept "
    "(of beads) | RMSD of heavy atoms | of those that are no beads | s a frame |\n"
    "|---|---|---|---|---|---|---|---|"
)


def row(name, frames, yardstick, seconds=None, apart=None):
    """One line of the table; deviations in nm."""
    quality = yardstick(frames)
    cells = [
        name,
        f"{len(frames):,}",
        f"{quality.bonds.mean():.3f} ({quality.of_beads[0].mean():.3f})",
        f"{quality.clashes.mean():.3f} ± {quality.clashes.std() / len(frames) ** 0.5:.3f}",
        f"{np.mean(quality.mirrored == 0):.2%} ({np.mean(quality.of_beads[1] == 0):.2%})",
        *("" if value is None else f"{value:.3f} nm" for value in apart or (None, None)),
        "" if seconds is None else f"{seconds / len(frames):.3f}",
    ]
    print("| " + " | ".join(cells) + " |", flush=True)


def deviations(atoms, found, wanted):
    """Mean RMSD of all heavy atoms and of those that are no beads."""
    heavy = np.array([bead.element != "H" for bead in atoms.system.beads])
    beads = [group[0] for group in atoms.groups if len(group) == 1]
    others = heavy & ~np.isin(np.arange(len(heavy)), beads)
    squares = np.sum((found - wanted) ** 2, axis=-1)
    return tuple(np.sqrt(squares[:, mask].mean(axis=1)).mean() for mask in (heavy, others))


def rebuilt(name, beads, build, minimise, yardstick, atoms, wanted=None):
    """Lines of frames as they are joined and as they are minimised."""
    began = time.monotonic()
    joined = build(beads)
    seconds = time.monotonic() - began
    for what, frames in (("joined", joined), ("minimised", None)):
        if frames is None:
            frames = minimise(joined)
            seconds = time.monotonic() - began
            lost = np.isnan(frames).any(axis=(1, 2))
            if lost.any():
                print(f"{lost.sum()} of {len(lost)} frames could not be minimised")
            frames[lost] = joined[lost]
        apart = None if wanted is None else deviations(atoms, frames, wanted)
        row(f"{name}, {what}", frames, yardstick, seconds, apart)
        broken, mirrored = yardstick(frames).of_beads
        sound = (broken == 0) & (mirrored == 0)
        if sound.any() and not sound.all():
            row(f"{name}, {what}, where the beads are sound", frames[sound], yardstick)


def main():
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("run", type=Path)
    parser.add_argument("--held-out", type=Path, nargs="+", required=True)
    parser.add_argument("--frames", type=int, default=500, help="of each kind")
    options = parser.parse_args()
    loaded = load_run(options.run)
    source = all_atom(loaded)
    atoms = source.atoms
    library = Library(atoms, source.read())
    yardstick = Yardstick(atoms.system, library.frames, atoms.that_are_beads)
    build, minimise = Builder(library, yardstick), Minimiser(atoms, library.frames[0])
    files = [read_frames(path, atoms.system) for path in options.held_out]
    held_out = np.concatenate(files).astype(float)
    rows = np.linspace(0, len(held_out) - 1, options.frames).round().astype(int)
    print(f"force field {' '.join(minimise.force_field)}, {minimise.added} hydrogens added\n")
    print(HEADER)
    row("training", library.frames, yardstick)
    row("held out, as they are", held_out, yardstick)
    held_out = held_out[rows]
    beads = atoms.beads(held_out)
    rebuilt("held out", beads, build, minimise, yardstick, atoms, held_out)
    samples = loaded.folder.samples(loaded.system)
    if samples.exists():
        beads = read_frames(samples, loaded.system, allow_failed=True)[: options.frames]
        rebuilt("samples", beads[~lost_frames(beads)], build, minimise, yardstick, atoms)


if __name__ == "__main__":
    main()
