"""What the page says: the verdict, the key numbers and the tables."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from ..metrics.judged import Judged
from ..metrics.noise import seen_noise
from .formats import NOTHING, duration, measured, number, percent, ratio, spread, whole
from .records import Comparison, Distribution, Metrics, Plots, Run, Training, TrainingStep
from .style import pretty

AT_FLOOR = 1.15
"""Up to this many times its floor, a metric is close to that of a perfect model."""

NEAR_FLOOR = 2.0
"""Up to this many times its floor, a metric is called near the floor."""

RARE_FAILURES = 1e-3
"""Fraction of failed frames or diverged chains beyond which no run is called fair."""

_LEVELS = ("good", "fair", "poor")
_HEADS = {"good": "At the floor", "fair": "Near the floor", "poor": "Above the floor"}


class Verdict(NamedTuple):
    """One line on the whole run; `level` is good, fair, poor or unknown."""

    level: str
    head: str
    facts: list[str]


class Tile(NamedTuple):
    """One key number with a note; `level` is empty where there is nothing to judge."""

    title: str
    value: str
    note: str
    level: str = ""


class Row(NamedTuple):
    """One bond, angle or collective variable: its values in the data, and a cell for each set."""

    label: str
    data: str
    cells: list[dict[str, str]]


class Table(NamedTuple):
    """Wasserstein-1 distances of one kind of quantity; `worst` has a sentence for each set."""

    title: str
    unit: str
    w1_unit: str
    sets: list[str]
    rows: list[Row]
    worst: list[str]


def level(value: float | None) -> str:
    """Level of a multiple of the floor."""
    if value is None:
        return ""
    return "good" if value <= AT_FLOOR else "fair" if value <= NEAR_FLOOR else "poor"


def verdict(metrics: Metrics, run: Run) -> Verdict:
    """Judge a run by how far it is above the floor and by everything that failed."""
    sets = _sets(metrics)
    ratios = [c.judged.ratio for c in sets.values()]
    ratios += [c.worst.beyond for c in sets.values() if c.worst]
    levels = [level(ratio) for ratio in ratios if ratio is not None]
    facts = [fact for name, comparison in sets.items() for fact in _js_facts(name, comparison)]
    if metrics.sim is None:
        facts.append("no simulation yet" if metrics.iid else "no samples and no simulation yet")
    failures, worst_failure = _failures(sets, run)
    facts += failures
    if not levels:
        return Verdict("unknown", "Not judged", facts)
    agreement = max(levels, key=_LEVELS.index)
    head = _HEADS[agreement] + (", with failures" if worst_failure != "good" else "")
    return Verdict(max(agreement, worst_failure, key=_LEVELS.index), head, facts)


def tiles(metrics: Metrics, run: Run, steps: list[TrainingStep]) -> list[Tile]:
    """Key numbers at the head of the page."""
    iid, sim = metrics.iid or Comparison(), metrics.sim or Comparison()
    return [
        _js_tile("iid JS", metrics.iid),
        _js_tile("simulation JS", metrics.sim),
        Tile(
            "JS floor, iid / sim",
            _pair(number(iid.judged.floor), number(sim.judged.floor)),
            _at(iid, sim),
        ),
        Tile(
            "PMF error, iid / sim",
            _pair(number(iid.pmf), number(sim.pmf)),
            f"floor {_pair(number(iid.pmf_floor), number(sim.pmf_floor))}",
            _worst(iid.pmf_ratio, sim.pmf_ratio),
        ),
        Tile(
            "failed frames, iid / sim",
            _pair(percent(iid.failed_fraction), percent(sim.failed_fraction)),
            f"without structure {_pair(percent(iid.nan_fraction), percent(sim.nan_fraction))}",
            "poor" if (iid.failed_fraction or 0.0) + (sim.failed_fraction or 0.0) > 0.0 else "",
        ),
        *_worth_tiles(run),
        temperature_tile(run),
        _training_tile(run, steps),
        _speed_tile(run),
    ]


def _worth_tiles(run: Run) -> list[Tile]:
    """What annealed samples are worth; of other samplers all are independent."""
    sampling = run.sampling
    if sampling is None or sampling.effective is None:
        return []
    log_z = number(sampling.log_normalisation), number(sampling.log_normalisation_error)
    note = f"of {sampling.n or 0:,}, by {sampling.distinct_ancestors or 0:,} ancestors; "
    note += f"log Z {log_z[0]} ± {log_z[1]}"
    return [Tile("independent samples", f"{sampling.effective:,.0f}", note)]


def tables(metrics: Metrics, plots: Plots | None) -> list[Table]:
    """Wasserstein-1 tables of bonds, angles and collective variables."""
    plots = plots or Plots()
    degrees = 57.29577951308232
    length = next((density.unit for density in plots.bonds.values()), "")
    # Errors of bond lengths are thousandths of a nanometre.
    bonds = (1.0, 1000.0, "nm", "pm") if length == "nm" else (1.0, 1.0, length, length)
    angles = (degrees, degrees, "°", "°")
    found = [
        _table("Bonds", {n: c.bonds for n, c in _sets(metrics).items()}, bonds),
        _table("Angles", {n: c.angles for n, c in _sets(metrics).items()}, angles),
        *(
            _table(
                "Collective variables",
                {
                    set_name: {
                        v: d for v, d in c.collective_variables.items() if _unit(plots, v) == u
                    }
                    for set_name, c in _sets(metrics).items()
                },
                angles if u == "rad" else (1.0, 1.0, u, u),
            )
            for u in dict.fromkeys(
                _unit(plots, v) for c in _sets(metrics).values() for v in c.collective_variables
            )
        ),
    ]
    return [table for table in found if table.rows]


def chirality(metrics: Metrics) -> list[tuple[str, list[float | None]]]:
    """Fraction of frames with the right chirality, for each chiral centre and set."""
    sets = [comparison.chirality for comparison in _sets(metrics).values()]
    centres = dict.fromkeys(centre for of_set in sets for centre in of_set)
    return [(centre, [of_set.get(centre) for of_set in sets]) for centre in centres]


def set_names(metrics: Metrics) -> list[str]:
    """Names of the sets that there are, in the order of every table."""
    return list(_sets(metrics))


def _unit(plots: Plots, variable: str) -> str:
    return plots.profiles[variable].unit if variable in plots.profiles else ""


def _table(
    title: str,
    sets: Mapping[str, Mapping[str, Distribution]],
    scales: tuple[float, float, str, str],
) -> Table:
    scale, w1_scale, unit, w1_unit = scales
    names = list(dict.fromkeys(label for rows in sets.values() for label in rows))
    rows = []
    for name in names:
        found = [rows_of_set.get(name) for rows_of_set in sets.values()]
        first = next(d for d in found if d is not None)
        data = _spread(first.training_mean, first.training_std, scale)
        rows.append(Row(pretty(name), data, [_cell(d, scale, w1_scale) for d in found]))
    worst = [_worst_row(set_name, of_set) for set_name, of_set in sets.items()]
    return Table(title, unit, w1_unit, list(sets), rows, worst)


def _worst_row(set_name: str, found: Mapping[str, Distribution]) -> str:
    if any(d.w1 is None for d in found.values()):
        return f"{set_name}: infinite, because frames failed"
    above = {n: d.w1 / d.floor for n, d in found.items() if d.w1 is not None and d.floor}
    if not above:
        return f"{set_name}: no floor to compare with"
    name = max(above, key=lambda n: above[n])
    return f"{set_name}: at most {ratio(above[name])} floor ({pretty(name)})"


def _cell(found: Distribution | None, scale: float, w1_scale: float) -> dict[str, str]:
    if found is None:
        return dict.fromkeys(("spread", "w1", "ratio", "relative"), NOTHING)
    above = found.w1 / found.floor if found.w1 is not None and found.floor else None
    return {
        "spread": _spread(found.mean, found.std, scale),
        # A set of failed frames alone is infinitely far away; JSON has null for it.
        "w1": "∞" if found.w1 is None else number(w1_scale * found.w1),
        "ratio": "∞" if found.w1 is None else ratio(above),
        "relative": "∞" if found.w1 is None else percent(found.w1_relative),
    }


def _spread(mean: float | None, std: float | None, scale: float) -> str:
    return NOTHING if mean is None or std is None else spread(scale * mean, scale * std)


def _sets(metrics: Metrics) -> dict[str, Comparison]:
    named = {"iid": metrics.iid, "simulation": metrics.sim}
    return {name: comparison for name, comparison in named.items() if comparison is not None}


def _js_facts(name: str, comparison: Comparison) -> list[str]:
    found, worst = comparison.judged, comparison.worst
    told = [f"{name} {pretty(worst.told())}"] if worst else []
    if found.js is None:
        return [f"{name}: no collective variables, so no JS", *told]
    above = "" if found.ratio is None else f" = {ratio(found.ratio)} floor"
    return [f"{name} JS {number(found.js)}{above}", *told]


def _failures(sets: Mapping[str, Comparison], run: Run) -> tuple[list[str], str]:
    facts, fractions = [], []
    for name, comparison in sets.items():
        if comparison.failed_fraction is None:
            facts.append(f"failed {name} frames not counted")
            continue
        fractions.append(comparison.failed_fraction)
        failed = comparison.failed_fraction * (comparison.n or 0)
        facts.append(f"{whole(failed)} of {whole(comparison.n)} {name} frames failed")
    simulation = run.simulation
    if simulation is not None and simulation.diverged is not None:
        fractions.append(simulation.diverged / (simulation.chains or max(simulation.diverged, 1)))
        facts.append(f"{whole(simulation.diverged)} of {whole(simulation.chains)} chains diverged")
    worst = max(fractions, default=0.0)
    return facts, "good" if worst == 0.0 else "fair" if worst <= RARE_FAILURES else "poor"


def _js_tile(title: str, comparison: Comparison | None) -> Tile:
    if comparison is None:
        return Tile(title, NOTHING, "not run yet")
    found = comparison.judged
    note = NOTHING if found.ratio is None else f"{ratio(found.ratio)} floor"
    return Tile(title, number(found.js), note + _few_chains(found), level(found.ratio))


def _few_chains(found: Judged) -> str:
    """What of a multiple of the floor comes from chains that differ, where it can be seen."""
    share = seen_noise(found.noise, found.floor)
    return "" if share is None else f", {share:.2f} of it few chains"


def _at(iid: Comparison, sim: Comparison) -> str:
    return f"at {_pair(whole(iid.n), whole(sim.n))} frames"


def _worst(*ratios: float | None) -> str:
    return max((level(r) for r in ratios if r is not None), key=_LEVELS.index, default="")


def _pair(first: str, second: str) -> str:
    return f"{first} / {second}"


def temperature_tile(run: Run) -> Tile:
    """Kinetic temperature beside its target."""
    found = run.simulation.temperature if run.simulation else None
    if found is None or found.mean is None:
        return Tile("temperature", NOTHING, "not recorded")
    title, unit = ("temperature", " K") if found.unit == "K" else ("kT of the velocities", "")
    note = "" if found.target is None else f"target {number(found.target, 4)}{unit}"
    return Tile(title, f"{measured(found.mean, found.standard_error)}{unit}", note)


def _training_tile(run: Run, steps: list[TrainingStep]) -> Tile:
    training = run.training or Training()
    seconds = training.seconds
    if seconds is None and steps:
        seconds = sum(step.seconds or 0.0 for step in steps)
    if seconds is None:
        return Tile("training time", NOTHING, "not recorded")
    return Tile("training time", duration(seconds), f"{whole(training.steps)} steps")


def _speed_tile(run: Run) -> Tile:
    simulation = run.simulation
    if simulation is None:
        return Tile("simulation steps per second", NOTHING, "not recorded")
    note = f"all of {whole(simulation.chains)} chains together"
    return Tile("simulation steps per second", whole(simulation.steps_per_second), note)
