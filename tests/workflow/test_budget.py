"""A time in place of steps: how it is read, what it affords, and that it changes nothing else."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner

from fokker.cli import app
from fokker.config import parse
from fokker.config.presets import assignment, combine
from fokker.errors import FokkerError
from fokker.runtime import checkpoint
from fokker.training.speed import Speed, seconds_of
from fokker.workflow import budget
from fokker.workflow.budget import affordable, parse_duration, said

SMALL = [
    "experts.*.network.width=8",
    "experts.*.network.depth=1",
    "experts.*.training.batch_size=16",
]


def at(effort, *changes):
    settings = [assignment(text) for text in (*SMALL, *changes)]
    return parse(combine("mixture-2d", "mixture", settings, effort=effort), "test")


def speeds_of(config, **costs):
    return {i: Speed((0.01,), **costs) for i in range(config.n_stages)}


@given(st.integers(0, 99), st.integers(0, 99), st.integers(1, 99))
def test_a_time_is_the_sum_of_its_parts(hours, minutes, seconds):
    assert parse_duration(f"{hours}h{minutes}m{seconds}s") == 3600 * hours + 60 * minutes + seconds


@given(st.integers(1, 500_000))
def test_a_time_that_is_said_can_be_given_and_is_no_shorter(seconds):
    assert seconds <= parse_duration(said(float(seconds))) < seconds + 60


@pytest.mark.parametrize("text", ["30", "abc", "-3m", "0m", "", "m", "3m2h", "nan", "1e3s", "3 m"])
def test_what_is_no_time_is_refused(text):
    with pytest.raises(FokkerError, match=r"--budget '.*': write a time with its unit"):
        parse_duration(text)


def test_cost_of_known_speeds():
    config = at(1.0, "experts.*.training.steps=1000")
    n = config.n_stages
    # 1000 steps of 10 ms and four looks of 0.5 s, at the end of each block of 250
    assert seconds_of(config, speeds_of(config, look=0.5, once=3.0)) == pytest.approx(n * 15.0)


def test_a_budget_is_used_and_not_exceeded():
    full = seconds_of(at(1.0), speeds_of(at(1.0)))
    speeds = speeds_of(at(1.0))
    found = affordable(at, speeds, 0.5 * full / budget.MARGIN)
    assert found.seconds <= 0.5 * full * (1 + 1e-6)
    block = 250 * 0.01 * len(speeds)  # steps are whole blocks
    assert found.seconds > 0.5 * full - block
    assert found.config == at(found.effort)


def test_a_slow_machine_gets_less_to_do():
    fast = speeds_of(at(1.0))
    slow = {i: Speed((0.02,)) for i in fast}
    one, other = (affordable(at, speeds, 100.0) for speeds in (fast, slow))
    assert other.effort < one.effort
    assert seconds_of(other.config, slow) <= 100.0


def test_too_short_a_time_names_the_least_which_then_suffices():
    speeds = speeds_of(at(1.0), once=2.0)
    with pytest.raises(FokkerError, match="too short to learn anything on this machine") as error:
        affordable(at, speeds, 1.0, spent=5.0)
    least = parse_duration(str(error.value).split()[-1].rstrip("."))
    assert affordable(at, speeds, least, spent=5.0).effort >= budget.LEAST


def weights(folder):
    newest = checkpoint.latest(folder / "checkpoint")
    return {f.name: f.read_bytes() for f in sorted(newest.glob("*")) if f.suffix != ".json"}


def call(*arguments, code=0):
    flags = [f"-s{text}" for text in SMALL]
    command = ["train", "mixture-2d", "--method", "mixture", *flags, *map(str, arguments)]
    result = CliRunner().invoke(app, command, catch_exceptions=False)
    assert result.exit_code == code, result.output
    return " ".join(result.output.split())


@pytest.fixture(scope="module")
def planned(tmp_path_factory):
    """A run of a tiny budget: the least effort is as much as it affords."""
    out = tmp_path_factory.mktemp("budget") / "planned"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(budget, "MOST", 0.02)
        said_ = call("--budget", "10m", "-o", out)
    return out, said_


def test_the_plan_stands_in_the_run_folder(planned):
    out, said_ = planned
    record = json.loads((out / "run.json").read_text())
    plan = record["plan"]
    assert plan["budget"] == 600.0
    assert "budget 10m: effort" in said_
    assert sum(plan["steps"].values()) == record["training"]["steps"]
    lines = (out / "config.toml").read_text().splitlines()
    assert [f"steps = {n}" in lines for n in plan["steps"].values()] == [True] * len(plan["steps"])


def test_the_same_steps_said_directly_are_the_same_run(planned, tmp_path):
    out, _ = planned
    steps = json.loads((out / "run.json").read_text())["plan"]["steps"].values()
    call(*(f"-sexperts.{i}.training.steps={n}" for i, n in enumerate(steps)), "-o", tmp_path / "a")
    mine, other = weights(out), weights(tmp_path / "a")
    assert mine
    assert mine == other


def test_resume_keeps_the_plan_and_measures_nothing(planned, monkeypatch):
    out, _ = planned
    before = (out / "config.toml").read_bytes()
    monkeypatch.setattr(budget, "measured", None)
    call("--budget", "10m", "-o", out, "--resume")
    assert (out / "config.toml").read_bytes() == before
    assert "was planned for 10m" in call("--budget", "20m", "-o", out, "--resume", code=2)
    assert "already holds a run" in call("--budget", "10m", "-o", out, code=2)


def test_budget_and_effort_together_are_refused(tmp_path):
    text = call("--budget", "3m", "--effort", "0.5", "-o", tmp_path / "b", code=2)
    assert "--budget '3m' and --effort 0.5 both say how long to train" in text
    assert not (tmp_path / "b").exists()


def test_a_time_without_unit_is_refused_before_anything_is_done(tmp_path):
    assert "--budget '30': write a time" in call("--budget", "30", "-o", tmp_path / "c", code=2)
    assert not (tmp_path / "c").exists()


def test_inspect_says_what_to_expect(monkeypatch):
    monkeypatch.setattr(budget, "measured", lambda at, say: (speeds_of(at(1.0)), 5.0))
    result = CliRunner().invoke(app, ["inspect", "mixture-2d", "--budget"], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    assert all(text in result.output for text in ("10m", "1h00m", "4h00m", "effort"))
