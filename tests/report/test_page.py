"""The page: complete, self-contained, the same for the same results, and plain about errors."""

import json
import re
from base64 import b64encode
from hashlib import sha256
from html import unescape
from html.parser import HTMLParser
from importlib import resources

import numpy as np
import pytest
from matplotlib.colors import to_hex, to_rgb
from matplotlib.image import imread

from fokker.errors import FokkerError
from fokker.metrics import evaluate
from fokker.report import Chains, content, gather, palette, style, write_report
from fokker.report.records import Metrics, Run, TrainingStep
from tests.helpers.tetramer import SYSTEM, frames

SECTIONS = (
    "metrics",
    "free-energy",
    "structures",
    "structure",
    "dynamics",
    "settings",
    "reproduce",
    "chirality",
)
FIGURES = {
    "surfaces",
    "profiles",
    "states",
    "bonds",
    "angles",
    "training",
    "residual",
    "relaxation",
}
VOID = {"meta", "br", "img", "link", "hr", "input"}

RUN = {
    "fokker": "0.1.0",
    "system": "Tetramer",
    "method": "both",
    "command": "fokker train --preset a && fokker evaluate <run>",
    "training": {"seconds": 1652.3, "steps": 40000},
    "sampling": {"n": 300, "seconds": 12.3, "evaluations": 50, "sampler": "heun", "not_finite": 0},
    "simulation": {
        "chains": 100,
        "steps": 1000000,
        "stride": 500,
        "start": "100 frames of the training data",
        "t": 1e-5,
        "conservative": True,
        "integrator": {"name": "langevin", "dt": 0.002, "friction": 1.0},
        "seconds": 412.0,
        "steps_per_second": 242718.0,
        "temperature": {"mean": 300.08, "standard_error": 0.09, "target": 300.0},
        "diverged": 2,
        "diverged_at": [120500, 733000],
    },
    "of a later version": 1,
}

CONFIG = """# </pre><script>alert("config")</script> & more
seed = 0
"""


@pytest.fixture(scope="module")
def results() -> dict[str, str]:
    """Contents of a run folder, by file name."""
    sim = frames(400, 2)
    sim[:4] = np.nan
    sets = {"data": frames(600, 0), "iid": frames(300, 1), "sim": sim, "reference": frames(300, 3)}
    residual = {"t": [1e-5, 1e-3, 1e-1], "rms": [3.0, 2.0, 1.0], "median": [2.0, None, 1.0]}
    relaxation = {
        "time": [0.0, 1.0, 2.0],
        "unit": "ps",
        "start": "a frame with phi > 0",
        "curves": {"phi > 0 fraction": [1.0, 0.4, 0.1]},
        "targets": {"phi > 0 fraction": 0.003},
        "js": [0.5, 0.1, 0.02],
        "js_floor": 0.0145,
        "chains": 100,
        "failed_fraction": 0.0,
    }
    plots = gather(
        SYSTEM, sets, residual=residual, relaxation=relaxation, chains=Chains(count=4, interval=0.1)
    )
    metrics = evaluate(SYSTEM, sets["data"], sets["iid"], sets["sim"], sets["reference"])
    log = [
        {
            "stage": 0,
            "name": f"expert {step % 2}",
            "step": 250 * (step + 1),
            "loss": 2.0 / (step + 1),
            "terms": {"dsm": 9.0 / (step + 1), "diffclf": 1.4 - 0.01 * step},
            "learning_rate": 1e-3,
            "gradient_norm": 1.0,
            "validation": {"dsm": 8.0 / (step + 1)} if step % 5 == 0 else None,
            "seconds": 3.0 * step,
        }
        for step in range(20)
    ]
    ended = "30% of the chains <b>broke</b>"
    log.append(log[-1] | {"name": "refinement", "step": 8, "ended": ended})
    return {
        "metrics.json": json.dumps(metrics, allow_nan=False),
        "plots.json": json.dumps(plots, allow_nan=False),
        "run.json": json.dumps(RUN),
        "training.jsonl": "".join(json.dumps(line) + "\n" for line in log),
        "config.toml": CONFIG,
    }


def fill(folder, results):
    folder.mkdir()
    for name, text in results.items():
        (folder / name).write_text(text, encoding="utf-8")
    return folder


@pytest.fixture(scope="module")
def written(tmp_path_factory, results):
    """A run folder with its report, and figures that were there before."""
    folder = fill(tmp_path_factory.mktemp("written") / "run", results)
    (folder / "figures").mkdir()
    (folder / "figures" / "relaxation.png").write_bytes(b"of an earlier report")
    (folder / "figures" / "mine.svg").write_bytes(b"not ours")
    write_report(folder)
    return folder


@pytest.fixture(scope="module")
def page(written) -> str:
    return (written / "report.html").read_text(encoding="utf-8")


@pytest.fixture
def light(tmp_path, results):
    """A run folder without figures, which take the time."""
    without = results | {"plots.json": "{}", "training.jsonl": ""}
    return fill(tmp_path / "run", without)


class Reader(HTMLParser):
    """Collects identifiers, references and text, and checks that tags close in order."""

    def __init__(self, page: str):
        super().__init__()
        self.open: list[str] = []
        self.identifiers: list[str] = []
        self.references: list[str] = []
        self.tags: set[str] = set()
        self.text = ""
        self.feed(page)
        self.close()
        assert self.open == []
        self.text = " ".join(self.text.split())

    def handle_starttag(self, tag, attrs):
        self._attributes(tag, attrs)
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self._attributes(tag, attrs)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if self.open and self.open[-1] not in ("style", "script"):
            self.text += data

    def _attributes(self, tag, attrs):
        self.tags.add(tag)
        for name, value in attrs:
            if name == "id":
                self.identifiers.append(value)
            if name in ("src", "href", "xlink:href", "srcset", "data", "action", "poster"):
                self.references.append(value)


def of_fokker(page):
    """The page without the vendored library and its licence, which name addresses in comments."""
    vendor = resources.files("fokker.report").joinpath("vendor")
    for file in ("3Dmol-min.js", "3Dmol-LICENSE.txt"):
        text = vendor.joinpath(file).read_text(encoding="utf-8")
        assert page.count(text) == 1
        page = page.replace(text, "")
    return page


def test_page_has_every_section_and_every_figure(page):
    reader = Reader(page)
    assert set(SECTIONS) | FIGURES <= set(reader.identifiers)
    assert "missing" not in re.sub(r"\.missing", "", of_fokker(page).split("</style>")[1])


def test_identifiers_are_unique_and_references_have_a_target(page):
    reader = Reader(page)
    assert len(set(reader.identifiers)) == len(reader.identifiers)
    used = re.findall(r"url\(#([^)]+)\)", page) + [
        reference[1:] for reference in reader.references if reference.startswith("#")
    ]
    assert used
    assert set(used) <= set(reader.identifiers)


def test_page_asks_for_nothing_outside_itself(page):
    reader = Reader(page)
    (policy,) = re.findall('<meta http-equiv="Content-Security-Policy" content="(.*?)">', page)
    scripts = re.findall("<script>(.*?)</script>", page, flags=re.DOTALL)
    hashes = [b64encode(sha256(script.encode()).digest()).decode() for script in scripts]
    assert len(scripts) == 2
    assert unescape(policy) == (
        "default-src 'none'; style-src 'unsafe-inline'; img-src data:; "
        f"script-src 'sha256-{hashes[0]}' 'sha256-{hashes[1]}'"
    )
    assert "http" not in of_fokker(page).replace("http-equiv", "")
    assert "@import" not in page
    assert not reader.tags & {"link", "iframe", "object", "embed", "base", "form"}
    assert all(r.startswith(("#", "data:image/png;base64,")) for r in reader.references)
    assert all(u.startswith("#") for u in re.findall(r"url\(([^)]*)\)", of_fokker(page)))


def test_page_is_small(page):
    assert len(page.encode("utf-8")) < 3_000_000


def test_page_serves_light_and_dark(page):
    assert "prefers-color-scheme: dark" in page
    drawings = re.findall(r"<svg role.*?</svg>", page, flags=re.DOTALL)
    assert len(drawings) == len(FIGURES)
    for drawing in drawings:
        assert "currentColor" in drawing
        assert style.TEXT not in drawing
        assert "<style" not in drawing


def test_what_users_wrote_is_text_and_not_markup(page):
    assert page.count("<script") == 3
    assert "<script>alert" not in page
    assert "&lt;script&gt;alert(&#34;config&#34;)&lt;/script&gt; &amp; more" in page
    text = Reader(page).text
    assert '</pre><script>alert("config")</script> & more' in text
    assert "fokker evaluate <run>" in text


def test_page_tells_what_failed(page):
    text = Reader(page).text
    assert "4 of 400 simulation frames failed" in text
    assert "0 of 300 iid frames failed" in text
    assert "2 of 100 chains diverged" in text
    assert "2 of 100, at step 120,500, 733,000" in text
    assert "because they failed: 4 frames (simulation)" in text
    assert "100 chains, all started from a frame with phi > 0." in text
    assert "0 % of their frames failed." in text
    assert "0 % / 1.00 %" in text  # failed frames, iid / sim
    assert "Refinement ended at step 8: 30% of the chains <b>broke</b>." in text


def test_page_has_the_key_numbers(page, results):
    text = Reader(page).text
    metrics = json.loads(results["metrics.json"])
    for name in ("iid", "sim"):
        for key in ("js_data", "js_data_floor", "js", "js_floor", "pmf", "pmf_floor"):
            assert f"{metrics[name][key]:.3g}" in text
    for words in ("langevin, dt 0.002, friction 1.0", "score at t = 1 × 10⁻⁵, conservative"):
        assert words in text
    for words in ("27 min 32 s", "300.08 ± 0.09 K", "242,718", "100 frames of the training data"):
        assert words in text
    assert "A$_1-CA" in text  # the chiral centre, and a label that is not mathematics


def test_temperature_of_a_model_potential_has_no_kelvin():
    temperature = {"mean": 1.002, "standard_error": 0.004, "target": 1.0, "unit": "energy"}
    tile = content.temperature_tile(
        Run.model_validate({"simulation": {"temperature": temperature}})
    )
    assert tile[:3] == ("kT of the velocities", "1.002 ± 0.004", "target 1.000")


def test_training_time_falls_back_on_the_log():
    log = [TrainingStep(step=i, seconds=30.0) for i in range(4)]
    tiles = content.tiles(Metrics(), Run(), log)
    assert [tile.value for tile in tiles if tile.title == "training time"] == ["2 min 0 s"]


def test_figures_are_written_beside_the_page(written):
    found = {file.name for file in (written / "figures").iterdir()}
    endings = (".svg", ".png", "-dark.svg", "-dark.png")
    assert found == {f"{name}{ending}" for name in FIGURES for ending in endings} | {"mine.svg"}
    for name in FIGURES:
        light, dark = (
            (written / "figures" / f"{name}{ending}.svg").read_text(encoding="utf-8")
            for ending in ("", "-dark")
        )
        assert light.startswith("<svg")
        assert "currentColor" not in light
        assert palette.TEXT in light
        assert not set(palette.DARK) & set(re.findall("#[0-9a-f]{6}", dark))


def test_png_figures_stand_on_the_ground_of_a_slide(written):
    for ending, ground, text in (
        ("", "#ffffff", palette.TEXT),
        ("-dark", palette.DARK_GROUND, palette.DARK[palette.TEXT]),
    ):
        pixels = imread(written / "figures" / f"surfaces{ending}.png")[..., :3]
        assert to_hex(pixels[0, 0]) == ground
        assert np.any(np.abs(pixels - to_rgb(text)).max(axis=-1) < 1e-3)
        empty = pixels[pixels.shape[0] // 4, pixels.shape[1] // 4]  # no bin was visited there
        assert to_hex(empty) == ground


def test_large_figures_become_png(light, results, monkeypatch):
    plots = json.loads(results["plots.json"])
    (light / "plots.json").write_text(json.dumps({"residual": plots["residual"]}))
    monkeypatch.setattr(style, "SVG_LIMIT", 1000)
    page = write_report(light).read_text(encoding="utf-8")
    assert "<svg role" not in page
    assert (light / "figures" / "residual.png").read_bytes().startswith(b"\x89PNG")
    assert '<img class="sheet" alt="Fokker-Planck residual" src="data:image/png;base64,' in page
    Reader(page)


def test_same_results_give_the_same_bytes(written, tmp_path, results):
    again = write_report(fill(tmp_path / "run", results)).parent
    assert (again / "report.html").read_bytes() == (written / "report.html").read_bytes()
    for file in (again / "figures").iterdir():
        assert file.read_bytes() == (written / "figures" / file.name).read_bytes()


@pytest.mark.parametrize(
    ("file", "words"),
    [
        ("plots.json", "There is no free-energy figure: run “fokker evaluate”"),
        ("run.json", "nothing recorded about the simulation"),
        ("training.jsonl", "There is no training log"),
        ("config.toml", "There is no config.toml"),
    ],
)
def test_a_missing_file_is_said_in_words(light, file, words):
    (light / file).unlink()
    assert words in Reader(write_report(light).read_text(encoding="utf-8")).text


def test_a_run_without_simulation_or_anything_else(tmp_path, results):
    metrics = json.loads(results["metrics.json"])
    only_iid = {"metrics.json": json.dumps({"iid": metrics["iid"]})}
    text = Reader(write_report(fill(tmp_path / "iid", only_iid)).read_text(encoding="utf-8")).text
    assert "no simulation yet" in text
    assert "0 of 300 iid frames failed" in text
    nothing = fill(tmp_path / "nothing", {"metrics.json": "{}"})
    text = Reader(write_report(nothing).read_text(encoding="utf-8")).text
    assert "Not judged" in text
    assert "There are no reference frames" in text


def test_a_molecule_never_trained_on_is_not_called_training(tmp_path, results):
    metrics = json.loads(results["metrics.json"])
    del metrics["reference"]
    own = {**results, "metrics.json": json.dumps({**metrics, "against": "unseen"})}
    text = write_report(fill(tmp_path / "unseen", own)).read_text(encoding="utf-8")
    assert "against the molecule's own frames, never trained on" in unescape(text)
    assert "the training frames" not in text
    assert "nothing was compared" not in text
    trained = {**results, "metrics.json": json.dumps({**metrics, "against": "training"})}
    text = write_report(fill(tmp_path / "trained", trained)).read_text(encoding="utf-8")
    assert "against the training frames" in text
    assert "nothing was compared" in text


def test_without_metrics_the_command_to_run_is_named(tmp_path):
    with pytest.raises(FokkerError, match=f"run `fokker evaluate {re.escape(str(tmp_path))}`"):
        write_report(tmp_path)


@pytest.mark.parametrize(
    ("file", "content", "words"),
    [
        ("metrics.json", b'{"iid": ', "metrics.json: not valid JSON"),
        ("metrics.json", b"[1, 2]", "metrics.json: entry the whole"),
        ("metrics.json", b'{"iid": {"js": "low"}}', r"metrics.json: entry iid.js is 'low'"),
        ("metrics.json", b"\xff\xfe{", "metrics.json: not text in UTF-8"),
        ("plots.json", b'{"profiles": 3}', "plots.json: entry profiles is 3"),
        (
            "plots.json",
            b'{"profiles": {"x": {"edges": [0, 1, 2], "energy": {"iid": [1]}}}}',
            "2 bins of a profile wanted, 1 found",
        ),
        (
            "plots.json",
            b'{"bonds": {"x": {"edges": [0, 1], "density": {"other": [1]}}}}',
            "plots.json: entry bonds.x.density",
        ),
        ("run.json", b'{"simulation": []}', "run.json: entry simulation"),
        ("training.jsonl", b'{"step": 1}\n{"step": ', "training.jsonl, line 2: not valid JSON"),
        ("training.jsonl", b'\n{"terms": {}}\n', "training.jsonl, line 2: entry step"),
        ("config.toml", b"seed = = 1", "config.toml: not valid TOML"),
    ],
)
def test_a_corrupt_file_is_named(light, file, content, words):
    (light / file).write_bytes(content)
    with pytest.raises(FokkerError, match=words):
        write_report(light)
    assert not (light / "report.html").exists()


def test_a_page_that_cannot_be_written_leaves_no_trace(tmp_path):
    (tmp_path / "metrics.json").write_text("{}")
    (tmp_path / "report.html").mkdir()
    with pytest.raises(FokkerError, match=r"report.html: could not be written"):
        write_report(tmp_path)
    assert sorted(file.name for file in tmp_path.iterdir()) == [
        "figures",
        "metrics.json",
        "report.html",
    ]


@pytest.mark.parametrize(
    ("ratios", "failed", "diverged", "level", "head"),
    [
        ((1.0, 1.15), 0.0, 0, "good", "At the floor"),
        ((1.0, 1.16), 0.0, 0, "fair", "Near the floor"),
        ((1.0, 2.1), 0.0, 0, "poor", "Above the floor"),
        ((1.0, 1.0), 5e-4, 0, "fair", "At the floor, with failures"),
        ((1.0, 1.0), 0.02, 0, "poor", "At the floor, with failures"),
        ((1.0, 1.0), 0.0, 1, "poor", "At the floor, with failures"),
    ],
)
def test_verdict(ratios, failed, diverged, level, head):
    iid, sim = ratios
    metrics = Metrics.model_validate(
        {
            "iid": {"n": 10_000, "js": 0.01, "js_ratio": iid, "failed_fraction": 0.0},
            "sim": {"n": 10_000, "js": 0.01, "js_ratio": sim, "failed_fraction": failed},
        }
    )
    run = Run.model_validate({"simulation": {"chains": 100, "diverged": diverged}})
    found = content.verdict(metrics, run)
    assert (found.level, found.head) == (level, head)
    assert f"{round(1e4 * failed)} of 10,000 simulation frames failed" in found.facts
    assert f"{diverged} of 100 chains diverged" in found.facts


def test_infinite_distances_are_not_shown_as_missing():
    metrics = Metrics.model_validate(
        {"sim": {"bonds": {"a b": {"w1": None, "floor": 1e-4, "mean": 0.1, "std": 0.01}}}}
    )
    (table,) = content.tables(metrics, None)
    assert table.rows[0].cells[0]["w1"] == "∞"
    assert table.worst == ["simulation: infinite, because frames failed"]


@pytest.mark.parametrize(
    ("noise", "note"),
    [(6e-4, "1.20 × floor, 0.12 of it few chains"), (5e-5, "1.20 × floor"), (None, "1.20 × floor")],
)
def test_what_few_chains_add_is_said_where_it_can_be_seen(noise, note):
    sim = {"js": 0.006, "js_floor": 0.005, "js_ratio": 1.2, "js_noise": noise}
    metrics = Metrics.model_validate({"sim": sim})
    assert content.tiles(metrics, Run(), [])[1].note == note
