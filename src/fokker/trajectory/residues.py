"""Residues that are known by name: their atoms and bonds, also under names of force fields.

Names and bonds of the parents are the tables of mdtraj, which know the residues of the PDB. Force
fields give protonation states, caps and modified residues names of their own.
"""

import re
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from xml.etree import ElementTree

_PARENTS = {
    "ARG": ("ARN", "ARGN", "DAR"),
    "ALA": ("DAL",),
    "ASN": ("DSG",),
    "ASP": ("ASH", "ASPH", "ASPP", "AS4", "DAS"),
    "CYS": ("CYX", "CYM", "CYS1", "CYS2", "CYSH", "CYN", "CYSD", "DCY", "CSO", "CME", "SEC"),
    "GLN": ("QLN", "DGN"),
    "GLU": ("GLH", "GLUH", "GLUP", "GL4", "DGL", "CGU"),
    "GLY": ("SAR",),
    "HIS": (
        *("HID", "HIE", "HIP", "HIH", "HSD", "HSE", "HSP", "HSH", "HISD", "HISE", "HISH", "HISP"),
        *("HISA", "HISB", "HIS1", "HIS2", "DHI"),
    ),
    "ILE": ("DIL", "IIL"),
    "LEU": ("DLE",),
    "LYS": ("LYN", "LSN", "LYSN", "LYSH", "LYP", "DLY", "MLY", "MLZ", "M3L", "ALY", "NLE", "NVA"),
    "MET": ("MSE", "MHO", "MED"),
    "PHE": ("DPN",),
    "PRO": ("HYP", "DPR"),
    "SER": ("SEP", "S1P", "S2P", "SP1", "SP2", "DSN"),
    "THR": ("TPO", "T1P", "T2P", "THP1", "THP2", "DTH"),
    "TRP": ("DTR",),
    "TYR": ("PTR", "Y1P", "Y2P", "TP1", "TP2", "TYM", "TYD", "DTY"),
    "VAL": ("DVA",),
    "ACE": ("ACX",),
    "NME": ("NMA", "CT3"),
    "NH2": ("NHE", "CT2"),
    "HOH": ("WAT", "SOL", "TIP", "TIP3", "TIP4", "TIP5", "TP3", "TP4", "TIP3P", "SPC", "SPCE"),
}

_BACKBONE = (("N", "CA"), ("CA", "C"), ("C", "O"), ("C", "OXT"), ("CA", "CB"), ("-C", "N"))
"""Bonds of every amino acid."""


@dataclass(frozen=True)
class Template:
    """Atoms and bonds of one kind of residue; an atom before it has the sign ``-``, as in ``-C``.

    Attributes
    ----------
    bonds
        Pairs of standard names.
    synonyms
        Standard names by others.
    atoms
        Standard names.
    """

    bonds: tuple[tuple[str, str], ...]
    synonyms: dict[str, str]
    atoms: frozenset[str]

    def standard(self, name: str) -> str:
        """Standard name of an atom."""
        return name if name in self.atoms else self.synonyms.get(name, name)

    def has(self, name: str) -> bool:
        """Whether an atom of this name is known to belong to it; any hydrogen does."""
        hydrogen = name.lstrip("0123456789").upper()
        if hydrogen.startswith("D"):
            hydrogen = "H" + hydrogen[1:]
            return self.standard(hydrogen) in self.atoms
        return self.standard(name) in self.atoms or hydrogen.startswith("H")


BACKBONE = Template(
    _BACKBONE, {}, frozenset(name for bond in _BACKBONE for name in bond if name[0] != "-")
)
"""What is known of an amino acid of any other name."""


@cache
def template_of(residue: str) -> Template | None:
    """What is known of a residue; None if its name is not.

    Parameters
    ----------
    residue
        Name, for example `GLH` or `HSD`; ends of a chain, `NGLU`, `CGLU` and `DA5`, are known too.
    """
    tables = _tables()
    name = residue.upper()
    parent = _parent(name)
    if parent is None and (end := re.fullmatch(r"[NC](\w{3})|R?(D?[ACGTU])[35N]?", name)):
        parent = _parent(end.group(1) or end.group(2))
    if parent is None:
        return None
    bonds = tuple(tables.bonds[parent])
    atoms = frozenset(atom for bond in bonds for atom in bond if atom[0] not in "-+")
    return Template(bonds, tables.synonyms.get(parent, {}), atoms)


def _parent(name: str) -> str | None:
    tables = _tables()
    if name in tables.bonds:
        return name
    own = next((parent for parent, names in _PARENTS.items() if name in names), None)
    found = own or tables.parents.get(name)
    return found if found in tables.bonds else None


@dataclass(frozen=True)
class _Tables:
    bonds: dict[str, list[tuple[str, str]]]
    parents: dict[str, str]
    synonyms: dict[str, dict[str, str]]


@cache
def _tables() -> _Tables:
    """Tables of mdtraj, which are part of its package but of none of its interfaces."""
    folder = files("mdtraj") / "formats" / "pdb" / "data"
    bonds = {
        residue.attrib["name"]: [
            # its link of nucleotides names an atom that the nucleotide before does not have
            (bond.attrib["from"].replace("-OP3", "-O3'"), bond.attrib["to"])
            for bond in residue.findall("Bond")
        ]
        for residue in ElementTree.fromstring((folder / "residues.xml").read_bytes())
    }
    names = ElementTree.fromstring((folder / "pdbNames.xml").read_bytes())
    of_kind = {residue.attrib["name"]: _synonyms(residue) for residue in names}
    parents, synonyms = {}, {}
    for residue in names:
        name = residue.attrib["name"]
        kind = of_kind.get(residue.attrib.get("type", "All"), {})
        synonyms[name] = {**kind, **of_kind["All"], **of_kind[name]}
        parents |= {value: name for key, value in residue.attrib.items() if key.startswith("alt")}
    return _Tables(bonds, parents, synonyms)


def _synonyms(residue: ElementTree.Element) -> dict[str, str]:
    return {
        other: atom.attrib["name"]
        for atom in residue.findall("Atom")
        for key, other in atom.attrib.items()
        if key != "name"
    }
