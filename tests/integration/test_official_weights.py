"""``make demo`` and ``make up`` with WEIGHTS=official, against a local server; PICTURE."""

from __future__ import annotations

import hashlib
import importlib
import io
import subprocess
import sys
from collections.abc import Iterator
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch
from honcho.command import _read_env
from PIL import Image
from safetensors.torch import load_file
from service_list import LIST, MODELS
from weights_site import CUT, Site, running_site

from diptych.testing import FakeSegmentService
from diptych_maskrcnn.settings import EngineSettings as MaskRcnnSettings
from diptych_maskrcnn.weights.load import MASK_WEIGHTS
from diptych_runtime.weights import download
from diptych_sam2.settings import EngineSettings as Sam2Settings
from diptych_sam2.weights.checkpoints import WEIGHTS as SAM_2_WEIGHTS

ROOT = LIST.parents[1]
SETTINGS = {
    "DIPTYCH_MASK_RCNN_WEIGHTS": "coco-v2",
    "DIPTYCH_KEYPOINT_WEIGHTS": "off",
    "DIPTYCH_SAM_2_WEIGHTS": "sam2.1-hiera-tiny",
}


def checkpoint() -> tuple[bytes, dict[str, torch.Tensor]]:
    """A file as Meta publishes them, with random weights of a few layers."""
    state = {f"layer.{n}": torch.randn(40_000, generator=torch.manual_seed(n)) for n in range(2)}
    file = io.BytesIO()
    torch.save({"model": state}, file)
    return file.getvalue(), state


@pytest.fixture
def script(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[ModuleType]:
    """``official_weights.py``, with a cache of its own and no patience."""
    monkeypatch.syspath_prepend(str(ROOT))
    monkeypatch.setenv("DIPTYCH_WEIGHTS_DIR", str(tmp_path / "weights"))
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.delenv("WEIGHTS", raising=False)
    monkeypatch.setattr(download, "RETRY_WAITS_S", ())
    yield importlib.import_module("official_weights")
    for name in ("official_weights", "demo"):
        sys.modules.pop(name, None)


@pytest.fixture
def demo(script: ModuleType, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> ModuleType:
    """``demo.py``, with a folder of its own for what it writes."""
    module = importlib.import_module("demo")
    monkeypatch.setattr(module, "OUT", tmp_path / "demo-out")
    monkeypatch.setattr(module, "check_ports", lambda: None)
    return module


@pytest.fixture
def site(script: ModuleType, monkeypatch: pytest.MonkeyPatch) -> Iterator[Site]:
    """A mirror that has both files, which are the ones that are expected."""
    with running_site() as site:
        monkeypatch.setenv("DIPTYCH_WEIGHTS_MIRROR", f"http://127.0.0.1:{site.port}")
        site.content, _ = checkpoint()
        digest = hashlib.sha256(site.content).hexdigest()
        for service in MODELS.values():
            module = importlib.import_module(f"{service.package}.__main__")
            official = tuple(
                replace(weights, sha256=digest, size_bytes=len(site.content))
                for weights in module.SPEC.official
            )
            monkeypatch.setattr(module, "SPEC", replace(module.SPEC, official=official))
        yield site


def test_the_list_names_weights_and_settings_that_there_are(script: ModuleType) -> None:
    for name, entry in script.models().items():
        official = entry["official"]
        assert set(official["settings"]) <= set(MODELS[name].settings)
        assert official["weights"] in official["settings"].values()
    assert SETTINGS["DIPTYCH_MASK_RCNN_WEIGHTS"] in MASK_WEIGHTS.choices
    assert SETTINGS["DIPTYCH_SAM_2_WEIGHTS"] in SAM_2_WEIGHTS.choices


def test_a_download_that_breaks_goes_on_and_both_files_are_checked_and_converted(
    script: ModuleType, site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    said: list[str] = []
    site.cut_after = CUT
    with pytest.raises(script.OfficialWeightsError, match="broke off after 100000 bytes") as broke:
        script.settings_of("official", said.append)
    assert "the demo weights, without WEIGHTS=official, need no network" in str(broke.value)
    total = f"{2 * len(site.content) / 1e6:.0f} MB to download once"
    assert total in said[0]
    assert [line.split()[0] for line in said[1:]] == ["coco-v2", "sam2.1-hiera-tiny"]

    assert script.settings_of("official", said.append) == SETTINGS
    assert [seen.get("Range") for seen in site.seen] == [None, f"bytes={CUT}-", None]
    _, state = checkpoint()
    for name in ("coco-v2", "sam2.1-hiera-tiny"):
        stored = load_file(tmp_path / "weights" / f"{name}.safetensors")
        assert all(torch.equal(stored[key], value) for key, value in state.items())
    monkeypatch.setenv("DIPTYCH_DEVICE", "cpu")
    for setting, value in SETTINGS.items():
        monkeypatch.setenv(setting, value)
    assert MASK_WEIGHTS.choose(MaskRcnnSettings().mask_rcnn_weights).section == "coco-v2"
    assert MaskRcnnSettings().keypoint_choice == "off"
    assert SAM_2_WEIGHTS.choose(Sam2Settings().sam_2_weights).section == "sam2.1-hiera-tiny"

    said.clear()
    assert script.settings_of("official", said.append) == SETTINGS
    assert (said, len(site.seen)) == ([], 3)


def test_a_file_that_is_not_the_published_one_is_refused(script: ModuleType, site: Site) -> None:
    site.content = site.content[:-1] + b"x"
    with pytest.raises(script.OfficialWeightsError, match=r"SHA-256 of coco-v2 is .* expected"):
        script.settings_of("official", lambda _: None)


def test_without_a_network_one_sentence_says_what_to_do(
    demo: ModuleType, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("DIPTYCH_WEIGHTS_MIRROR", "http://127.0.0.1:9")
    monkeypatch.setenv("WEIGHTS", "official")
    assert demo.main() == 1
    told = capsys.readouterr()
    assert "342 MB to download once" in told.out
    (line,) = told.err.splitlines()
    assert line.startswith("demo: coco-v2 cannot be had: http://127.0.0.1:9/maskrcnn")
    assert "cannot be reached (no connection); check the network" in line
    assert line.endswith("the demo weights, without WEIGHTS=official, need no network")
    assert "DIPTYCH_MASK_RCNN_WEIGHTS" not in demo.environment(demo.settings_of("demo", print))


def test_make_up_gets_settings_that_go_before_those_of_env(
    script: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    written = tmp_path / "demo-out" / "weights.env"
    monkeypatch.setattr(sys, "argv", ["official_weights.py", str(written)])
    monkeypatch.setattr(script, "get_weights", lambda *_: tmp_path)
    monkeypatch.setenv("WEIGHTS", "official")
    assert script.main() == 0
    (tmp_path / ".env").write_text("DIPTYCH_SAM_2_WEIGHTS=demo\nDIPTYCH_THREADS=2\n")
    read = _read_env(str(tmp_path), ".env,demo-out/weights.env")
    assert read == SETTINGS | {"DIPTYCH_THREADS": "2"}
    monkeypatch.setenv("WEIGHTS", "demo")
    assert script.main() == 0
    assert written.read_text() == ""


def make(target: str, **variables: str) -> subprocess.CompletedProcess[str]:
    given = [f"{name}={value}" for name, value in variables.items()]
    venv = Path(sys.executable).parent.parent
    return subprocess.run(
        ["make", "--no-print-directory", target, f"VENV={venv}", *given],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.parametrize(
    ("target", "variables", "message"),
    [
        ("demo", {"PICTURE": "it's my photo.jpg"}, "demo: PICTURE=it's my photo.jpg is not there"),
        ("demo", {"PICTURE": "docs"}, "demo: PICTURE=docs is a folder"),
        ("demo", {"WEIGHTS": "large"}, "demo: WEIGHTS=large: expected demo or official"),
        ("up", {"WEIGHTS": "large"}, "official weights: WEIGHTS=large: expected demo or official"),
    ],
)
def test_make_refuses_before_anything_starts(
    target: str, variables: dict[str, str], message: str
) -> None:
    done = make(target, **variables)
    assert done.returncode != 0
    assert done.stdout == ""
    assert message in done.stderr.splitlines()[0]


@pytest.mark.parametrize(("asked", "own"), [("demo", "my photo.jpg"), ("official", None)])
def test_sample_and_own_picture_are_compared_with_the_weights_that_were_asked_for(
    asked: str, own: str | None, demo: ModuleType, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    started: list[dict[str, str]] = []

    def running(log: Path, settings: dict[str, str]) -> Any:
        started.append(settings)
        return nullcontext()

    settings = SETTINGS if asked == "official" else {}
    monkeypatch.setattr(demo, "settings_of", lambda *_: settings)
    monkeypatch.setattr(demo, "running", running)
    monkeypatch.setattr(demo, "wait_serving", lambda *_: None)
    photo = tmp_path / own if own else None
    if photo:
        Image.new("RGB", (80, 60), "red").save(photo)
    before = photo.read_bytes() if photo else b""
    with FakeSegmentService(models=("one",)) as service:
        address = service.address
        kept = demo.environment
        monkeypatch.setattr(demo, "environment", lambda s: kept(s) | {"DIPTYCH_ADDRESS": address})
        assert demo.show(asked, photo) == 0
        asked_for = [bytes(request.image.encoded) for request in service.requests]
    assert {k: v for k, v in started[0].items() if k in SETTINGS} == settings
    sample = demo.SAMPLE[asked].read_bytes()
    assert asked_for == [sample, before][: 2 if photo else 1]
    written = [path.name for path in demo.OUT.glob("*.png")]
    mine = ["my photo.jpg.side-by-side.png"] if photo else []
    assert sorted(written) == [*mine, "side-by-side.png"]
    assert photo is None or photo.read_bytes() == before


def test_the_demo_writes_over_no_picture_of_its_caller(demo: ModuleType) -> None:
    demo.OUT.mkdir()
    mine = demo.OUT / "side-by-side.png"
    Image.new("RGB", (80, 60)).save(mine)
    with pytest.raises(demo.DemoError, match="is what the demo writes"):
        demo.own_picture({"PICTURE": str(mine)})
    assert demo.own_picture({}) is demo.own_picture({"PICTURE": ""}) is None


def test_a_comparison_that_fails_decides_on_the_exit_status(
    demo: ModuleType, tmp_path: Path
) -> None:
    demo.OUT.mkdir()
    broken = tmp_path / "broken.jpg"
    broken.write_bytes(b"no image")
    with FakeSegmentService(models=("one",)) as service:
        settings = demo.environment({}) | {"DIPTYCH_ADDRESS": service.address}
        assert demo.compare(broken, demo.OUT / "x.png", settings) != 0
    assert not list(demo.OUT.glob("*.png"))
