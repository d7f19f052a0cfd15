"""Files as people name and write them: several at once, suffixes in capitals, byte order marks."""

import codecs

import mdtraj
import numpy as np
import pytest
from typer.testing import CliRunner

from fokker.cli import app
from fokker.cli.files import repeated
from fokker.config import read_toml
from fokker.dataset.listing import read_entries
from fokker.dataset.source import resolve
from fokker.trajectory.beads_file import read_beads_file

TOPOLOGY = resolve("embedded:alanine-dipeptide/topology.pdb")
TRAJECTORY = resolve("embedded:alanine-dipeptide/train.dcd")


@pytest.mark.parametrize(
    ("given", "wanted"),
    [
        ("-f a.xtc b.xtc -p t.pdb", "-f a.xtc -f b.xtc -p t.pdb"),
        ("molecule -f a.xtc b.dcd c.NC", "molecule -f a.xtc -f b.dcd -f c.NC"),
        ("-f a.xtc molecule", "-f a.xtc molecule"),
        ("--trajectory=a.xtc b.xtc.gz", "--trajectory=a.xtc b.xtc.gz"),
        ("--trajectory=a.xtc b.xyz.gz", "--trajectory=a.xtc --trajectory b.xyz.gz"),
        ("-fa.xtc b.xtc", "-fa.xtc -f b.xtc"),
        ("-p t.pdb x.pdb -f a.pdb", "-p t.pdb x.pdb -f a.pdb"),
        ("--forces a.npz b.npz -f c.xtc d.xtc", "--forces a.npz --forces b.npz -f c.xtc -f d.xtc"),
        ("-f a.xtc --stride 2 b.xtc", "-f a.xtc --stride 2 b.xtc"),
        ("-f a.xtc -f b.xtc c.xtc", "-f a.xtc -f b.xtc -f c.xtc"),
        ("run.xtc -f a.xtc", "run.xtc -f a.xtc"),
    ],
)
def test_several_files_behind_one_option(given, wanted):
    assert repeated(given.split()) == wanted.split()


@pytest.fixture(scope="module")
def parts(tmp_path_factory):
    """Two parts of a run, the second begun from a frame of the first."""
    folder = tmp_path_factory.mktemp("parts")
    whole = mdtraj.load(str(TRAJECTORY), top=str(TOPOLOGY), stride=250)[:200]
    whole.time = np.arange(200.0)
    whole[:110].save(str(folder / "part1.xtc"))
    whole[100:].save(str(folder / "part2.xtc"))
    (folder / "part1.xtc").rename(folder / "part1.XTC")
    (folder / "TOP.PDB").write_bytes(TOPOLOGY.read_bytes())
    return folder


def inspect(folder, *files, topology="TOP.PDB", more=()):
    words = ["inspect", "molecule", "-f", *(str(folder / f) for f in files)]
    words += ["-p", str(folder / topology), "--temperature", "300", *more]
    found = CliRunner().invoke(app, repeated(words))
    return found.exit_code, " ".join(found.output.split())


def test_parts_of_a_run_in_one_option_with_capitals(parts):
    code, told = inspect(parts, "part1.XTC", "part2.xtc")
    assert code == 0
    assert "100 frames read" in told
    assert "the 10 frame(s) of the earlier run from there on are left out" in told


def test_allow_cut_is_an_option_and_a_key(parts, tmp_path):
    content = (parts / "part2.xtc").read_bytes()
    (tmp_path / "TOP.PDB").write_bytes(TOPOLOGY.read_bytes())
    (tmp_path / "cut.xtc").write_bytes(content * 2 + content[:-9])
    code, told = inspect(tmp_path, "cut.xtc")
    assert code == 2
    assert "299 whole frames with --allow-cut" in told
    for more in (["--allow-cut"], ["-s", "system.allow_cut=true"]):
        code, told = inspect(tmp_path, "cut.xtc", more=more)
        assert code == 0
        assert "its 299 whole frames are used" in told


def test_alternate_locations_are_told(parts, tmp_path):
    lines = TOPOLOGY.read_text().splitlines(keepends=True)
    atom = next(k for k, line in enumerate(lines) if line.startswith("ATOM") and " CB " in line)
    for at, letter in ((atom, "A"), (atom + 1, "B")):
        lines.insert(at, lines[atom]) if letter == "B" else None
        lines[at] = lines[at][:16] + letter + lines[at][17:]
    (tmp_path / "alt.pdb").write_text("".join(lines))
    (tmp_path / "md.xtc").write_bytes((parts / "part1.XTC").read_bytes())
    code, told = inspect(tmp_path, "md.xtc", topology="alt.pdb")
    assert code == 0
    assert "has alternate locations of 1 atom(s)" in told
    frames = mdtraj.load(str(tmp_path / "md.xtc"), top=str(TOPOLOGY))
    more = frames.xyz[:, [*range(frames.n_atoms), 0]]
    mdtraj.Trajectory(more, None).save(str(tmp_path / "all.xtc"))
    code, told = inspect(tmp_path, "all.xtc", topology="alt.pdb")
    assert code == 2
    assert f"holds {frames.n_atoms + 1} atoms" in told
    assert "has alternate locations of 1 atom(s), of which the first each was kept" in told


@pytest.mark.parametrize(
    ("mark", "encoding"),
    [
        (b"", "utf-8"),
        (codecs.BOM_UTF8, "utf-8"),
        (codecs.BOM_UTF16_LE, "utf-16-le"),
        (codecs.BOM_UTF16_BE, "utf-16-be"),
    ],
)
def test_toml_with_a_byte_order_mark(tmp_path, mark, encoding):
    def write(name, text):
        (tmp_path / name).write_bytes(mark + text.replace("\n", "\r\n").encode(encoding))
        return tmp_path / name

    assert read_toml(write("a.toml", 'seed = 3\nmethod = "größe"\n')) == {
        "seed": 3,
        "method": "größe",
    }
    beads = '[[beads]]\nname = "A"\natoms = [0]\n[[beads]]\nname = "B"\natoms = [1]\n'
    assert len(read_beads_file(write("b.toml", beads)).beads) == 2
    listed = '[[molecules]]\nname = "A"\ntopology = "a.pdb"\ntrajectory = "a.xtc"\n'
    assert read_entries(write("C.TOML", listed))[0].name == "A"


def test_a_folder_of_molecules_with_capitals(tmp_path):
    for name in ("KL.PDB", "KL.Xtc", "notes.txt"):
        (tmp_path / name).write_text("")
    (found,) = read_entries(tmp_path)
    assert (found.name, found.trajectory) == ("KL", (str(tmp_path / "KL.Xtc"),))
