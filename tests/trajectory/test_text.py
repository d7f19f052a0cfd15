"""Text trajectories in the dialects that programs write, against the positions behind them."""

import gzip

import numpy as np
import pytest

from fokker.errors import FokkerError
from fokker.system import Bead, System
from fokker.trajectory import read_frames, read_trajectory
from fokker.trajectory.text import XYZParser, frames

N_ATOMS, N_FRAMES = 6, 20
BOX = np.array([[2.0, 0, 0], [0, 2.2, 0], [0, 0, 2.4]])
TILTED = np.array([[2.0, 0, 0], [-0.6, 2.2, 0], [0.5, -0.4, 2.4]])
TURNED = TILTED @ np.linalg.qr(np.random.default_rng(5).normal(size=(3, 3)))[0]
"""The same box in another direction."""
ORIGIN = np.array([-0.7, 0.3, 0.1])
TEXT = 2e-6
"""Six decimals of an angstrom or a nm, and float32."""


@pytest.fixture
def system() -> System:
    bonds = tuple((i, i + 1) for i in range(N_ATOMS - 1))
    beads = tuple(Bead(name="C") for _ in range(N_ATOMS))
    return System(name="chain", dim=3, beads=beads, kT=2.5, bonds=bonds)


@pytest.fixture
def positions() -> np.ndarray:
    """A zigzag with bonds of about 0.15 nm that wanders through the box."""
    rng = np.random.default_rng(0)
    line = np.stack([0.13 * np.arange(N_ATOMS), 0.04 * (-1.0) ** np.arange(N_ATOMS), [0.0] * 6], 1)
    return line + 0.005 * rng.normal(size=(N_FRAMES, 6, 3)) + rng.uniform(-3, 3, (N_FRAMES, 1, 3))


def images(positions: np.ndarray, box: np.ndarray) -> np.ndarray:
    """Number of boxes between each atom and its place in the box."""
    return np.floor((positions - ORIGIN) @ np.linalg.inv(box))


def apart(found: np.ndarray, wanted: np.ndarray) -> float:
    """Largest difference of two sets of frames, each moved by a vector of its own."""
    return np.abs((found - found[:, :1]) - (wanted - wanted[:, :1])).max()


# --- LAMMPS ---------------------------------------------------------------------------------------


def bounds(box: np.ndarray, header: str) -> str:
    """The three lines of a box, in angstrom."""
    if "abc" in header:
        rows = np.column_stack([10 * box, 10 * ORIGIN])
        return "".join(" ".join(map(str, row)) + "\n" for row in rows)
    xy, xz, yz = 10 * box[1, 0], 10 * box[2, 0], 10 * box[2, 1]
    low, high = 10 * ORIGIN, 10 * (ORIGIN + np.diag(box))
    low = low + np.array([min(0, xy, xz, xy + xz), min(0, yz), 0])
    high = high + np.array([max(0, xy, xz, xy + xz), max(0, yz), 0])
    tilts = (xy, xz, yz) if "xy" in header else ("", "", "")
    return "".join(f"{a} {b} {c}\n" for a, b, c in zip(low, high, tilts, strict=True))


def _word(value, frame, atom):
    if isinstance(value, str):
        return value
    number = value[frame, atom]
    return f"{number:.7f}" if value.dtype.kind == "f" else str(number)


def dump(positions, box, header="pp pp pp", columns="id type xu yu zu", ids=None, units="", nm=0.1):
    """A dump of frames whose atoms are in another order in every frame."""
    scaled = (positions - ORIGIN) @ np.linalg.inv(box)
    number = images(positions, box)
    wrapped = positions - number @ box
    values = {"type": "1", "element": "C", "q": "0.0", "mol": "7"}
    for k, axis in enumerate("xyz"):
        values |= {f"{axis}u": positions[..., k] / nm, f"{axis}su": scaled[..., k]}
        values |= {axis: wrapped[..., k] / nm, f"{axis}s": scaled[..., k] - number[..., k]}
        values |= {f"i{axis}": number[..., k].astype(int)}
    ids = np.arange(1, N_ATOMS + 1) if ids is None else ids
    text = ""
    rng = np.random.default_rng(3)
    for f in range(len(positions)):
        if f == 0 and units:
            text += f"ITEM: UNITS\n{units}\n"
        text += f"ITEM: TIMESTEP\n{100 * f}\nITEM: NUMBER OF ATOMS\n{N_ATOMS}\n"
        text += f"ITEM: BOX BOUNDS {header}\n{bounds(box, header)}ITEM: ATOMS {columns}\n"
        for a in rng.permutation(N_ATOMS):
            row = {**values, "id": str(ids[a])}
            text += " ".join(_word(row[name], f, a) for name in columns.split()) + " \n"
    return text


@pytest.mark.parametrize(
    ("box", "header"),
    [
        (BOX, "pp pp pp"),
        (BOX, ""),
        (BOX, "ff ss pp"),
        (TILTED, "xy xz yz pp pp pp"),
        (TURNED, "abc origin pp pp pp"),
    ],
    ids=["orthogonal", "old", "slab", "triclinic", "general"],
)
@pytest.mark.parametrize(
    "columns",
    [
        *("id type xu yu zu", "id xsu ysu zsu", "id mol type q x y z ix iy iz"),
        *("id type xs ys zs ix iy iz", "zu yu xu element id", "id x y z xu yu zu"),
    ],
)
def test_dumps_of_every_style(tmp_path, system, positions, box, header, columns):
    path = tmp_path / "md.lammpstrj"
    path.write_text(dump(positions, box, header, columns))
    found = read_frames(path, system)
    scaled = "xs" in columns
    assert np.abs(found - positions).max() < (3e-6 if scaled else TEXT)


@pytest.mark.parametrize("columns", ["id type x y z", "id type xs ys zs"])
@pytest.mark.parametrize(
    ("box", "header"),
    [
        (BOX, "pp pp pp"),
        (TILTED, "xy xz yz pp pp pp"),
        (TURNED, "abc origin pp pp pp"),
    ],
    ids=["orthogonal", "triclinic", "general"],
)
def test_wrapped_dumps_without_images_are_made_whole(
    tmp_path, system, positions, box, header, columns
):
    path = tmp_path / "md.lammpstrj"
    path.write_text(dump(positions, box, header, columns))
    crossing = images(positions, box)
    assert (crossing != crossing[:, :1]).any()  # some molecules are cut apart
    assert apart(read_frames(path, system), positions) < 2 * 3e-6


@pytest.mark.parametrize(
    ("units", "nm"),
    [("real", 0.1), ("metal", 0.1), ("nano", 1.0), ("electron", 0.0529177210903), ("si", 1e9)],
)
def test_units_of_a_dump(tmp_path, system, positions, units, nm):
    path = tmp_path / "md.lammpstrj"
    text = dump(positions, BOX, "ff ff ff", units=units, nm=nm)
    if units == "si":  # seven decimals of a metre are none of a molecule
        with_exponent = dump(positions, BOX, "ff ff ff", units=units, nm=1.0).split("\n")
        text = "\n".join(
            " ".join([*w[:2], *(f"{x}e-9" for x in w[2:])])
            if len(w := r.split()) == 5 and w[0].isdigit()
            else r
            for r in with_exponent
        )
    path.write_text(text)
    assert np.abs(read_frames(path, system) - positions).max() < 5e-6


@pytest.mark.parametrize("ids", [np.arange(501, 507), np.array([3, 7, 20, 21, 400, 9000])])
def test_ids_of_a_group(tmp_path, system, positions, ids):
    path = tmp_path / "md.lammpstrj"
    path.write_text(dump(positions, BOX, ids=ids))
    assert np.abs(read_frames(path, system) - positions).max() < TEXT


@pytest.mark.parametrize(
    ("change", "match"),
    [
        (lambda t: t.replace("id type xu yu zu", "type xu yu zu vx", 1), "an id and coordinates"),
        (lambda t: t.replace("xu yu zu", "vx vy vz"), "an id and coordinates"),
        (lambda t: "ITEM: UNITS\nlj\n" + t, "units lj have no length"),
        (lambda t: t.replace("\n6 1 ", "\n5 1 ", 1), "frame 0 at line 1: atom id 5 is there twice"),
        (lambda t: t.replace("\n6 1 ", "\n66 1 ", 1), "frame 1 at line 16: atom id 6 is not one"),
        (lambda t: t.replace("pp pp pp\n", "pp pp pp\nx", 1), "frame 0"),
    ],
)
def test_bad_dumps(tmp_path, system, positions, change, match):
    path = tmp_path / "md.lammpstrj"
    path.write_text(change(dump(positions, BOX)))
    with pytest.raises(FokkerError, match=match):
        read_frames(path, system)


# --- XYZ ------------------------------------------------------------------------------------------


def xyz(positions, comment="made", row="C {x:.6f} {y:.6f} {z:.6f}"):
    text = ""
    for frame in positions:
        text += f"{len(frame)}\n{comment}\n"
        text += "".join(row.format(x=x, y=y, z=z) + "\n" for x, y, z in 10 * frame)
    return text


def lattice(box: np.ndarray) -> str:
    return " ".join(str(x) for x in (10 * box).ravel())


@pytest.mark.parametrize(
    ("comment", "row"),
    [
        ("", "C {x:.6f} {y:.6f} {z:.6f}"),
        ("Properties=species:S:1:pos:R:3", "C {x:.6f} {y:.6f} {z:.6f} 1 2"),
        ("Properties=pos:R:3:id:I:1", "{x:.6f} {y:.6f} {z:.6f} 1"),
        ("energy=-1.0 Properties=species:S:1:f:R:3:pos:R:3", "C 9 9 9 {x:.6f} {y:.6f} {z:.6f}"),
        ('Lattice="20 0 0 0 20 0 0 0 20" pbc="F F F"', "C {x:.6f} {y:.6f} {z:.6f}"),
    ],
)
def test_columns_of_xyz(tmp_path, system, positions, comment, row):
    path = tmp_path / "md.XYZ"
    path.write_text(xyz(positions, comment, row))
    assert np.abs(read_frames(path, system) - positions).max() < TEXT


@pytest.mark.parametrize("suffix", [".xyz", ".extxyz", ".xyz.gz", ".EXTXYZ"])
@pytest.mark.parametrize("box", [BOX, TILTED, TURNED], ids=["orthogonal", "triclinic", "turned"])
def test_lattice_is_the_box(tmp_path, system, positions, box, suffix):
    """Whatever its direction: the box vectors are used, not their lengths and angles."""
    path = tmp_path / f"md{suffix}"
    folded = positions - images(positions, box) @ box
    text = xyz(folded, f'Lattice="{lattice(box)}" Properties=species:S:1:pos:R:3 pbc="T T T"')
    path.write_bytes(gzip.compress(text.encode()) if suffix.endswith("gz") else text.encode())
    assert apart(read_frames(path, system), positions) < 2 * TEXT
    path.write_bytes(
        gzip.compress(xyz(folded).encode()) if suffix.endswith("gz") else xyz(folded).encode()
    )
    with pytest.raises(FokkerError, match="apart"):
        read_frames(path, system)


def test_xyz_of_windows(tmp_path, system, positions):
    """A byte order mark, carriage returns, blank lines between frames and at the end."""
    text = "".join(xyz(frame[None]) + "\n \n" for frame in positions).replace("\n", "\r\n")
    path = tmp_path / "md.xyz"
    path.write_bytes(b"\xef\xbb\xbf" + text.encode())
    assert np.abs(read_frames(path, system) - positions).max() < TEXT


def test_symbols_and_times_of_xyz(tmp_path, positions):
    path = tmp_path / "md.xyz"
    path.write_text(xyz(positions, "Time=2.5 step=3", "Cl {x:.6f} {y:.6f} {z:.6f}"))
    first = next(frames(path, XYZParser()))
    assert first.elements == ("Cl",) * N_ATOMS
    assert first.time == 2.5


@pytest.mark.parametrize("drop", [1, 7, N_FRAMES - 1])
def test_frame_with_another_number_of_atoms_is_named(tmp_path, system, positions, drop):
    path = tmp_path / "md.xyz"
    path.write_text("".join(xyz(f[None, : 5 + (k != drop)]) for k, f in enumerate(positions)))
    with pytest.raises(FokkerError, match=f"frame {drop} at line .* has 5 atoms"):
        read_frames(path, system)


# --- GRO, PDB and Tinker --------------------------------------------------------------------------


@pytest.mark.parametrize("digits", [3, 4, 6])
@pytest.mark.parametrize("box", [BOX, TILTED], ids=["orthogonal", "triclinic"])
def test_gro_of_every_precision(tmp_path, system, positions, digits, box):
    folded = positions - images(positions, box) @ box
    text = ""
    for k, frame in enumerate(folded):
        text += f"a title with t= {k}\n{N_ATOMS}\n"
        for a, row in enumerate(frame):
            numbers = "".join(f"{x:{digits + 5}.{digits}f}" for x in row)
            text += f"{1:5d}{'MOL':<5s}{'C' + str(a):>5s}{a + 1:5d}{numbers}\n"
        edges = [box[0, 0], box[1, 1], box[2, 2]]
        if box is TILTED:
            edges += [box[0, 1], box[0, 2], box[1, 0], box[1, 2], box[2, 0], box[2, 1]]
        text += " ".join(f"{x:.5f}" for x in edges) + "\n"
    path = tmp_path / "md.gro"
    path.write_text(text)
    assert apart(read_frames(path, system), positions) < 2 * (0.5 * 10.0**-digits + 1e-6)


def pdb(positions, begin="MODEL     {n:4d}\n", end="ENDMDL\n"):
    text = "CRYST1   20.000   22.000   24.000  90.00  90.00  90.00 P 1           1\n"
    for n, frame in enumerate(positions, start=1):
        text += begin.format(n=n)
        for a, (x, y, z) in enumerate(10 * frame, start=1):
            text += f"ATOM  {a:5d}  C{a}  MOL A   1    {x:8.3f}{y:8.3f}{z:8.3f}  1.00  0.00\n"
        text += end
    return text


@pytest.mark.parametrize(
    ("begin", "end"),
    [
        ("MODEL     {n:4d}\n", "ENDMDL\n"),
        ("MODEL     {n:4d}\n", ""),
        ("", "END\n"),
        ("TITLE t= {n}\n", "TER\nENDMDL\n"),
        ("MODEL     {n:4d}\n", "TER\nENDMDL\nCONECT    1    2\n\n"),
    ],
)
def test_models_of_pdb(tmp_path, system, positions, begin, end):
    path = tmp_path / "md.pdb"
    folded = positions - images(positions, BOX) @ BOX
    path.write_text(pdb(folded, begin, end))
    assert apart(read_frames(path, system), positions) < 2 * 0.6e-4


@pytest.mark.parametrize("model", [2, 8, N_FRAMES])
def test_model_that_differs_is_named(tmp_path, system, positions, model):
    text = pdb(positions)
    start = text.index(f"MODEL     {model:4d}")
    first = text.index("ATOM", start)
    path = tmp_path / "md.pdb"
    path.write_text(text[:first] + text[text.index("\n", first) + 1 :])
    with pytest.raises(FokkerError, match=rf"MODEL {model} at line \d+ has 5 atoms, the first"):
        read_frames(path, system)


@pytest.mark.parametrize("box", [None, BOX])
def test_tinker_archives(tmp_path, system, positions, box):
    folded = positions if box is None else positions - images(positions, box) @ box
    text = ""
    for frame in folded:
        text += f"  {N_ATOMS}  title\n"
        text += "" if box is None else "  20.0 22.0 24.0 90.0 90.0 90.0\n"
        for a, (x, y, z) in enumerate(10 * frame, start=1):
            text += f" {a} C {x:.6f} {y:.6f} {z:.6f} 1 {a % N_ATOMS + 1}\n"
    path = tmp_path / "md.arc"
    path.write_text(text)
    assert apart(read_frames(path, system), positions) < 2 * TEXT


def test_memory_does_not_grow_with_the_length(tmp_path, system, positions, monkeypatch):
    """One block of frames is handed over before the next is read."""
    monkeypatch.setattr("fokker.trajectory.sources._NUMBERS_AT_ONCE", 3 * N_ATOMS * 7)
    path = tmp_path / "md.xyz"
    path.write_text(xyz(positions))
    from fokker.trajectory.sources import open_source

    sizes = [len(c.frames) for c in open_source(path, system).chunks(np.arange(N_ATOMS))]
    assert sizes == [7, 7, 6]
    assert np.abs(read_trajectory([path], system).positions - positions).max() < TEXT
