"""Feeds hostile files and texts to everything that reads input, and counts what happened.

    python benchmarks/reliability/fuzz.py OUT.json [INPUTS] [SEED] [READER,READER,...]

Each reader runs in a process of its own whose address space is limited to what it has after its
imports and 2 GiB more, with 20 seconds of processor time (and 300 in all) for every input. Allowed
are a valid result and a `FokkerError` of one line. Anything else is a failure: another exception, a
hang, a crash, an allocation over the limit, and, watched by an audit hook, unpickling, starting a
process, a connection, or writing outside the folder. A failing input is named, and its name
makes it again.

Files are spoiled as in the tests (bits, words, cuts, insertions), half of them several times over.
Those with a checksum are spoiled with the sum put right, and documents also value by value.
"""

import contextlib
import copy
import hashlib
import json
import os
import random
import resource
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

MEMORY = 2 * 2**30
SECONDS = 20
SPECIAL = (0, 1, 2, -1, 9, 10, 12, 48, 72, 73, 84, 120, 255, 65_536, 2**31 - 1, -(2**31), 2**31 - 4)
HOSTILE = (
    *(None, True, False, 0, -1, 1, 1e308, -1e308, float("nan"), float("inf"), 2**31, 2**63, 10**30),
    *("", "x", "../../etc/passwd", "\x00", "a" * 5000, "embedded:../../secret"),
    *([], [[]], {}, {"name": "x"}, [1, "x"], [1e9] * 3, 1e-320, [10**9, 10**9]),
    *("__import__('os').system('true')", {"__class__": "os"}),
)
FORBIDDEN = {
    *("pickle.find_class", "os.system", "os.exec", "os.posix_spawn", "os.fork"),
    *("subprocess.Popen", "socket.connect"),
}
SHARES = {
    **{"xtc": 12, "dcd": 12, "trr": 8, "nc": 8, "npy": 8},
    **{"pdb": 6, "gro": 5, "xyz": 5, "lammpstrj": 5, "topology pdb": 2, "topology gro": 2},
    **{"selection": 2, "config": 9, "assignment": 8, "manifest": 2, "safetensors": 2},
    **{"restart": 2, "position": 8, "record": 8},
}


def spoiled(content: bytes, rng: random.Random) -> bytes:
    """Bytes with one fault, or a few."""
    for _ in range(rng.choice((1, 1, 2, 5))):
        at, kind = rng.randrange(len(content) + 1), rng.randrange(7)
        if kind == 0:
            content = content[:at]
        elif kind == 1:
            content = content[:at] + rng.randbytes(rng.randint(1, 60)) + content[at:]
        elif kind == 2:
            new = rng.randbytes(rng.randint(1, 60))
            content = content[:at] + new + content[at + len(new) :]
        elif kind == 3 and content:
            begin = rng.randrange(len(content))
            content = content[:at] + content[begin : begin + rng.randint(1, 400)] + content[at:]
        elif kind == 4 and content:
            flipped = bytearray(content)
            for _ in range(rng.randint(1, 8)):
                flipped[rng.randrange(len(flipped))] ^= 1 << rng.randrange(8)
            content = bytes(flipped)
        else:
            at = rng.randrange(min(len(content), 400) + 1) if rng.random() < 0.6 else at
            word = (rng.choice(SPECIAL) % 2**32).to_bytes(4, rng.choice(("big", "little")))
            content = content[: at // 4 * 4] + word + content[at // 4 * 4 + 4 :]
    return content


def altered(document, rng: random.Random):
    """A document with some values put in place of others, removed or added."""
    document = json.loads(json.dumps(document))
    for _ in range(rng.choice((1, 1, 2, 4))):
        places = []

        def walk(node, places=places):
            keys = node if isinstance(node, dict) else range(len(node))
            for key in list(keys):
                places.append((node, key))
                if isinstance(node[key], dict | list) and node[key]:
                    walk(node[key])

        walk(document)
        if not places:
            return document
        node, key = rng.choice(places)
        kind = rng.random()
        if kind < 0.15:
            del node[key]
        elif kind < 0.25 and isinstance(node, dict):
            node[rng.choice(("x", "name", "__init__", ""))] = copy.deepcopy(rng.choice(HOSTILE))
        elif kind < 0.35:
            other, from_key = rng.choice(places)
            with contextlib.suppress(KeyError, IndexError):
                node[key] = json.loads(json.dumps(other[from_key]))
        else:
            node[key] = copy.deepcopy(rng.choice(HOSTILE))
    return document


def nested(rng: random.Random) -> bytes:
    """Deeply nested brackets."""
    return rng.choice((b"[", b'{"a":', b"a=[", b"[a.")) * rng.choice((100, 5000, 100_000))


def trajectory_reader(suffix: str, folder: Path):
    """Spoil and read a trajectory."""
    import mdtraj
    import numpy as np

    from fokker.system import Bead, System
    from fokker.trajectory import read_frames, topology_of

    systems, good = {}, []
    for n in (3, 10, 40):
        systems[n] = System(
            name="chain", dim=3, beads=tuple(Bead(name="C") for _ in range(n)), kT=2.5,
            bonds=tuple((i, i + 1) for i in range(n - 1)),
        )  # fmt: skip
        rng = np.random.default_rng(n)
        walk = np.cumsum(0.09 * rng.normal(size=(1, n, 3)), axis=1)
        frames = (walk + 0.01 * rng.normal(size=(4, n, 3))).astype(np.float32)
        for box in (False, True):
            path = folder / f"good.{suffix}"
            trajectory = mdtraj.Trajectory(frames, topology_of(systems[n]))
            if box or suffix == "lammpstrj":
                trajectory.unitcell_lengths = np.full((4, 3), 3.0)
                trajectory.unitcell_angles = np.full((4, 3), 90.0)
            np.save(path, frames) if suffix == "npy" else trajectory.save(str(path))
            good.append((n, path.read_bytes()))
    path = folder / f"spoiled.{suffix}"

    def attack(rng: random.Random) -> None:
        n, content = rng.choice(good)
        if rng.random() < 0.1:
            content = content[: rng.randrange(300)] + rng.randbytes(rng.randrange(400))
        else:
            content = spoiled(content, rng)
        path.write_bytes(content)
        frames = read_frames(path, systems[n], min_frames=0, allow_failed=rng.random() < 0.5)
        assert frames.shape[1:] == (n, 3)

    return attack


def topology_reader(suffix: str, folder: Path):
    """Spoil and read a topology."""
    from fokker.dataset.source import resolve
    from fokker.trajectory import system_from_topology

    good = resolve("embedded:alanine-dipeptide/topology.pdb")
    content = good.read_bytes()
    if suffix == "gro":
        import mdtraj

        mdtraj.load(good).save(str(folder / "good.gro"))
        content = (folder / "good.gro").read_bytes()
    path = folder / f"topology.{suffix}"

    def attack(rng: random.Random) -> None:
        path.write_bytes(spoiled(content, rng))
        system_from_topology(path, select="all", temperature=300.0, name="spoiled")

    return attack


def selection_reader(folder: Path):
    """Random selections."""
    from fokker.dataset.source import resolve
    from fokker.trajectory import system_from_topology

    topology = resolve("embedded:alanine-dipeptide/topology.pdb")
    words = (
        *("name", "CA", "resname", "ALA", "and", "or", "not", "(", ")", "to", "==", "<", "2"),
        *("all", "index", "__import__", "('os')", ".", "system", "*", "[0]", "lambda", ":", "1"),
        *("**", "9", "'x'", "=~", "(a+)+$"),
    )

    def attack(rng: random.Random) -> None:
        text = " ".join(rng.choices(words, k=rng.randint(0, 7)))
        if rng.random() < 0.2:
            text = spoiled(text.encode() or b"all", rng).decode("utf-8", "replace")
        system_from_topology(topology, select=text, temperature=300.0, name="any")

    return attack


def config_reader(folder: Path):
    """Spoil the text of a configuration, or its values, and parse it."""
    from fokker.config import parse, read_toml, to_toml
    from fokker.config.presets import combine

    good = [
        combine(s, m) for s in ("alanine-dipeptide", "mueller-brown") for m in ("fokker", "both")
    ]
    texts = [to_toml(parse(raw, "good")).encode() for raw in good]
    path = folder / "config.toml"

    def attack(rng: random.Random) -> None:
        if rng.random() < 0.5:
            path.write_bytes(
                nested(rng) if rng.random() < 0.02 else spoiled(rng.choice(texts), rng)
            )
            raw = read_toml(path)
        else:
            raw = altered(rng.choice(good), rng)
        config = parse(raw, "hostile")
        assert parse(read_written(path, to_toml(config)), "again") == config

    def read_written(path: Path, text: str):
        path.write_text(text, encoding="utf-8")
        return read_toml(path)

    return attack


def assignment_reader(folder: Path):
    """Random `--set` texts on top of a preset."""
    from fokker.cli.settings import configuration

    keys = (
        *(
            "seed",
            "system.name",
            "system.stride",
            "process",
            "method",
            ".",
            "..",
            "a..b",
            "experts",
        ),
        *("experts.0.network.width", "experts.1.training.steps", "experts.9.x", "experts.x", "0"),
        *("experts.0.training.objectives.dsm.weight", "experts.0.interval", "simulation.t"),
        *("simulation.integrator.dt", "sampling.sampler.name", "sampling.n"),
    )
    values = [json.dumps(v) for v in HOSTILE] + [
        "nan",
        "1e999",
        "{name='mlp'}",
        "[[[[",
        "'" * 9,
        "0x1",
    ]

    def attack(rng: random.Random) -> None:
        texts = []
        for _ in range(rng.randint(1, 3)):
            text = f"{rng.choice(keys)}={rng.choice(values)}"
            if rng.random() < 0.3:
                text = spoiled(text.encode(), rng).decode("utf-8", "replace")
            texts.append(text)
        configuration(
            "mixture-2d", rng.choice(("fokker", "both", "x")), file=None, changes=texts, effort=1.0,
            seed=None, trajectory=None, topology=None, select=None, temperature=None, stride=None,
        )  # fmt: skip

    return attack


def trained(folder: Path) -> Path:
    """A run folder with a checkpoint of a model that has not learned anything."""
    import numpy as np

    from fokker.config import parse
    from fokker.config.presets import assignment, combine
    from fokker.dataset.frames import prepare
    from fokker.dataset.subject import describe, start_frames
    from fokker.metrics import GeometryLimits
    from fokker.runtime import checkpoint
    from fokker.system import Bead, System
    from fokker.training import inference_group
    from fokker.training.schedule import initial_model

    changes = [assignment(f"experts.{i}.network.width=4") for i in range(3)]
    config = parse(combine("mixture-2d", "mixture", changes), "good")
    system = System(
        name="plane", dim=2, beads=(Bead(name="X"),), kT=1.0, centred=False, length_unit=""
    )
    dataset = prepare(np.random.default_rng(0).normal(size=(200, 1, 2)).astype(np.float32), system)
    limits = GeometryLimits.from_frames(system, dataset.scaling.invert(dataset.training))
    metadata = describe(config, system, dataset, limits) | {
        "progress": {"stage": 3, "step": 0, "counter": 1}
    }
    model = initial_model(config, system, dataset.training)
    run = folder / "run"
    run.mkdir()
    groups = {"model": inference_group(model, start_frames(dataset))}
    checkpoint.save(run / "checkpoint", 1, groups, metadata)
    return run


def checkpoint_reader(part: str, folder: Path):
    """Spoil the manifest or the arrays of a checkpoint; the sums are put right."""
    from fokker.run.loaded import load_run
    from fokker.runtime import checkpoint

    run = trained(folder)
    place = checkpoint.latest(run / "checkpoint")
    manifest = json.loads((place / "manifest.json").read_bytes())
    arrays = (place / "model.safetensors").read_bytes()
    head = int.from_bytes(arrays[:8], "little")

    def attack(rng: random.Random) -> None:
        document, data, text = manifest, arrays, None
        if part == "manifest" and rng.random() < 0.4:
            text = json.dumps(manifest).encode()
            text = nested(rng) if rng.random() < 0.02 else spoiled(text, rng)
        elif part == "manifest":
            document = altered(manifest, rng)
        elif rng.random() < 0.5:
            header = json.dumps(altered(json.loads(arrays[8 : 8 + head]), rng)).encode()
            data = len(header).to_bytes(8, "little") + header + arrays[8 + head :]
        else:
            data = spoiled(arrays, rng)
        if part == "safetensors":
            sums = {"bytes": len(data), "sha256": hashlib.sha256(data).hexdigest()}
            document = manifest | {"files": {"model.safetensors": sums}}
        (place / "manifest.json").write_bytes(text or json.dumps(document).encode())
        (place / "model.safetensors").write_bytes(data)
        load_run(run)

    return attack


def restart_reader(folder: Path):
    """Spoil the manifest of a simulation to be resumed."""
    import jax
    import jax.numpy as jnp
    import numpy as np

    from fokker.dynamics import LangevinOptions, SimulationState
    from fokker.metrics.tally import Tally
    from fokker.runtime import checkpoint
    from fokker.workflow.simulate import _restore

    integrator, x0 = LangevinOptions().build((1.0,), 1.0), np.zeros((3, 1, 2), np.float32)
    chains = jax.vmap(integrator.init)(jnp.asarray(x0), jax.random.split(jax.random.key(0), 3))
    state = SimulationState(chains, jnp.zeros((), jnp.int32), jnp.zeros(3, jnp.int32))
    metadata = {"settings": {"seed": 0}, "bytes": 1, "tally": Tally([1.0], 1, 1).as_json()}
    path = checkpoint.save(folder / "restart", 1, {"state": state}, metadata) / "manifest.json"
    manifest = json.loads(path.read_bytes())

    def attack(rng: random.Random) -> None:
        if rng.random() < 0.5:
            path.write_bytes(spoiled(json.dumps(manifest).encode(), rng))
        else:
            path.write_text(json.dumps(altered(manifest, rng)))
        _, n_bytes, tally = _restore(path.parent.parent, {"seed": 0}, integrator, x0)
        assert n_bytes >= 0
        tally.add(np.ones((600, 2)), 1.0)
        tally.temperature(3)

    return attack


def position_reader(folder: Path):
    """Spoil the position of samples to be resumed."""
    from fokker.workflow.sample import _Position, _position_file

    target = folder / "samples.xtc"
    _Position(3, 400).save(target, {"n": 9}, finished=False)
    path = _position_file(target)
    good = json.loads(path.read_bytes())

    def attack(rng: random.Random) -> None:
        if rng.random() < 0.5:
            path.write_bytes(
                nested(rng) if rng.random() < 0.02 else spoiled(json.dumps(good).encode(), rng)
            )
        else:
            path.write_text(json.dumps(altered(good, rng)))
        _Position.find(target, {"n": 9})

    return attack


def record_reader(folder: Path):
    """Spoil `run.json`."""
    from fokker.run.folder import RunFolder

    run = RunFolder(folder)
    run.note(training={"seconds": 1.0, "steps": 3}, simulation={"diverged": 0})
    good = run.record.read_bytes()

    def attack(rng: random.Random) -> None:
        run.record.write_bytes(nested(rng) if rng.random() < 0.02 else spoiled(good, rng))
        run.read_record()

    return attack


def attack_of(kind: str, folder: Path) -> Callable[[random.Random], None]:
    """The attack of a kind, set up."""
    first, _, second = kind.partition(" ")
    if first == "topology":
        return topology_reader(second, folder)
    special = {
        "selection": selection_reader,
        "config": config_reader,
        "assignment": assignment_reader,
        "restart": restart_reader,
        "position": position_reader,
        "record": record_reader,
    }
    if kind in special:
        return special[kind](folder)
    if kind in ("manifest", "safetensors"):
        return checkpoint_reader(kind, folder)
    return trajectory_reader(kind, folder)


def watch(folder: Path) -> list[str]:
    """Names of events that no reader may cause; filled while inputs are read."""
    seen: list[str] = []
    own = {str(folder), "/dev/null", tempfile.gettempdir()}

    def hook(event: str, args: tuple) -> None:
        elsewhere = not str(args[0] if args else "").startswith(tuple(own))
        if event in FORBIDDEN or (event in ("os.remove", "shutil.rmtree") and elsewhere):
            seen.append(f"{event} {args}"[:200])
        if event != "open" or not isinstance(args[0], str) or not isinstance(args[2], int):
            return
        if elsewhere and args[2] & (os.O_WRONLY | os.O_RDWR):
            seen.append(f"open for writing {args[0]}"[:200])

    sys.addaudithook(hook)
    return seen


def work(kind: str, count: int, seed: int, folder: Path) -> None:
    """Read so many hostile inputs; one line of JSON for the tally, one for every failure."""
    from fokker.errors import FokkerError

    attack = attack_of(kind, folder)
    with contextlib.suppress(FokkerError):
        attack(random.Random(0))  # late imports
    seen = watch(folder)
    seen.clear()
    used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (used + MEMORY, used + MEMORY))

    def late(number, frame):
        raise TimeoutError(f"over {SECONDS} s")

    signal.signal(signal.SIGPROF, late)
    signal.signal(signal.SIGALRM, late)
    tally: Counter = Counter()
    for index in range(count):
        name = f"{seed}-{kind}-{index}"
        (folder / "current").write_text(name)
        signal.setitimer(signal.ITIMER_PROF, SECONDS)
        signal.alarm(15 * SECONDS)
        try:
            attack(random.Random(name))
            outcome = "valid"
        except FokkerError as error:
            outcome = (
                "refused" if "\n" not in str(error) else f"FAILED {name}: many lines: {error!r}"
            )
        except BaseException as error:
            outcome = f"FAILED {name}: {type(error).__name__}: {error}"[:400]
        signal.setitimer(signal.ITIMER_PROF, 0)
        signal.alarm(0)
        if seen:
            outcome = f"FAILED {name}: {seen[0]}"
            seen.clear()
        if outcome.startswith("FAILED"):
            print(json.dumps(outcome), flush=True)
            tally["failed"] += 1
        else:
            tally[outcome] += 1
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    print(json.dumps({**tally, "peak resident bytes": peak}), flush=True)


def main() -> None:
    """Share the inputs out over the readers, one process each."""
    if sys.argv[1] == "--work":
        kind, count, seed, folder = sys.argv[2:]
        work(kind, int(count), int(seed), Path(folder))
        return
    out, total = Path(sys.argv[1]), int((sys.argv[2:] or ["100000"])[0])
    seed = (sys.argv[3:] or ["0"])[0]
    result: dict = {"inputs": 0, "failures": [], "processor seconds an input at most": SECONDS}
    result["address space above the imports at most, bytes"] = MEMORY
    result["readers"] = {}
    chosen = sys.argv[4].split(",") if len(sys.argv) > 4 else SHARES
    for kind in chosen:
        share = SHARES[kind]
        count = -(-total * share // sum(SHARES.values()))
        began = time.monotonic()
        with tempfile.TemporaryDirectory(prefix="fuzz-") as name:
            command = [sys.executable, __file__, "--work", kind, str(count), seed, name]
            done = subprocess.run(command, capture_output=True, text=True, check=False)
            lines = [json.loads(line) for line in done.stdout.splitlines() if line[:1] in '"{']
            if done.returncode or not lines or not isinstance(lines[-1], dict):
                current = Path(name) / "current"
                at = current.read_text() if current.exists() else "setting up"
                lines += [f"CRASHED {at}: {done.returncode} {done.stderr[-300:]}", {}]
        tally = lines.pop()
        result["failures"] += lines
        result["inputs"] += sum(tally.get(k, 0) for k in ("valid", "refused", "failed"))
        result["readers"][kind] = {**tally, "seconds": round(time.monotonic() - began, 1)}
        print(kind, result["readers"][kind], *lines[:5], sep="\n  ", flush=True)
        out.write_text(json.dumps(result, indent=1) + "\n")
    print(f"{result['inputs']:,} inputs, {len(result['failures'])} failures")


if __name__ == "__main__":
    main()
