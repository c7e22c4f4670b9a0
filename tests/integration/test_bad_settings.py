"""A service that is set up wrongly ends with one line that says what to change."""

from __future__ import annotations

import importlib
import os
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from stack import MODELS, free_port

import diptych
from diptych import Client, ServingStatus
from diptych_runtime.engine import LoadError

ROOT = Path(__file__).resolve().parents[2]
OTHER_MODEL = ROOT / "services/mask-rcnn/src/diptych_maskrcnn/weights/mask-demo.safetensors"
SAM_2_CONFIG = {"DIPTYCH_SAM_2_CONFIG": "configs/sam2.1/sam2.1_hiera_t.yaml"}
SAID: dict[tuple[str | tuple[str, str], ...], str] = {}
"""By engine and variables: what was said is not asked again."""
pytestmark = pytest.mark.timeout(240)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Weights that are none, and a checkpoint that broke off."""
    tmp_path = tmp_path_factory.mktemp("weights")
    for name in ("none.safetensors", "none.pt"):
        (tmp_path / name).write_bytes(b"x" * 1000)
    torch.save({"model": {"a": torch.zeros(1000)}}, tmp_path / "whole.pt")
    whole = (tmp_path / "whole.pt").read_bytes()
    (tmp_path / "broken.pt").write_bytes(whole[: len(whole) // 2])
    (tmp_path / "broken.safetensors").write_bytes(OTHER_MODEL.read_bytes()[:100_000])
    return tmp_path


def ends(name: str, folder: Path, **variables: str) -> str:
    """What a service says last when it ends by itself; it has to, and must not serve before."""
    port = variables.setdefault("DIPTYCH_PORT", str(free_port()))
    variables.setdefault("DIPTYCH_HTTP_PORT", "")  # what else this machine runs may be there
    module = MODELS[name].package if name in MODELS else "diptych_gateway"
    kept = {k: v for k, v in os.environ.items() if not k.startswith("DIPTYCH_")}
    environment = {**kept, "DIPTYCH_WEIGHTS_DIR": str(folder / "cache"), **variables}
    command = [sys.executable, "-m", module]
    with (folder / "log").open("w+") as log:
        process = subprocess.Popen(command, env=environment, stderr=log, cwd=folder)
        try:
            with Client(f"127.0.0.1:{port}", timeout=2) as client:
                until = time.monotonic() + 120
                while process.poll() is None:
                    assert time.monotonic() < until, "it goes on"
                    assert not serves(client)
                    time.sleep(0.05)
        finally:
            process.kill()
        log.seek(0)
        said = log.read()
    assert process.returncode == 2, said
    assert "Traceback" not in said
    lines = [line for line in said.splitlines() if line.startswith("diptych-")]
    assert lines == said.splitlines()[-1:]
    return lines[0]


def serves(client: Client) -> bool:
    try:
        return client.health() is ServingStatus.SERVING
    except diptych.DiptychError:
        return False


@pytest.mark.parametrize(
    ("weights", "said"),
    [
        ("coco", "expected demo, coco-v1, coco-v2 or a .safetensors, .pth, .pt or .ckpt file"),
        ("coco-v2", "run: diptych-mask-rcnn pull coco-v2"),
        ("missing.safetensors", "there is no such file"),
        ("none.safetensors", "none.safetensors is not a safetensors file"),
        ("broken.safetensors", "broken.safetensors is not a safetensors file"),
        ("broken.pt", "broken.pt could not be converted to safetensors: not a checkpoint of"),
    ],
)
def test_weights_of_mask_rcnn(
    weights: str, said: str, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    message = refusal("mask-rcnn", folder, monkeypatch, DIPTYCH_MASK_RCNN_WEIGHTS=weights)
    assert said in message
    assert weights in message


@pytest.mark.parametrize(
    ("weights", "said"),
    [
        ("sam2.1-hira", "DIPTYCH_SAM_2_WEIGHTS='sam2.1-hira': expected demo, sam2.1-hiera-tiny, "),
        ("sam2.1-hiera-tiny", "run: diptych-sam-2 pull sam2.1-hiera-tiny"),
        ("missing.pt", "DIPTYCH_SAM_2_WEIGHTS='missing.pt': there is no such file"),
        ("none.safetensors", "none.safetensors is not a safetensors file"),
        ("none.pt", "none.pt could not be converted to safetensors: not a checkpoint of"),
        ("broken.pt", "broken.pt could not be converted to safetensors: not a checkpoint of"),
        (str(OTHER_MODEL), "the weights do not fit sam2.1_hiera_t.yaml"),
    ],
    ids=lambda value: Path(value).name[:24],
)
def test_weights_of_sam_2(
    weights: str, said: str, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    variables = {"DIPTYCH_SAM_2_WEIGHTS": weights, **SAM_2_CONFIG}
    assert said in refusal("sam-2", folder, monkeypatch, **variables)


def refusal(name: str, folder: Path, monkeypatch: pytest.MonkeyPatch, **variables: str) -> str:
    """What an engine says when it is not loaded; ``ends`` shows that a service says just this."""
    key = name, *variables.items()
    if key not in SAID:
        SAID[key] = _refusal(name, folder, monkeypatch, **variables)
    return SAID[key]


def _refusal(name: str, folder: Path, monkeypatch: pytest.MonkeyPatch, **variables: str) -> str:
    monkeypatch.chdir(folder)
    monkeypatch.setenv("DIPTYCH_WEIGHTS_DIR", str(folder / "cache"))
    for variable, value in variables.items():
        monkeypatch.setenv(variable, value)
    engine = importlib.import_module(f"{MODELS[name].package}.engine")
    with pytest.raises(LoadError) as caught:
        engine.create().load()
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize(("name", "weights"), [("mask-rcnn", "broken.pt"), ("sam-2", "of-no-name")])
def test_a_service_says_what_its_engine_says(
    name: str, weights: str, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    variable = f"DIPTYCH_{name.upper().replace('-', '_')}_WEIGHTS"
    variables = {variable: weights, **(SAM_2_CONFIG if name == "sam-2" else {})}
    line = ends(name, folder, **variables)
    assert line == f"diptych-{name}: {refusal(name, folder, monkeypatch, **variables)}"


@pytest.mark.parametrize("name", MODELS)
def test_a_gpu_that_is_not_there(name: str, folder: Path) -> None:
    # Of a machine with GPUs this hides them, as a container without one does.
    line = ends(name, folder, DIPTYCH_DEVICE="cuda:0", CUDA_VISIBLE_DEVICES="")
    assert line.startswith(f"diptych-{name}: DIPTYCH_DEVICE")
    assert line.endswith("; use auto or cpu")


@pytest.mark.parametrize("name", [*MODELS, "gateway"])
def test_a_port_in_use(name: str, folder: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = str(taken.getsockname()[1])
        line = ends(name, folder, DIPTYCH_PORT=port, DIPTYCH_MODELS="one=localhost:1")
    assert line == (
        f"diptych-{name}: cannot listen on 127.0.0.1:{port}: "
        "the port is in use or the address is not ours"
    )


@pytest.mark.parametrize(
    ("models", "said"),
    [
        ("", "name at least one model"),
        ("sam-2", "as name=host:port"),
        ("sam-2=localhost:no", "as host:port"),
        ("sam-2=a:1,sam-2=b:1", "only once"),
    ],
)
def test_models_that_are_written_wrongly(models: str, said: str, folder: Path) -> None:
    line = ends("gateway", folder, DIPTYCH_MODELS=models)
    assert line.startswith("diptych-gateway: ")
    assert "DIPTYCH_MODELS" in line
    assert said in line
