"""Collective variables: one file a kind, each with its equation and the options that ask for it.

a user's choice --build(context)--> CollectiveVariable --KINDS[kind].compute--> values
"""

from typing import Annotated, TypeAlias

from pydantic import Field

from .angle import AngleChoice
from .automatic import AutomaticChoice
from .base import KINDS, AbstractChoice, AbstractKind, CollectiveVariable, Context, find_bead
from .coordinate import Coordinate
from .dihedral import DihedralChoice
from .distance import DistanceChoice, EndToEndChoice
from .geometry import angle, dihedral, distance, per_frame, triple_product
from .graph import longest_path, neighbours_of, separation, separations, sweep
from .native_contacts import NativeContactsChoice
from .radius_of_gyration import RadiusOfGyrationChoice
from .rmsd import RMSDChoice
from .selection import choose, parse_choice
from .tica import TICAChoice, tica_of_dihedrals

VariableChoice: TypeAlias = Annotated[
    AutomaticChoice
    | DihedralChoice
    | AngleChoice
    | DistanceChoice
    | EndToEndChoice
    | RadiusOfGyrationChoice
    | RMSDChoice
    | NativeContactsChoice
    | TICAChoice,
    Field(discriminator="kind"),
]

__all__ = [
    "KINDS",
    "AbstractChoice",
    "AbstractKind",
    "CollectiveVariable",
    "Context",
    "Coordinate",
    "VariableChoice",
    "angle",
    "choose",
    "dihedral",
    "distance",
    "find_bead",
    "longest_path",
    "neighbours_of",
    "parse_choice",
    "per_frame",
    "separation",
    "separations",
    "sweep",
    "tica_of_dihedrals",
    "triple_product",
]
