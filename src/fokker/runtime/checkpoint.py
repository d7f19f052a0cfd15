"""Checkpoints: folders of safetensors and a JSON manifest with SHA-256 sums; nothing is pickled.

    checkpoint/
      00012000/
        manifest.json          what is inside, and the sum of every file
        model.safetensors      averaged weights and network constants: all that inference needs
        training.safetensors   raw weights, optimiser state: what resuming needs besides
        best.safetensors       weights that held-out frames are best with, if there are any

A folder is written under a temporary name, fsynced and renamed; the one before it is kept until the
new one is whole.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import re
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeVar

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from ..errors import FokkerError

FORMAT = "fokker-checkpoint"
VERSION = 2
KEEP = 2
MANIFEST_LIMIT = 16 * 1024 * 1024
Tree = TypeVar("Tree")


def is_array(leaf: object) -> bool:
    """Whether a leaf is stored: any JAX or NumPy array."""
    return isinstance(leaf, jax.Array | np.ndarray)


def save(
    folder: Path, counter: int, groups: Mapping[str, Any], metadata: Mapping[str, Any]
) -> Path:
    """Write one checkpoint and remove all but the newest two.

    Parameters
    ----------
    folder
        The run's `checkpoint` folder.
    counter
        Total optimiser steps so far; it names the checkpoint.
    groups
        Pytrees by file name; their array leaves are stored.
    metadata
        JSON-serialisable description, stored in the manifest.

    Raises
    ------
    FokkerError
        If the disk does not take it; what was there stays.
    """
    from safetensors.numpy import save as serialise

    target = folder / f"{counter:08d}"
    temporary = folder / f".{target.name}.{os.getpid()}"
    try:
        # not the parents: a run folder that vanished is an error, not to be made anew
        folder.mkdir(exist_ok=True)
        temporary.mkdir(exist_ok=True)
        files = {}
        for name, tree in groups.items():
            data = serialise(named_arrays(tree))
            files[f"{name}.safetensors"] = {
                "bytes": len(data),
                "sha256": hashlib.sha256(data).hexdigest(),
            }
            _write(temporary / f"{name}.safetensors", data)
        manifest = {"format": FORMAT, "version": VERSION, "files": files, **metadata}
        _write(temporary / "manifest.json", json.dumps(manifest, indent=1).encode())
        _sync_folder(temporary)
        if target.exists():
            shutil.rmtree(target)
        temporary.rename(target)
        _sync_folder(folder)
    except OSError as error:
        shutil.rmtree(temporary, ignore_errors=True)
        raise FokkerError(
            f"{target}: could not write the checkpoint ({error.strerror}); the one before it is "
            "untouched: free some space or permissions and continue with --resume."
        ) from error
    for old in (*_numbered(folder)[:-KEEP], *_left_over(folder)):
        shutil.rmtree(old, ignore_errors=True)
    return target


def exists(folder: Path) -> bool:
    """Whether a folder holds a whole checkpoint; one that a killed process left half is none."""
    return bool(_numbered(folder))


def latest(folder: Path) -> Path:
    """Return the newest checkpoint of a run.

    Raises
    ------
    FokkerError
        If there is none.
    """
    found = _numbered(folder)
    if not found:
        raise FokkerError(f"{folder}: no checkpoint here; train first with `fokker train`.")
    return found[-1]


def read_manifest(path: Path) -> dict[str, Any]:
    """Read a manifest and check every file it names against its size and sum.

    Raises
    ------
    FokkerError
        If the checkpoint is foreign, newer than this version, incomplete or altered.
    """
    file = path / "manifest.json"
    try:
        if file.stat().st_size > MANIFEST_LIMIT:
            raise FokkerError(f"{file}: larger than any manifest of fokker; not read.")
        manifest = json.loads(file.read_bytes())
    except OSError as error:
        raise FokkerError(f"{file}: not readable ({error.strerror}). {_remedy(path)}") from error
    except (ValueError, RecursionError) as error:
        raise FokkerError(f"{file}: not valid JSON. {_remedy(path)}") from error
    if not isinstance(manifest, dict) or manifest.get("format") != FORMAT:
        raise FokkerError(f"{file}: not a checkpoint of fokker; give the folder of a fokker run.")
    if manifest.get("version") != VERSION:
        raise FokkerError(
            f"{file}: checkpoint version {manifest.get('version')!r}, this fokker reads "
            f"{VERSION}; use the release that wrote it."
        )
    files = manifest.get("files")
    if not isinstance(files, dict):
        raise FokkerError(f"{file}: the list of files is missing. {_remedy(path)}")
    for name, entry in files.items():
        _check_file(path, str(name), entry)
    return manifest


def section(manifest: Mapping[str, Any], name: str, path: Path) -> dict[str, Any]:
    """One table of the manifest of the checkpoint at a path.

    Raises
    ------
    FokkerError
        If there is none.
    """
    found = manifest.get(name)
    if not isinstance(found, dict):
        raise FokkerError(f"{path}/manifest.json: section {name!r} is missing or altered.")
    return found


def load(path: Path, name: str, like: Tree) -> Tree:
    """Read one group into a pytree of the same structure.

    Parameters
    ----------
    path
        A checkpoint whose manifest has been read (and with it the sums checked).
    name
        Group, for example ``model``.
    like
        Pytree whose arrays give names, shapes and types; other leaves are kept.

    Raises
    ------
    FokkerError
        If an array is missing, superfluous or of another shape or type.
    """
    from safetensors import SafetensorError
    from safetensors.numpy import load_file

    file = path / f"{name}.safetensors"
    try:
        stored = load_file(file)
    except (SafetensorError, OSError) as error:
        raise FokkerError(f"{file}: not readable as safetensors. {_remedy(path)}") from error
    arrays, rest = eqx.partition(like, is_array)
    leaves, structure = jax.tree_util.tree_flatten_with_path(arrays)
    values = []
    for key_path, leaf in leaves:
        key = _name(key_path)
        value = stored.pop(key, None)
        if value is None or value.shape != leaf.shape or value.dtype != leaf.dtype:
            found = "missing" if value is None else f"{value.dtype}{list(value.shape)}"
            raise FokkerError(
                f"{file}: array {key!r} is {found}, the configuration needs "
                f"{leaf.dtype}{list(leaf.shape)}; the checkpoint belongs to another model."
            )
        values.append(value if isinstance(leaf, np.ndarray) else jnp.asarray(value))
    if stored:
        raise FokkerError(
            f"{file}: holds unknown array {min(stored)!r}; the checkpoint belongs to another model."
        )
    return eqx.combine(jax.tree_util.tree_unflatten(structure, values), rest)


def named_arrays(tree: Any) -> dict[str, np.ndarray]:
    """Arrays of a pytree by the path of attributes and indices that leads to each."""
    leaves, _ = jax.tree_util.tree_flatten_with_path(eqx.filter(tree, is_array))
    return {_name(path): np.asarray(leaf, order="C") for path, leaf in leaves}


def _name(path: tuple[Any, ...]) -> str:
    return jax.tree_util.keystr(path, simple=True, separator=".")


def _numbered(folder: Path) -> list[Path]:
    if not folder.is_dir():
        return []
    return sorted(p for p in folder.iterdir() if p.name.isdigit() and p.is_dir())


def _left_over(folder: Path) -> list[Path]:
    """Half-written checkpoints of processes that were killed."""
    return [p for p in folder.iterdir() if re.fullmatch(r"\.\d+\.\d+", p.name)]


def _check_file(path: Path, name: str, entry: Any) -> None:
    file = path / name
    if Path(name).name != name or not isinstance(entry, dict):
        raise FokkerError(f"{path / 'manifest.json'}: bad entry {name!r}. {_remedy(path)}")
    try:
        size = file.stat().st_size
        if size != entry.get("bytes"):
            raise FokkerError(
                f"{file}: {size} bytes, the manifest says {entry.get('bytes')}. {_remedy(path)}"
            )
        with file.open("rb") as stream:
            digest = hashlib.file_digest(stream, "sha256").hexdigest()
    except OSError as error:
        raise FokkerError(f"{file}: not readable ({error.strerror}). {_remedy(path)}") from error
    if digest != entry.get("sha256"):
        raise FokkerError(f"{file}: altered since it was written (SHA-256). {_remedy(path)}")


def _remedy(path: Path) -> str:
    older = [p.name for p in _numbered(path.parent) if p.name < path.name]
    if older:
        return f"Delete {path} to fall back to the checkpoint before it, {older[-1]}."
    return "Restore it from a copy or train again."


def _write(path: Path, data: bytes) -> None:
    with path.open("wb") as stream:
        stream.write(data)
        stream.flush()
        os.fsync(stream.fileno())


def _sync_folder(path: Path) -> None:
    with contextlib.suppress(OSError):
        descriptor = os.open(path, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
