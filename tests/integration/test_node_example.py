"""The Node example calls the gateway's services with nothing but the contract."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from importlib.resources import files
from pathlib import Path

import pytest

from diptych.testing import FakeSegmentService

ROOT = Path(__file__).resolve().parents[2]
PICTURE = str(files("diptych") / "samples" / "scene.png")

pytestmark = pytest.mark.skipif(
    not (shutil.which("node") and shutil.which("npm")), reason="needs node and npm"
)


@pytest.fixture(scope="module")
def example(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The example with its packages, beside a copy of the contract."""
    root = tmp_path_factory.mktemp("node")
    folder = root / "examples" / "node"
    ignore = shutil.ignore_patterns("node_modules")
    shutil.copytree(ROOT / "examples" / "node", folder, ignore=ignore)
    (root / "proto").mkdir()
    shutil.copy(ROOT / "proto" / "descriptor_set.binpb", root / "proto")
    command = ["npm", "ci", "--no-audit", "--no-fund", "--prefer-offline", "--loglevel=error"]
    subprocess.run(command, cwd=folder, check=True, timeout=110)
    return folder


@pytest.fixture
def service() -> Iterator[FakeSegmentService]:
    with FakeSegmentService(models=("mask-rcnn", "sam-2")) as service:
        yield service


def node(
    example: Path, service: FakeSegmentService, *arguments: str
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["node", "segment.mjs", *arguments],
        cwd=example,
        env={**os.environ, "DIPTYCH_ADDRESS": service.address},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


def test_compares_all_models(example: Path, service: FakeSegmentService) -> None:
    done = node(example, service, PICTURE)
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert [line.partition(":")[0] for line in lines if "segments in" in line] == [
        "mask-rcnn",
        "sam-2",
    ]
    assert lines[-1] == "mask-rcnn and sam-2 agree on 1 segments"


def test_asks_one_model_for_the_object_at_a_point(
    example: Path, service: FakeSegmentService
) -> None:
    done = node(example, service, PICTURE, "sam-2", "40,50")
    assert done.returncode == 0, done.stderr
    assert "sam-2: 1 segments" in done.stdout
    (request,) = service.requests
    assert request.model_id == "sam-2"
    (point,) = request.prompts[0].points
    assert (point.x_px, point.y_px) == (40, 50)
    assert request.image.encoded == Path(PICTURE).read_bytes()


def test_says_what_the_server_refused(example: Path, service: FakeSegmentService) -> None:
    service.fail("QUEUE_FULL", "the queue is full", model="sam-2")
    one = node(example, service, PICTURE, "sam-2")
    assert one.returncode == 1
    assert "RESOURCE_EXHAUSTED: the queue is full" in one.stderr
    both = node(example, service, PICTURE)
    assert both.returncode == 0
    assert "sam-2: failed, the queue is full" in both.stdout
