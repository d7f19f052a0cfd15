"""The TOML file that names the beads of a molecule and the atoms of each.

    [[beads]]
    name = "BB"
    atoms = "resid 0 and name N CA C O"     # mdtraj's language, or numbers from 0
    mass = 56.0                             # amu; the sum of the atoms if not given

    [[beads]]
    name = "SC"
    atoms = [4, 5, 6]

`bonds = [["BB", "SC"]]` at the top replaces the bonds derived from those of the atoms.
"""

import tomllib
from pathlib import Path

from pydantic import Field, ValidationError

from ..errors import FokkerError
from ..options import Options, plain_text
from ..variables import find_bead

_MOST_BYTES = 10_000_000


class BeadOptions(Options):
    """One bead: it lies at the centre of mass of its atoms."""

    name: str = Field(pattern=r"^[!-~]{1,4}$", description="one to four letters, as in a PDB file")
    atoms: str | tuple[int, ...] = Field(description="selection, or numbers from 0")
    mass: float | None = Field(
        default=None,
        gt=0,
        allow_inf_nan=False,
        description="amu; the sum of the atoms if not given",
    )
    residue: str | None = Field(
        default=None, pattern=r"^[!-~]{1,4}$", description="that of the first atom if not given"
    )


class BeadsFile(Options):
    """All beads, and the bonds if they are not those of the atoms."""

    beads: tuple[BeadOptions, ...] = Field(min_length=2)
    bonds: tuple[tuple[str, str], ...] | None = None

    def bonded(self, file: Path, labels: tuple[str, ...]) -> tuple[tuple[int, int], ...] | None:
        """Bonds as pairs of beads; None if the file states none."""
        if self.bonds is None:
            return None
        try:
            pairs = {tuple(sorted(find_bead(labels, name) for name in b)) for b in self.bonds}
        except FokkerError as error:
            raise FokkerError(f"{file}: bonds: {error}") from error
        if any(i == j for i, j in pairs):
            raise FokkerError(f"{file}: bonds: a bead is bonded to itself; name two beads.")
        return tuple((i, j) for i, j in sorted(pairs))


def read_beads_file(path: Path) -> BeadsFile:
    """Read a mapping file.

    Raises
    ------
    FokkerError
        If it is missing, not TOML, or does not describe beads.
    """
    try:
        if path.stat().st_size > _MOST_BYTES:
            raise FokkerError(f"{path}: over 10 MB, which no mapping is; check the path.")
        return parse_beads(plain_text(path.read_bytes()), path)
    except OSError as error:
        raise FokkerError(f"{path}: not readable ({error.strerror}); check the path.") from error
    except UnicodeDecodeError as error:
        raise FokkerError(f"{path}: not text in UTF-8; write the file again.") from error


def parse_beads(text: str, path: Path) -> BeadsFile:
    """Parse the text of a mapping file; `path` is for messages.

    Raises
    ------
    FokkerError
        One sentence on the first thing that is wrong.
    """
    try:
        return BeadsFile.model_validate(tomllib.loads(text))
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        raise FokkerError(f"{path}: not valid TOML ({error}); mend that place.") from error
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(str(part) for part in first["loc"]) or "the whole"
        found = f"{first['input']!r:.60}"
        raise FokkerError(
            f"{path}: {place} = {found}: {first['msg']}; write [[beads]] tables with `name` and "
            f"`atoms`."
        ) from error
