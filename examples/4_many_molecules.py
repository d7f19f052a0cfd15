"""Train one model on two molecules and use it for a third that it has never seen.

    python examples/4_many_molecules.py [--quick]

The molecules are pieces of alanine dipeptide, cut from the frames that come with the package, so
that nothing has to be downloaded. For your own, put pairs such as KL.pdb and KL.dcd in a folder.
"""

import shutil
import sys
from pathlib import Path

import mdtraj

import fokker

QUICK = "--quick" in sys.argv
DATA = Path(fokker.__file__).parent / "dataset" / "embedded" / "alanine-dipeptide"
FOLDER, RUN = Path("runs/example-pieces"), Path("runs/example-molecules")

# 1. Two molecules to train on, one to test. Every bead of the third (its residue and its name) is
#    in one of the first two; that is what the model needs.
whole = mdtraj.load(str(DATA / "train.dcd"), top=str(DATA / "topology.pdb"))[:: 200 if QUICK else 5]
pieces = {
    "train/first": "resname ACE ALA",
    "train/last": "resname ALA NME",
    "test/middle": "resname ALA or (resname ACE and name C) or (resname NME and name N)",
}
for folder in (FOLDER, RUN):
    shutil.rmtree(folder, ignore_errors=True)
for name, selection in pieces.items():
    piece = whole.atom_slice(whole.topology.select(selection))
    file = FOLDER / name
    file.parent.mkdir(parents=True, exist_ok=True)
    piece[0].save_pdb(str(file.with_suffix(".pdb")))
    piece.save_dcd(str(file.with_suffix(".dcd")))

# 2. Train on the folder. The preset `molecules` is for molecules of any size.
changes = {
    "system": {"folder": str(FOLDER / "train"), "temperature": 300.0},
    "sampling": {"n": 2000},
    "simulation": {"chains": 50, "steps": 10_000, "stride": 100},
}
if QUICK:
    tiny = {"width": 8, "layers": 1, "heads": 2, "head_width": 4}
    changes["experts"] = {"*": {"network": tiny, "training": {"batch_size": 8}}}
    changes["sampling"] = {"n": 100, "batch_size": 100, "sampler": {"steps": 5}}
    changes["simulation"] = {"chains": 4, "steps": 40, "stride": 10}
config = fokker.preset("molecules", "diffusion", changes, effort=0.0005 if QUICK else 0.05)
fokker.train(config, RUN)

# 3. The third molecule needs a topology and no trajectory. Its folder is a run folder.
middle = fokker.molecule(RUN, FOLDER / "test" / "middle.pdb")
print("a run folder of its own:", middle)
fokker.sample(middle)
fokker.simulate(middle)

# 4. Its own trajectory, never trained on, tells how good the model is.
metrics = fokker.evaluate(middle, reference=[FOLDER / "test" / "middle.dcd"])
for name, words in (("iid", "samples"), ("sim", "simulation")):
    table = metrics[name]
    print(f"{words}: JS {table['js_data']:.3f}, floor {table['js_data_floor']:.3f}")
