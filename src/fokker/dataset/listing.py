"""Which molecules there are: a folder of pairs of files, or a TOML list."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pydantic import Field, ValidationError, field_validator

from ..config import read_toml
from ..errors import FokkerError
from ..options import Options

TOPOLOGIES = (".pdb", ".cif", ".gro", ".psf", ".prmtop", ".parm7")
TRAJECTORIES = (".dcd", ".xtc", ".trr", ".nc", ".h5")
"""Suffixes by which a folder is searched; a list may name any file that a molecule may have."""


class Entry(Options):
    """A molecule: its files, and how often it is drawn."""

    name: str = Field(min_length=1, max_length=200, description="names its folder of results")
    topology: str = Field(min_length=1)
    trajectory: tuple[str, ...] = Field(min_length=1, description="one file, or several in turn")
    weight: float = Field(
        default=1.0, gt=0, description="share of the batches, in any unit; equal by default"
    )

    @field_validator("name")
    @classmethod
    def _names_a_folder(cls, name: str) -> str:
        if "/" in name or name.startswith(".") or not name.isprintable():
            raise ValueError("a name has no slash and does not start with a dot")
        return name

    @field_validator("trajectory", mode="before")
    @classmethod
    def _one_or_several(cls, value: Any) -> Any:
        return (value,) if isinstance(value, str) else value


class _Listed(Options):
    molecules: tuple[Entry, ...] = Field(min_length=1)


def read_entries(path: Path) -> tuple[Entry, ...]:
    """Molecules of a folder, in alphabetical order, or of a TOML list, in its order.

    Parameters
    ----------
    path
        A folder with a topology and a trajectory of the same name for every molecule, or a `.toml`
        file with a table `[[molecules]]` for each: `name`, `topology`, `trajectory` (one file or a
        list) and, if it is not 1, `weight`. Its paths are relative to the file.

    Raises
    ------
    FokkerError
        If there is no molecule, a file has no partner, or the list is wrong.
    """
    found = _of_folder(path) if path.is_dir() else _of_list(path)
    names = [entry.name for entry in found]
    double = next((name for name in names if names.count(name) > 1), None)
    if double is not None:
        raise FokkerError(f"{path}: two molecules are called {double!r}; rename one.")
    return found


def _of_folder(path: Path) -> tuple[Entry, ...]:
    pairs: dict[str, dict[str, list[Path]]] = {}
    for file in sorted(path.iterdir()):
        suffix = file.suffix.lower()
        kind = "topology" if suffix in TOPOLOGIES else "trajectory"
        if suffix in (*TOPOLOGIES, *TRAJECTORIES) and not file.name.startswith("."):
            pairs.setdefault(file.stem, {"topology": [], "trajectory": []})[kind].append(file)
    if not pairs:
        raise FokkerError(
            f"{path}: no molecule here; put pairs such as KL.pdb and KL.dcd into it, or give a "
            "TOML list."
        )
    for name, files in pairs.items():
        for kind, suffixes in (("topology", TOPOLOGIES), ("trajectory", TRAJECTORIES)):
            if len(files[kind]) != 1:
                found = ", ".join(file.name for file in files[kind]) or f"no {kind}"
                raise FokkerError(
                    f"{path}: molecule {name!r} has {found}; give it one {kind} "
                    f"({', '.join(suffixes)}) of that name, or use a TOML list."
                )
    return tuple(
        Entry(
            name=name,
            topology=str(files["topology"][0]),
            trajectory=(str(files["trajectory"][0]),),
        )
        for name, files in pairs.items()
    )


def _of_list(path: Path) -> tuple[Entry, ...]:
    if path.suffix.lower() != ".toml":
        raise FokkerError(
            f"{path}: neither a folder of molecules nor a TOML list of them; check the path."
        )
    try:
        listed = _Listed.model_validate(read_toml(path))
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(str(part) for part in first["loc"]) or "the whole"
        message = first["msg"].removeprefix("Value error, ")
        raise FokkerError(
            f"{path}: {place}: {message}; write [[molecules]] with name, topology and trajectory."
        ) from error

    def beside(name: str) -> str:
        return str(path.parent / Path(name).expanduser())

    return tuple(
        entry.model_copy(
            update={
                "topology": beside(entry.topology),
                "trajectory": tuple(beside(name) for name in entry.trajectory),
            }
        )
        for entry in listed.molecules
    )
