"""The page in a browser: structures appear, nothing is asked of any network."""

import json
import shutil
import subprocess

import numpy as np
import pytest

from fokker.report import Chains, gather, write_report
from tests.helpers.tetramer import SYSTEM, frames

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
WEBGL = ("--use-angle=swiftshader", "--enable-unsafe-swiftshader")

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="needs Chromium")


@pytest.fixture(scope="module")
def page(tmp_path_factory):
    run = tmp_path_factory.mktemp("run")
    sets = {"data": frames(400, 0), "iid": frames(200, 1), "sim": frames(200, 2)}
    plots = gather(SYSTEM, sets, chains=Chains(count=4, interval=0.1))
    plots = {name: plots[name] for name in ("structures", "profiles")}
    plots["profiles"] = {
        name: {**profile, "energy": {}} for name, profile in plots["profiles"].items()
    }
    (run / "plots.json").write_text(json.dumps(plots))
    (run / "metrics.json").write_text("{}")
    return write_report(run)


def browse(page, folder, *flags):
    """Document after the scripts ran, and the addresses that the browser asked a network for."""
    log = folder / "net.json"
    command = [
        CHROMIUM, "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
        "--disable-background-networking", "--disable-component-update", "--disable-sync",
        "--disable-features=NetworkTimeServiceQuerying", "--host-resolver-rules=MAP * ~NOTFOUND",
        f"--user-data-dir={folder / 'profile'}", f"--log-net-log={log}",
        "--virtual-time-budget=3000", "--window-size=800,1200", *flags, "--dump-dom", page.as_uri(),
    ]  # fmt: skip
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    events = json.loads(log.read_text())["events"]
    begun = [event["params"] for event in events if "initiator" in event.get("params", {})]
    # The browser's own requests, for updates of itself, have no origin.
    asked = {start["url"] for start in begun if start["initiator"] != "not an origin"}
    return done.stdout, {url for url in asked if not url.startswith(("file:", "data:"))}


def test_structures_appear_and_nothing_is_asked_of_a_network(page, tmp_path):
    document, asked = browse(page, tmp_path, *WEBGL)
    assert '<div class="live">' in document
    assert '<div class="still" hidden="">' in document
    assert document.count("<canvas") >= 2
    assert ">Pause</button>" in document
    told = document.split("<output>")[1].split("</output>")[0]
    assert " ps   φ " in told
    assert "nan" not in told.lower()
    assert not asked


def test_without_webgl_the_drawings_stay(page, tmp_path):
    document, _ = browse(page, tmp_path, "--disable-software-rasterizer")
    assert '<div class="live" hidden="">' in document
    assert '<div class="still">' in document
    assert "<canvas" not in document.split('id="structure"')[1]


def test_the_policy_stops_what_a_script_or_a_picture_would_ask_for(page, tmp_path):
    address = "http://127.0.0.1:9/asked"
    head = page.read_text(encoding="utf-8").split("<main>")[0]
    hostile = f'{head}<img src="{address}-img"><script>fetch("{address}-fetch")</script>'
    held, free = tmp_path / "held", tmp_path / "free"
    for folder in (held, free):
        folder.mkdir()
    (held / "page.html").write_text(hostile, encoding="utf-8")
    policy = "Content-Security-Policy"
    (free / "page.html").write_text(hostile.replace(policy, "ignored"), encoding="utf-8")
    assert not browse(held / "page.html", held)[1]
    assert browse(free / "page.html", free)[1] == {f"{address}-img", f"{address}-fetch"}


def test_positions_of_the_page_are_those_of_the_run(page):
    data = page.read_text(encoding="utf-8").split('id="scene-data">')[1].split("</script>")[0]
    shown = json.loads(data)["movie"]["frames"]
    assert len(shown) == 50
    bond = 1e-3 * np.array(shown).reshape(50, 5, 3)
    length = np.linalg.norm(bond[:, 0] - bond[:, 1], axis=1)
    true = np.linalg.norm(np.diff(frames(200, 2)[::4, :2], axis=1), axis=-1)[:, 0]
    np.testing.assert_allclose(length, true, atol=2e-3)
