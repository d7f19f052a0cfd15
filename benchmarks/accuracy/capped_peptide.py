"""Make the trajectory of a capped peptide that fokker has never seen, with OpenMM.

    python benchmarks/accuracy/capped_peptide.py ALA ALA --ns 2 --out md  # writes md.pdb and md.dcd
    fokker run molecule --trajectory md.dcd --topology md.pdb --temperature 300 --out runs/stranger

The peptide is acetyl-(residues)-N-methylamide with all hydrogens, built from standard bond lengths
and angles in an extended conformation. Amber14 with OBC2 implicit solvent, Langevin dynamics at
300 K with 2 fs steps and bonds to hydrogen constrained. Needs `pip install 'fokker[openmm]'`.
"""

import argparse
import time

import numpy as np
from openmm import LangevinMiddleIntegrator, Platform, Vec3, unit
from openmm.app import DCDReporter, ForceField, HBonds, Modeller, PDBFile, Simulation, Topology
from openmm.app.element import Element

TEMPERATURE = 300.0
TIME_STEP = 0.002

# atom: (element, three atoms it is placed from, nm, degrees, degrees); "-" is the residue before.
CAP = {"CH3": "C", "C": "C", "O": "O"}
BACKBONE = {
    "N": ("N", ("-O", "-CA", "-C"), 0.1335, 116.6, 180.0),
    "CA": ("C", ("-CA", "-C", "N"), 0.1449, 121.9, 180.0),
    "C": ("C", ("-C", "N", "CA"), 0.1522, 111.0, -75.0),
    "O": ("O", ("N", "CA", "C"), 0.1229, 120.4, -35.0),
}
SIDE_CHAINS = {
    "GLY": {},
    "ALA": {"CB": ("C", ("-C", "N", "CA"), 0.1526, 109.7, 165.0)},
    "VAL": {
        "CB": ("C", ("-C", "N", "CA"), 0.1540, 111.5, 165.0),
        "CG1": ("C", ("N", "CA", "CB"), 0.1526, 110.5, 180.0),
        "CG2": ("C", ("N", "CA", "CB"), 0.1526, 110.5, -60.0),
    },
}


def placed(a, b, c, length, angle, dihedral):
    """Position at a distance from c, an angle with b, and a dihedral with a."""
    angle, dihedral = np.radians([angle, dihedral])
    along = (c - b) / np.linalg.norm(c - b)
    normal = np.cross(b - a, along)
    normal /= np.linalg.norm(normal)
    frame = np.stack([along, np.cross(normal, along), normal], axis=1)
    local = [-np.cos(angle), np.sin(angle) * np.cos(dihedral), np.sin(angle) * np.sin(dihedral)]
    return c + length * frame @ np.array(local)


def build(residues):
    """Topology and positions (nm) of the heavy atoms."""
    topology = Topology()
    chain = topology.addChain()
    first = topology.addResidue("ACE", chain)
    before = {
        "CA": np.array([0.0, 0.0, 0.0]),
        "C": np.array([0.1522, 0.0, 0.0]),
        "O": np.array([0.2144, 0.1060, 0.0]),
    }
    positions = list(before.values())
    for name, element in CAP.items():
        topology.addAtom(name, Element.getBySymbol(element), first)
    for residue in [*residues, "NME"]:
        own = topology.addResidue(residue, chain)
        atoms = {**BACKBONE, **SIDE_CHAINS[residue]} if residue != "NME" else BACKBONE
        here = {}
        for name, (element, origin, *geometry) in atoms.items():
            if residue == "NME" and name in ("C", "O"):
                continue
            known = [before[o[1:]] if o[0] == "-" else here[o] for o in origin]
            if name == "N":
                # trans to the carbonyl oxygen about the bond of CA and C
                known = [before["O"], before["CA"], before["C"]]
            here[name] = placed(*known, *geometry)
            written = "C" if residue == "NME" and name == "CA" else name
            topology.addAtom(written, Element.getBySymbol(element), own)
            positions.append(here[name])
        before = here
    topology.createStandardBonds()
    return topology, [Vec3(*p) for p in positions] * unit.nanometer


def main():
    """Build, minimise, equilibrate and simulate."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("residues", nargs="+", choices=sorted(SIDE_CHAINS))
    parser.add_argument("--ns", type=float, default=2.0, help="length of the trajectory, ns")
    parser.add_argument("--every", type=float, default=0.2, help="time between frames, ps")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--out", default="md", help="path without suffix")
    given = parser.parse_args()

    field = ForceField("amber14-all.xml", "implicit/obc2.xml")
    molecule = Modeller(*build(given.residues))
    molecule.addHydrogens(field)
    system = field.createSystem(molecule.topology, constraints=HBonds)
    integrator = LangevinMiddleIntegrator(
        TEMPERATURE * unit.kelvin, 1 / unit.picosecond, TIME_STEP * unit.picoseconds
    )
    integrator.setRandomNumberSeed(given.seed)
    platform = Platform.getPlatformByName("CPU")
    simulation = Simulation(molecule.topology, system, integrator, platform, {"Threads": "1"})
    simulation.context.setPositions(molecule.positions)
    simulation.minimizeEnergy()
    simulation.context.setVelocitiesToTemperature(TEMPERATURE * unit.kelvin, given.seed)
    state = simulation.context.getState(getPositions=True)
    with open(f"{given.out}.pdb", "w") as file:
        PDBFile.writeFile(molecule.topology, state.getPositions(), file)
    began = time.monotonic()
    simulation.step(round(50.0 / TIME_STEP))
    simulation.reporters.append(DCDReporter(f"{given.out}.dcd", round(given.every / TIME_STEP)))
    simulation.step(round(1000.0 * given.ns / TIME_STEP))
    print(f"{given.out}.dcd: {given.ns} ns in {time.monotonic() - began:.0f} s")


if __name__ == "__main__":
    main()
