"""Injects faults into training, sampling, simulation and evaluation, and says what was lost.

    python benchmarks/reliability/faults.py OUT.json [KILLS_PER_COMMAND] [SEED] [all|kills|others]

Every command first runs in a piece. Then it is killed with SIGKILL at random moments, continued
with `--resume` and killed again, until it is let through; what it wrote must equal the first run
byte for byte. After each kill, all that is on the disk must be whole or recognised as cut. The
other faults are SIGTERM, a full disk (a small tmpfs), a read-only folder (a bind mount), a folder
that vanishes, and a second run into the same folder. Mounting needs root; without it these two are
left out and said so.

Commands are forked from a process that has imported everything, to save its time. Blocks and the
time between checkpoints are shortened, so that a run of seconds has many of both.
"""

import contextlib
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

BASE = Path(tempfile.mkdtemp(prefix="faults-"))
os.environ |= {
    "XDG_CACHE_HOME": str(BASE / "cache"),
    "JAX_COMPILATION_CACHE_DIR": str(BASE / "compiled"),
    "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
    "JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES": "0",
}

from fokker.cli import main as fokker  # noqa: E402
from fokker.errors import FokkerError  # noqa: E402
from fokker.run import loaded  # noqa: E402, F401
from fokker.runtime import checkpoint  # noqa: E402
from fokker.system import System  # noqa: E402
from fokker.training import block  # noqa: E402
from fokker.trajectory import read_frames  # noqa: E402
from fokker.workflow import residual  # noqa: E402

block.BLOCK = 20
block.CHECKPOINT_SECONDS = 0.0
residual.PER_DECADE, residual.FRAMES = 1, 32

TRAIN = [
    *("train", "alanine-dipeptide", "-m", "mixture", "-s", "system.stride=20"),
    *(f"-sexperts.{i}.network.width=8" for i in range(3)),
    *(f"-sexperts.{i}.network.depth=1" for i in range(3)),
    *(f"-sexperts.{i}.training.batch_size=64" for i in range(3)),
    *(f"-sexperts.{i}.training.steps=200" for i in range(3)),
    *("-s", "sampling.n=3000", "-s", "sampling.batch_size=100", "-s", "sampling.sampler.steps=10"),
    *("-s", "simulation.chains=20", "-s", "simulation.steps=15000", "-s", "simulation.stride=50"),
]
RUN = "RUN"
COMMANDS = {
    "training": [*TRAIN, "-o", RUN],
    "sampling": ["sample", RUN],
    "simulation to xtc": ["simulate", RUN],
    "simulation to dcd": ["simulate", RUN, "-o", f"{RUN}/simulation.dcd"],
    "simulation to npy": ["simulate", RUN, "-o", f"{RUN}/simulation.npy"],
    "evaluation": ["evaluate", RUN],
}
RESUMES = [name for name in COMMANDS if name != "evaluation"]


class Command:
    """One forked command."""

    def __init__(self, arguments: list[str], run: Path):
        self.log = BASE / f"{time.monotonic_ns()}.log"
        arguments = [text.replace(RUN, str(run)) for text in arguments]
        self.began = time.monotonic()
        self.pid = os.fork()
        if self.pid:
            return
        code = 1
        try:
            with self.log.open("wb") as out:
                os.dup2(out.fileno(), 1)
                os.dup2(out.fileno(), 2)
            sys.argv = ["fokker", *arguments]
            fokker()
        except SystemExit as end:
            code = end.code if isinstance(end.code, int) else 0
        except BaseException:
            import traceback

            traceback.print_exc()
        finally:
            sys.stdout.flush()
            os._exit(code)

    def send(self, number: int) -> None:
        """Send a signal."""
        os.kill(self.pid, number)

    def poll(self) -> int | None:
        """Exit code, minus the signal if it was killed, or None while it works."""
        pid, status = os.waitpid(self.pid, os.WNOHANG)
        return os.waitstatus_to_exitcode(status) if pid else None

    def wait(self, seconds: float = 3600.0) -> int:
        """Exit code; a command that does not end is a hang."""
        limit = time.monotonic() + seconds
        while (code := self.poll()) is None:
            if time.monotonic() > limit:
                self.send(signal.SIGKILL)
                os.waitpid(self.pid, 0)
                raise AssertionError(f"hangs: {self.text()}")
            time.sleep(0.01)
        self.seconds = time.monotonic() - self.began
        return code

    def text(self) -> str:
        """What it printed."""
        return self.log.read_text(errors="replace") if self.log.exists() else ""


def succeed(arguments: list[str], run: Path) -> float:
    """Run a command to its end; the seconds it took."""
    command = Command(arguments, run)
    code = command.wait()
    assert code == 0, (arguments, code, command.text())
    return command.seconds


def system_of(run: Path) -> System:
    """System of a trained run."""
    newest = checkpoint.latest(run / "checkpoint")
    return System.model_validate(checkpoint.read_manifest(newest)["system"])


def contents(run: Path) -> dict[str, object]:
    """What a run folder holds, without times: bytes of files, records without seconds."""
    timing = {"seconds", "steps_per_second", "command"}

    def timeless(value):
        if isinstance(value, dict):
            return {k: timeless(v) for k, v in value.items() if k not in timing}
        return value

    found: dict[str, object] = {}
    for path in sorted(run.rglob("*")):
        name = str(path.relative_to(run))
        if not path.is_file() or ".restart" in name or name.endswith("position.json"):
            continue
        if name == "run.json":
            found[name] = timeless(json.loads(path.read_bytes()))
        elif name == "training.jsonl":
            found[name] = [timeless(json.loads(line)) for line in path.read_text().splitlines()]
        else:
            found[name] = path.read_bytes()
    return found


def check_whole(run: Path) -> Counter:
    """Check what a killed command left: whole, or recognised as cut; a count of both."""
    seen: Counter = Counter()
    folders = [run / "checkpoint", *run.glob(".*.restart")]
    for path in [p for f in folders if f.is_dir() for p in f.iterdir() if p.name.isdigit()]:
        checkpoint.read_manifest(path)
        seen["checkpoints, whole"] += 1
    for name in ("run.json", "metrics.json", "plots.json"):
        if (run / name).exists():
            json.loads((run / name).read_bytes())
            seen["records, whole"] += 1
    if (run / "training.jsonl").exists():
        *whole, last = (run / "training.jsonl").read_text().split("\n")
        [json.loads(line) for line in whole]
        seen["logs cut in the last line" if last else "logs, whole"] += 1
    for path in (*run.glob("simulation.*"), *run.glob("samples.*")):
        check_frames(run, path, seen)
    return seen


def check_frames(run: Path, path: Path, seen: Counter) -> None:
    """Frames up to the last position noted are those of the run in a piece."""
    restart, position = (path.with_name(f".{path.name}.{s}") for s in ("restart", "position.json"))
    n_bytes = 0
    if position.exists():
        n_bytes = json.loads(position.read_bytes())["bytes"]
    elif restart.is_dir() and checkpoint.exists(restart):
        n_bytes = checkpoint.read_manifest(checkpoint.latest(restart))["bytes"]
    assert path.stat().st_size >= n_bytes, "frames are on the disk before their position is noted"
    system = system_of(run)
    try:
        found = read_frames(path, system, min_frames=0, allow_failed=True)
    except FokkerError as error:
        seen[
            "trajectories refused: " + ("cut" if "cut short" in str(error) else "being written")
        ] += 1
        assert "resume" in str(error) or "empty" in str(error), error
    else:
        whole = read_frames(REFERENCE / path.name, system, allow_failed=True)
        assert found.tobytes() == whole[: len(found)].tobytes()
        seen["trajectories, whole frames"] += 1


def kill_and_resume(name: str, n_kills: int, seconds: float, before: Path, seen: Counter) -> dict:
    """Kill one command at random moments until so many kills have hit it at work."""
    kills, rounds = 0, 0
    while kills < n_kills:
        run = BASE / "killed"
        shutil.rmtree(run, ignore_errors=True)
        if before.exists():
            shutil.copytree(before, run)
        arguments, rounds = COMMANDS[name], rounds + 1
        for _ in range(min(4, n_kills - kills)):
            command = Command(arguments, run)
            time.sleep(random.uniform(0.1, 1.1 * seconds))
            if name in RESUMES:
                arguments = [*COMMANDS[name], "--resume"]
            if command.poll() is not None:  # too late: the machine is less busy than it was
                seconds *= 0.7
                break
            command.send(signal.SIGKILL)
            os.waitpid(command.pid, 0)
            kills += 1
            seen.update(check_whole(run) if run.exists() else {})
        succeed(arguments, run)
        same = compare(run, name)
        assert not same, f"{name}: differs from the run in a piece: {same}"
        print(f"{name}: {kills} kills, {rounds} runs ended equal", flush=True)
    return {"injected": kills, "runs compared": rounds, "lost": "nothing: equal byte for byte"}


def compare(run: Path, name: str) -> list[str]:
    """Names of files that differ from the run in a piece."""
    ours, whole = contents(run), contents(REFERENCES[name])
    ours.pop(".lock", None), whole.pop(".lock", None)
    return [k for k in ours.keys() | whole.keys() if ours.get(k) != whole.get(k)]


def refused(command: Command, *words: str) -> str:
    """The one sentence of a command that must end with code 2."""
    code, text = command.wait(1200), command.text()
    flat = " ".join(text.split())
    assert code == 2, (code, text)
    assert "Traceback" not in text, text
    assert flat.count("error:") == 1, text
    assert all(word in flat for word in words), (words, text)
    return flat[flat.index("error:") :]


def started(command: Command, sign: Callable[[], bool]) -> None:
    """Wait until a command shows a sign of work."""
    while not sign():
        assert command.poll() is None, command.text()
        time.sleep(0.01)


@contextlib.contextmanager
def mounted(path: Path, *arguments: str) -> Iterator[None]:
    """Mount something on a folder for a while."""
    subprocess.run(["mount", *arguments, str(path)], check=True, capture_output=True)
    try:
        yield
    finally:
        subprocess.run(["umount", "-l", str(path)], check=True, capture_output=True)


def sigterm(name: str, before: Path, sign: Callable[[Path], bool]) -> dict:
    """SIGTERM at work: exit code 0, how to continue, and the same result."""
    run = BASE / "term"
    shutil.rmtree(run, ignore_errors=True)
    if before.exists():
        shutil.copytree(before, run)
    command = Command(COMMANDS[name], run)
    started(command, lambda: sign(run))
    command.send(signal.SIGTERM)
    code, text = command.wait(1200), command.text()
    assert code == 0, (code, text)
    assert "Continue with: fokker" in text, text
    succeed([*COMMANDS[name], *["--resume"] * (name in RESUMES)], run)
    assert not compare(run, name)
    return {"injected": 1, "lost": "nothing: exit code 0, continued to an equal end"}


def full_disk(name: str, before: Path) -> dict:
    """A disk that fills up while a command writes: code 2, older frames readable, resumable."""
    run = BASE / "full"
    run.mkdir(exist_ok=True)
    size = sum(p.stat().st_size for p in before.rglob("*") if p.is_file()) if before.exists() else 0
    made = REFERENCES[name] / {"training": "checkpoint", "sampling": "samples.xtc"}.get(
        name, "simulation.xtc"
    )
    whole = sum(p.stat().st_size for p in made.rglob("*")) or made.stat().st_size
    room = int(1.2 * whole) if name == "training" else whole // 2  # two checkpoints, and a third
    with mounted(run, "-t", "tmpfs", "-o", f"size={size + room}", "tmpfs"):
        if before.exists():
            shutil.copytree(before, run, dirs_exist_ok=True)
        text = refused(Command(COMMANDS[name], run))
        assert "space" in text or "full" in text, text
        seen = check_whole(run)
        assert seen["checkpoints, whole"], f"nothing was kept: {text}"
        subprocess.run(["mount", "-o", "remount,size=200m", str(run)], check=True)
        succeed([*COMMANDS[name], "--resume"], run)
        assert not compare(run, name)
    return {"injected": 1, "lost": "nothing: continued to an equal end with room", "said": text}


def read_only(name: str, before: Path) -> dict:
    """A folder that cannot be written to."""
    run = BASE / "frozen"
    shutil.rmtree(run, ignore_errors=True)
    shutil.copytree(before, run) if before.exists() else run.mkdir()
    with mounted(run, "--bind", str(run)):
        subprocess.run(["mount", "-o", "remount,ro,bind", str(run)], check=True)
        text = refused(Command(COMMANDS[name], run), "Read-only")
    return {"injected": 1, "lost": "nothing", "said": text}


def vanished(name: str, before: Path, sign: Callable[[Path], bool]) -> dict:
    """The run folder is moved away while a command works."""
    run, away = BASE / "gone", BASE / "away"
    shutil.rmtree(run, ignore_errors=True)
    shutil.rmtree(away, ignore_errors=True)
    if before.exists():
        shutil.copytree(before, run)
    command = Command(COMMANDS[name], run)
    started(command, lambda: sign(run))
    run.rename(away)
    text = refused(command)
    assert not run.exists(), "the folder was made anew"
    check_whole(away)
    away.rename(run)
    succeed([*COMMANDS[name], "--resume"], run)
    assert not compare(run, name)
    return {
        "injected": 1,
        "lost": "nothing: moved back and continued to an equal end",
        "said": text,
    }


def second_run(name: str, before: Path, sign: Callable[[Path], bool]) -> dict:
    """A second command into the folder of one at work."""
    run = BASE / "two"
    shutil.rmtree(run, ignore_errors=True)
    if before.exists():
        shutil.copytree(before, run)
    first = Command(COMMANDS[name], run)
    started(first, lambda: sign(run))
    first.send(signal.SIGSTOP)
    text = refused(Command([*COMMANDS[name], "--resume"], run), "another fokker process")
    first.send(signal.SIGCONT)
    assert first.wait() == 0
    assert not compare(run, name)
    return {"injected": 1, "lost": "nothing: the second refused", "said": text}


REFERENCE = BASE / "whole"
REFERENCES: dict[str, Path] = {}
STAGES: dict[str, Path] = {}


def prepare() -> dict[str, float]:
    """Run every command in a piece, twice for the time; keep the folder before and after each."""
    seconds = {}
    for name, arguments in COMMANDS.items():
        STAGES[name] = BASE / "before" / name.replace(" ", "-")
        if REFERENCE.exists():
            shutil.copytree(REFERENCE, STAGES[name])
        succeed(arguments, REFERENCE)
        REFERENCES[name] = BASE / "after" / name.replace(" ", "-")
        shutil.copytree(REFERENCE, REFERENCES[name])
        again = BASE / "again"
        if STAGES[name].exists():
            shutil.copytree(STAGES[name], again)
        seconds[name] = succeed(arguments, again)
        assert not compare(again, name), f"{name} is not deterministic"
        shutil.rmtree(again)
        print(f"{name}: {seconds[name]:.1f} s", flush=True)
    return seconds


def main() -> None:
    """Inject everything and write the table."""
    out, n_kills = Path(sys.argv[1]), int((sys.argv[2:] or ["10"])[0])
    random.seed(int((sys.argv[3:] or ["0"])[0]))
    parts = (sys.argv[4:] or ["all"])[0]
    seconds, seen = prepare(), Counter()
    table: dict[str, object] = {}
    if parts in ("all", "others"):
        inject_others(out, table, seen)
    for name in COMMANDS if parts in ("all", "kills") else ():
        found = kill_and_resume(name, n_kills, seconds[name], STAGES[name], seen)
        table[f"kill -9, {name}"] = found
        write(out, table, seen)
    shutil.rmtree(BASE)


def inject_others(out: Path, table: dict, seen: Counter) -> None:
    """SIGTERM, full disk, read-only folder, vanished folder, second run."""
    signs = {
        "training": lambda run: checkpoint.exists(run / "checkpoint"),
        "sampling": lambda run: size(run / "samples.xtc") > 20_000,
        "simulation to xtc": lambda run: size(run / "simulation.xtc") > 20_000,
    }
    faults = {"SIGTERM": sigterm, "folder vanishes": vanished, "second run": second_run}
    table["SIGTERM, evaluation"] = sigterm("evaluation", STAGES["evaluation"], later())
    for fault, inject in faults.items():
        for name, sign in signs.items():
            table[f"{fault}, {name}"] = inject(name, STAGES[name], sign)
            print(fault, name, table[f"{fault}, {name}"], flush=True)
            write(out, table, seen)
    if os.geteuid() != 0:
        table["disk full, read-only folder"] = "left out: mounting needs root"
        return
    for fault, inject in {"disk full": full_disk, "read-only folder": read_only}.items():
        for name in signs:
            table[f"{fault}, {name}"] = inject(name, STAGES[name])
            print(fault, name, table[f"{fault}, {name}"], flush=True)
            write(out, table, seen)


def later(seconds: float = 1.0) -> Callable[[Path], bool]:
    """A sign that comes after some time, for a command that shows none."""
    begin = time.monotonic()
    return lambda run: time.monotonic() - begin > seconds


def size(path: Path) -> int:
    """Bytes of a file, 0 if there is none."""
    return path.stat().st_size if path.exists() else 0


def write(out: Path, table: dict, seen: Counter) -> None:
    """Write what is known so far."""
    text = json.dumps({"faults": table, "found after kills": dict(seen)}, indent=1)
    out.write_text(text.replace(str(BASE), "") + "\n")


if __name__ == "__main__":
    main()
