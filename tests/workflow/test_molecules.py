"""Many molecules from files: lists and folders, and every command on a model of them."""

import json
import shutil

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fokker.dataset.listing import Entry, read_entries
from fokker.errors import FokkerError
from fokker.run.loaded import load_run
from fokker.run.molecule import choosing_molecules, default_molecules, molecule
from fokker.trajectory import read_frames
from tests.cli.test_cli import call, refused
from tests.helpers.peptides import SELECT, STRUCTURE, write_folders, write_molecule, write_pdb

TINY = [
    "-sexperts.0.network.width=8",
    "-sexperts.0.network.layers=1",
    "-sexperts.0.network.heads=2",
    "-sexperts.0.network.head_width=4",
    "-sexperts.0.training.batch_size=8",
    "-sexperts.0.training.steps=3",
    "-ssampling.n=40",
    "-ssampling.batch_size=40",
    "-ssampling.sampler.steps=2",
    "-ssimulation.chains=3",
    "-ssimulation.steps=20",
    "-ssimulation.stride=10",
]
MOLECULE_FILES = {
    "molecule.json",
    "topology.pdb",
    "samples.xtc",
    "simulation.xtc",
    "metrics.json",
    "report.html",
}


def toml(entries: list[dict]) -> str:
    """A list of molecules; JSON strings and arrays are TOML."""
    lines = []
    for entry in entries:
        lines += [
            "[[molecules]]",
            *(f"{k} = {json.dumps(v, ensure_ascii=False)}" for k, v in entry.items()),
        ]
    return "\n".join(lines)


NAMES = st.text(st.characters(categories=("L", "N"), codec="utf-8"), min_size=1, max_size=8)
ENTRY = st.fixed_dictionaries(
    {"name": NAMES, "topology": NAMES, "trajectory": NAMES | st.lists(NAMES, min_size=1)},
    optional={"weight": st.floats(1e-3, 1e3)},
)


@given(entries=st.lists(ENTRY, min_size=1, max_size=4, unique_by=lambda entry: entry["name"]))
def test_a_list_is_read_as_it_was_written(entries, tmp_path_factory):
    file = tmp_path_factory.mktemp("list") / "molecules.toml"
    file.write_text(toml(entries), encoding="utf-8")
    found = read_entries(file)
    assert [entry.name for entry in found] == [entry["name"] for entry in entries]
    for entry, given_entry in zip(found, entries, strict=True):
        files = given_entry["trajectory"]
        files = [files] if isinstance(files, str) else files
        assert entry.trajectory == tuple(str(file.parent / name) for name in files)
        assert entry.weight == given_entry.get("weight", 1.0)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner),
    max_leaves=8,
)


@given(text=st.text(max_size=60) | st.lists(st.dictionaries(NAMES, JSON), max_size=2).map(toml))
def test_any_other_text_is_refused_in_one_sentence(text, tmp_path_factory):
    file = tmp_path_factory.mktemp("list") / "molecules.toml"
    file.write_bytes(text.encode("utf-8", "surrogatepass"))
    with pytest.raises(FokkerError) as error:
        read_entries(file)
    assert str(error.value).startswith(str(file))


@pytest.mark.parametrize(
    ("change", "match"),
    [
        ({"name": "../up"}, "a name has no slash"),
        ({"weight": 0.0}, "greater than 0"),
        ({"weight": -1.0}, "greater than 0"),
        ({"trajectory": []}, "at least 1 item"),
        ({"wieght": 2.0}, "wieght"),
    ],
)
def test_a_wrong_entry_is_named(change, match, tmp_path):
    file = tmp_path / "molecules.toml"
    entry = {"name": "A", "topology": "A.pdb", "trajectory": "A.dcd"} | change
    file.write_text(toml([entry]))
    with pytest.raises(FokkerError, match=match):
        read_entries(file)


def test_a_folder_is_read_as_pairs(tmp_path):
    for name in ("B.pdb", "B.xtc", "A.pdb", "A.dcd", "notes.txt", ".hidden.pdb"):
        (tmp_path / name).touch()
    found = read_entries(tmp_path)
    assert [entry.name for entry in found] == ["A", "B"]
    assert found[1] == Entry(
        name="B", topology=str(tmp_path / "B.pdb"), trajectory=(str(tmp_path / "B.xtc"),)
    )
    (tmp_path / "A.xtc").touch()
    with pytest.raises(FokkerError, match=r"molecule 'A' has A.dcd, A.xtc; give it one trajectory"):
        read_entries(tmp_path)
    (tmp_path / "A.xtc").unlink()
    (tmp_path / "C.pdb").touch()
    with pytest.raises(FokkerError, match="molecule 'C' has no trajectory"):
        read_entries(tmp_path)


def test_what_is_neither_folder_nor_list_is_refused(tmp_path):
    with pytest.raises(FokkerError, match="no molecule here"):
        read_entries(tmp_path)
    with pytest.raises(FokkerError, match="neither a folder of molecules nor a TOML list"):
        read_entries(tmp_path / "missing")


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A run of two molecules of 5 and 10 beads, with one that was held out."""
    root = tmp_path_factory.mktemp("molecules")
    trained, held_out = write_folders(root)
    call(
        *("run", "molecules", "--method", "diffusion", "--folder", trained),
        *("--validation", held_out, "--select", SELECT, "--temperature", 300, *TINY),
        *("--out", root / "run"),
    )
    return root / "run"


def test_run_makes_a_folder_for_each_validation_molecule_and_a_table(run):
    assert {file.name for file in (run / "molecules" / "SA").iterdir()} >= MOLECULE_FILES
    assert {file.name for file in (run / "molecules").iterdir()} == {"SA"}
    summary = json.loads((run / "molecules.json").read_text())
    row = summary["molecules"]["SA"]
    assert row["against"] == summary["judged"] == "validation"
    assert row["iid"]["js_floor"] > 0
    assert summary["n"] == {"iid": 1, "sim": 1}
    assert summary["mean"]["iid"]["js"] == row["iid"]["js"]
    assert "expert" in (run / "molecules" / "SA" / "report.html").read_text().lower()


def test_a_new_molecule_needs_a_topology_alone(run, tmp_path):
    other = shutil.copytree(run, tmp_path / "run")
    pdb = write_pdb(tmp_path / "SS.pdb", "SER SER")
    single = write_pdb(tmp_path / "S.pdb", "SER")
    call("sample", other, "--topology", single, "-n", 7)
    call("simulate", other, "--topology", pdb, *("--chains", 2, "--steps", 4, "--stride", 2))
    call("sample", other, "--topology", pdb, "-n", 6)
    loaded = load_run(other / "molecules" / "S")
    assert read_frames(
        other / "molecules/S/samples.xtc", loaded.system, allow_failed=True
    ).shape == (7, 5, 3)
    loaded = load_run(other / "molecules" / "SS")
    assert read_frames(
        other / "molecules/SS/samples.xtc", loaded.system, allow_failed=True
    ).shape == (6, 10, 3)
    record = json.loads((other / "molecules" / "SS" / "run.json").read_text())
    assert record["simulation"]["start"] == "the structure of the topology, in all 2 chains"
    structure = loaded.scaling.invert(loaded.start_frames)[0]
    want = 0.1 * np.array([p[i] for i in (0, 1) for p in STRUCTURE.values()])
    assert np.allclose(structure, want - want.mean(axis=0), atol=1e-5)
    # the folder goes on without the topology file, and is compared with frames that are given
    pdb.unlink()
    call("sample", other / "molecules" / "SS", "-n", 50, "--overwrite")
    refused("evaluate", other / "molecules" / "SS", match="no trajectory of 'SS' to compare with")
    frames = run.parent / "held-out" / "SA.dcd"
    call("evaluate", other / "molecules" / "SS", "--reference", frames)


def test_samples_do_not_depend_on_other_molecules_of_the_run(run, tmp_path):
    other = shutil.copytree(run, tmp_path / "run")
    expected = (run / "molecules" / "SA" / "samples.xtc").read_bytes()
    call("sample", other, "--overwrite")
    assert (other / "molecules" / "SA" / "samples.xtc").read_bytes() == expected


def test_commands_without_a_name_are_for_all_validation_molecules(run):
    output = call("evaluate", run)
    assert "SA" in output
    assert "validation molecules, which also chose the weights" in " ".join(output.split())
    assert "SA" in call("report", run)


def test_test_molecules_judge_and_validation_molecules_choose(run, tmp_path):
    trained, held_out = run.parent / "trained", run.parent / "held-out"
    test = tmp_path / "test"
    test.mkdir()
    write_molecule(test, "SS", "SER SER")
    out = tmp_path / "run"
    call(
        *("run", "molecules", "--method", "diffusion", "--folder", trained),
        *("--validation", held_out, "--test", test, "--select", SELECT, "--temperature", 300),
        *(*TINY, "--out", out),
    )
    summary = json.loads((out / "molecules.json").read_text())
    assert (summary["judged"], list(summary["molecules"])) == ("test", ["SS"])
    assert summary["molecules"]["SS"]["against"] == "test"
    assert {file.name for file in (out / "molecules").iterdir()} == {"SS"}
    assert "test molecules" in call("evaluate", out)
    page = (out / "molecules" / "SS" / "report.html").read_text()
    assert "never trained on" in page
    assert "chose the weights" not in page
    assert "chose the weights" in (run / "molecules" / "SA" / "report.html").read_text()
    # settings are chosen by the others
    assert [path.name for path in choosing_molecules(out)] == ["SA"]
    assert [path.name for path in default_molecules(out)] == ["SS"]


def test_mistakes_are_one_sentence(run, tmp_path):
    tryptophan = write_pdb(tmp_path / "W.pdb", "TRP")
    refused("sample", run, "--topology", tryptophan, match="never trained on bead TRP1-N")
    assert not (run / "molecules" / "W").exists()
    other = write_pdb(tmp_path / "SA.pdb", "SER SER")
    refused("sample", run, "--topology", other, match="holds another molecule of that name")
    missing = tmp_path / "missing.pdb"
    refused("sample", run, "--topology", missing, match="missing.pdb")
    refused("train", "dipeptides", "--out", tmp_path / "x", match="needs --folder")
    with pytest.raises(FokkerError, match=r"a run of many molecules; name one with --topology"):
        load_run(run)
    (run / "molecules" / "SA" / "molecule.json").write_text("{}")
    with pytest.raises(FokkerError, match=r"not readable or altered; delete it"):
        load_run(run / "molecules" / "SA")
    (run / "molecules" / "SA" / "molecule.json").unlink()
    molecule(run, run.parent / "held-out" / "SA.pdb")


def test_networks_of_alike_molecules_are_refused_from_the_command_line(tmp_path):
    trained, _ = write_folders(tmp_path)
    refused(
        *("train", "molecules", "--folder", trained, "--select", SELECT, "--temperature", 300),
        *("--method", "diffusion", "-sexperts.0.network.name=invariant", "--out", tmp_path / "x"),
        match="network 'invariant' is for molecules that are alike",
    )
