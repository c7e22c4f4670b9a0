"""What is in the images and what is not."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from containers import BASE, IMAGES, docker, inspect, python_in_image
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from service_list import MODELS

ROOT = Path(__file__).resolve().parents[2]
GATEWAY_BYTES = 200e6
OWN_BYTES = 300e6
pytestmark = pytest.mark.timeout(1900)  # the first one builds

# Says what one image holds; runs as root, so that no folder is closed to it.
LOOK = """
import json, os, shutil
from importlib.metadata import distributions
tools = "gcc cc c++ g++ clang cpp ld as make cmake ninja nvcc git".split()
caches, weights = [], []
for folder, names, files in os.walk("/"):
    if folder in ("/proc", "/sys", "/dev"):
        names.clear()
    if folder.endswith(("/.cache/pip", "/http-v2", "/wheels")):
        caches.append(folder)
    weights += [f for f in files if f.endswith((".safetensors", ".pt", ".ckpt"))]
print(json.dumps({
    "tools": [t for t in tools if shutil.which(t)],
    "caches": caches,
    "weights": sorted(weights),
    "versions": {d.metadata["Name"]: d.version for d in distributions()},
}))
"""


@pytest.fixture(scope="module")
def looks(images: dict[str, str]) -> dict[str, dict[str, Any]]:
    """What each image holds."""
    return {name: json.loads(python_in_image(image, LOOK)) for name, image in images.items()}


@pytest.mark.parametrize("name", IMAGES)
def test_no_compiler_no_cache_and_only_demo_weights(
    name: str, looks: dict[str, dict[str, Any]]
) -> None:
    assert looks[name]["tools"] == []
    assert looks[name]["caches"] == []
    package = MODELS[name].package if name in MODELS else None
    bundled = ROOT / f"services/{name}/src/{package}/weights"
    assert looks[name]["weights"] == sorted(p.name for p in bundled.glob("*.safetensors"))


@pytest.mark.parametrize("name", IMAGES)
def test_versions_are_those_of_the_constraints(name: str, looks: dict[str, dict[str, Any]]) -> None:
    lines = (ROOT / "constraints.txt").read_text().splitlines()
    pins = {
        canonicalize_name(r.name): str(r.specifier).removeprefix("==")
        for r in (Requirement(line) for line in lines if line and not line.startswith("#"))
    }
    ours = {k: v for k, v in looks[name]["versions"].items() if not k.startswith("diptych")}
    assert len(ours) > 10
    assert {k: v for k, v in ours.items() if pins.get(canonicalize_name(k)) != v} == {}


def test_the_gateway_is_small_and_has_no_torch(
    images: dict[str, str], looks: dict[str, dict[str, Any]]
) -> None:
    assert inspect(images["gateway"])["Size"] - inspect(BASE)["Size"] <= GATEWAY_BYTES
    assert not {"torch", "torchvision", "sam2"} & set(looks["gateway"]["versions"])


def test_the_model_images_share_their_torch(images: dict[str, str]) -> None:
    layers = [inspect(images[name])["RootFS"]["Layers"] for name in MODELS]
    shared = [a for a, b in zip(*layers, strict=True) if a == b]
    assert shared == layers[0][: len(shared)]
    for name in MODELS:
        history = docker(
            "history", "--no-trunc", "--human=false", "--format", "{{.Size}}", images[name]
        )
        above = sum(int(size) for size in history.split()[: _steps_above_torch(images[name])])
        assert above < OWN_BYTES, name
        assert inspect(images[name])["Size"] > 2 * OWN_BYTES


def _steps_above_torch(image: str) -> int:
    steps = docker("history", "--no-trunc", "--format", "{{.CreatedBy}}", image).splitlines()
    (torch,) = (i for i, step in enumerate(steps) if "-r /opt/locks/torch.txt" in step)
    return torch


@pytest.mark.parametrize("name", MODELS)
def test_torch_is_the_one_for_gpus(name: str, images: dict[str, str]) -> None:
    said = python_in_image(images[name], "import torch; print(torch.version.cuda)")
    assert said.strip() != "None"


@pytest.mark.parametrize("name", IMAGES)
def test_labels_user_and_health_check(name: str, images: dict[str, str]) -> None:
    config = inspect(images[name])["Config"]
    labels = {k.removeprefix("org.opencontainers.image."): v for k, v in config["Labels"].items()}
    assert labels["title"] == images[name]
    assert labels["description"]
    assert labels["licenses"] == "Apache-2.0"
    assert labels["base.name"] == BASE
    assert config["User"] == "10001:10001"
    version = ("run", "--rm", "--network", "none", "--entrypoint", "diptych", images[name])
    assert docker(*version, "--version").startswith("diptych, version")
