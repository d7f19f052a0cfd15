"""Presets: one TOML file a system, one a method; together they make a configuration.

A system file holds the tables `system`, `sampling`, `simulation` and the defaults `network` and
`training` of every expert. A method file holds the experts, each with what it changes of these;
`training.steps` of a method is a share of the system's. A method may have tables `network` and
`training` of its own, for all of its experts. A system also says how long a refinement
and a reweighting take, and only a method that has these tables makes them. What a method changes of
a network is for one that has all these keys, and left out for another. In a table `methods.NAME` a
system says what it changes of that method and of those made from it. Either file may name a `base`
that it changes.
"""

from __future__ import annotations

import difflib
import functools
import json
import tomllib
from collections.abc import Mapping, Sequence
from importlib.resources import files
from typing import Any

from ...errors import FokkerError

DEFAULT_METHOD = "fokker"

_OF_EXPERTS = ("network", "training", "experts")

_OF_PRESETS = ("description", "base", "hidden", "methods")
"""Keys of presets that no configuration has."""


def systems() -> dict[str, str]:
    """Name and description of every system preset."""
    return _described("systems")


def takes_files(system: str) -> bool:
    """Whether a system is a molecule of the user's, whose preset names no files."""
    own = _preset("systems", system)["system"]
    return own.get("kind") == "molecule" and "topology" not in own


def takes_folder(system: str) -> bool:
    """Whether a system is many molecules."""
    return _preset("systems", system)["system"].get("kind") == "molecules"


def methods() -> dict[str, str]:
    """Name and description of every method preset."""
    return _described("methods")


def combine(
    system: str,
    method: str | Mapping[str, Any],
    changes: Sequence[Mapping[str, Any]] = (),
    *,
    effort: float = 1.0,
) -> dict[str, Any]:
    """Put a system, a method and changes together to a raw configuration.

    Parameters
    ----------
    system
        Preset name.
    method
        Preset name, or a variant: a table with `name`, `method` (the preset it changes) and what
        it changes; a list of `experts` is read like a method preset's, a table by index as changes.
    changes
        Nested tables, the later ones win; `experts` may be a table of tables by index (`*` is every
        index) or a list.
    effort
        Multiplies the training steps of every expert.

    Raises
    ------
    FokkerError
        If a preset does not exist.
    """
    base = _preset("systems", system)
    chosen, line, own = _method(method)
    tuned = [base["methods"][name] for name in line if name in base.get("methods", {})]
    if not isinstance(method, str) and isinstance(method.get("experts"), list):
        # what a system says of the experts of a method is not of those a variant has in their place
        tuned = [{k: v for k, v in table.items() if k != "experts"} for table in tuned]
    for table in tuned:
        chosen = merge(chosen, {k: table[k] for k in _OF_EXPERTS if k in table})
    network = _network(base.pop("network", {}), chosen.pop("network", {}))
    training = merge(base.pop("training", {}), chosen.pop("training", {}))
    refinement = _refinement(chosen, base.pop("refinement", {}), effort)
    reweighting = _reweighting(chosen, base.pop("reweighting", {}), effort)
    experts = [_expert(expert, network, training, effort) for expert in chosen.pop("experts")]
    raw: dict[str, Any] = {"method": method if isinstance(method, str) else method["name"]}
    stages = {"experts": experts}, refinement, reweighting
    rest = ({k: v for k, v in table.items() if k not in _OF_EXPERTS} for table in tuned)
    for part in (base, chosen, *stages, *rest, own, *changes):
        raw = merge(raw, part)
    return {k: v for k, v in raw.items() if k not in _OF_PRESETS}


def with_force_matching(raw: Mapping[str, Any]) -> dict[str, Any]:
    """Put `force-matching` in the place of `dsm` in every expert that has it.

    The term along torsions stays on noise alone: what forces say there is nearly all noise.

    Parameters
    ----------
    raw
        A whole raw configuration; an expert that names `force-matching` is left as it is.
    """
    experts = []
    for expert in raw["experts"]:
        training = expert.get("training", {})
        objectives = dict(training.get("objectives", {"dsm": {}}))
        if "dsm" in objectives and "force-matching" not in objectives:
            own = {key: value for key, value in objectives.pop("dsm").items() if key == "weight"}
            objectives = {"force-matching": own, **objectives}
        experts.append({**expert, "training": {**training, "objectives": objectives}})
    return {**raw, "experts": experts}


def merge(old: Mapping[str, Any], new: Mapping[str, Any]) -> dict[str, Any]:
    """Merge nested tables; a table that names another component replaces the old one.

    A table with integer-like keys merges into a list element by element.
    """
    merged = dict(old)
    for key, value in new.items():
        present = merged.get(key)
        if isinstance(value, Mapping) and isinstance(present, list):
            merged[key] = _merge_list(key, present, value)
        elif isinstance(value, Mapping) and isinstance(present, Mapping):
            renamed = "name" in value and value["name"] != present.get("name", value["name"])
            replaced = renamed and key in ("network", "sampler", "integrator", "process")
            merged[key] = dict(value) if replaced else merge(present, value)
        else:
            merged[key] = value
    return merged


def assignment(text: str) -> dict[str, Any]:
    """Parse one `a.b.c=value` override; the value is TOML, or a string where it is not.

    Raises
    ------
    FokkerError
        If there is no `=` or a part of the key is empty.
    """
    key, separator, value = text.partition("=")
    parts = key.strip().split(".")
    if not separator or not all(parts):
        raise FokkerError(f"--set {text!r}: write it as key=value, for example seed=1.")
    try:
        parsed: Any = tomllib.loads(f"value = {value}")["value"]
    except (tomllib.TOMLDecodeError, RecursionError):
        parsed = value.strip()
    for part in reversed(parts):
        parsed = {part: parsed}
    return parsed


def _method(
    method: str | Mapping[str, Any],
) -> tuple[dict[str, Any], list[str], dict[str, Any]]:
    """Content of a method preset, the names it comes from, and what a variant changes."""
    if isinstance(method, str):
        return _preset("methods", method), _line("methods", method), {}
    name = method.get("method", DEFAULT_METHOD)
    if not isinstance(name, str):
        raise FokkerError(f"method = {name!r} must be the name of a preset in quotes.")
    chosen = _preset("methods", name)
    own = {k: v for k, v in method.items() if k not in ("name", "method", "description")}
    if isinstance(own.get("experts"), list):
        chosen["experts"] = own.pop("experts")
        if not all(isinstance(expert, Mapping) for expert in chosen["experts"]):
            raise FokkerError("experts must be tables, each headed [[experts]].")
    return chosen, _line("methods", name), own


def _expert(
    own: Mapping[str, Any], network: Mapping[str, Any], training: Mapping[str, Any], effort: float
) -> dict[str, Any]:
    settings = merge(training, own.get("training", {}))
    share = own.get("training", {}).get("steps", 1.0)
    settings["steps"] = _whole_blocks(training.get("steps", 1) * share * effort)
    return {
        **own,
        "network": _network(network, own.get("network", {})),
        "training": settings,
    }


def _network(network: Mapping[str, Any], own: Mapping[str, Any]) -> dict[str, Any]:
    """Options of a network with changes: to another network, or of sizes, if it has them."""
    if "name" not in own:
        return merge(network, own) if set(own) <= set(network) else dict(network)
    return merge(network, own) if own["name"] == network.get("name") else dict(own)


def _refinement(method: dict[str, Any], system: Mapping[str, Any], effort: float) -> dict[str, Any]:
    """Options of the refinement, if the method has one and the system says how long it takes."""
    own = method.pop("refinement", None)
    if own is None or not system.get("steps", 0):
        return {}
    steps = _whole_blocks(system["steps"] * own.get("steps", 1.0) * effort)
    return {"refinement": {**system, **own, "steps": steps}}


def _reweighting(
    method: dict[str, Any], system: Mapping[str, Any], effort: float
) -> dict[str, Any]:
    """Options of the reweighting, likewise; with less effort it is shorter."""
    own = method.pop("reweighting", None)
    if own is None or not system.get("rounds", 0):
        return {}
    found = {**system, **own}
    lengths = {"frames": 2, "steps": 1}
    lengths = {n: max(k, round(effort * found[n])) for n, k in lengths.items() if n in found}
    return {"reweighting": {**found, **lengths}}


def _whole_blocks(steps: float, block: int = 250) -> int:
    """Round to whole blocks of the training loop, so that a stage compiles once."""
    return max(1, round(steps)) if steps < 2 * block else block * round(steps / block)


def _preset(kind: str, name: str) -> dict[str, Any]:
    return functools.reduce(merge, (_read(kind, each) for each in _line(kind, name)))


def _line(kind: str, name: str) -> list[str]:
    """Names of the presets that one is made of, the first base first."""
    base = _read(kind, name).get("base", "")
    return [*_line(kind, base), name] if base else [name]


def _merge_list(key: str, present: list[Any], changes: Mapping[str, Any]) -> list[Any]:
    items = list(present)
    named = ((i, c) for i, c in changes.items() if i != "*")
    everywhere = ((i, changes["*"]) for i in range(len(items)) if "*" in changes)
    for index, change in (*everywhere, *named):
        if not str(index).isdigit() or int(index) >= len(items):
            raise FokkerError(
                f"{key}.{index}: there are {len(items)} {key}; use an index from 0 to "
                f"{len(items) - 1}."
            )
        old = items[int(index)]
        both = isinstance(change, Mapping) and isinstance(old, Mapping)
        items[int(index)] = merge(old, change) if both else change
    return items


def _described(kind: str) -> dict[str, str]:
    folder = files("fokker.config.presets") / kind
    names = sorted(f.name.removesuffix(".toml") for f in folder.iterdir() if f.name[-5:] == ".toml")
    found = {name: _read(kind, name) for name in names}
    return {n: raw["description"] for n, raw in found.items() if not raw.get("hidden", False)}


def _read(kind: str, name: str) -> dict[str, Any]:
    file = files("fokker.config.presets") / kind / f"{name}.toml"
    if "/" in name or not file.is_file():
        near = difflib.get_close_matches(name, _described(kind), n=1)
        hint = f"did you mean {near[0]!r}?" if near else "`fokker presets` lists them."
        raise FokkerError(f"no {kind.removesuffix('s')} preset {json.dumps(name)}: {hint}")
    return tomllib.loads(file.read_text(encoding="utf-8"))
