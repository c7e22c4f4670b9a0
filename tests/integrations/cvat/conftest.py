"""A gateway with real models, a stand-in for CVAT's server, and CVAT's own client of it."""

from __future__ import annotations

import io
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import PIL.Image
import pytest

import diptych
from diptych import Client

if TYPE_CHECKING:
    import cvat_sdk
    from cvat_stand_in import CvatStandIn
    from stack import Stack

try:
    distribution("cvat-sdk")
except PackageNotFoundError:
    collect_ignore_glob = ["test_*.py"]

SAMPLE = Path(diptych.__file__).parent / "samples/scene.png"


def png(pixels: np.ndarray) -> bytes:
    """A frame as a file."""
    file = io.BytesIO()
    PIL.Image.fromarray(pixels).save(file, "PNG")
    return file.getvalue()


@pytest.fixture(scope="session")
def frames() -> list[np.ndarray]:
    """Three frames: a drawn scene, and that scene a little to the right, twice."""
    pixels = np.asarray(PIL.Image.open(SAMPLE).convert("RGB"))
    return [np.roll(pixels, 3 * i, axis=1) for i in range(3)]


@pytest.fixture(scope="module")
def stack(model_services: Stack, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """Both models and the cascade behind a gateway."""
    from stack import running_stack

    folder = tmp_path_factory.mktemp("stack")
    with running_stack(model_services, folder, "mask-rcnn>sam-2") as running:
        yield running


@pytest.fixture
def address(stack: Stack) -> str:
    return stack.address("gateway")


@pytest.fixture
def client(address: str) -> Iterator[Client]:
    """Diptych's own client, whose masks are what CVAT has to be given."""
    with Client(address, timeout=60) as client:
        yield client


@pytest.fixture
def cvat(frames: list[np.ndarray]) -> Iterator[CvatStandIn]:
    """A task of three frames, whose labels are those of the demo weights."""
    from cvat_stand_in import CvatStandIn, Label, running

    names = ("ball", "box", "triangle", "star", "ring", "ellipse", "cross", "person")
    files = [png(frame) for frame in frames]
    sizes = [frame.shape[:2] for frame in frames]
    with running(CvatStandIn(files, sizes, [Label(name) for name in names])) as served:
        yield served


@pytest.fixture
def cvat_client(cvat: CvatStandIn, tmp_path: Path) -> Iterator[cvat_sdk.Client]:
    """CVAT's own SDK."""
    import cvat_sdk
    from cvat_sdk.core.client import AccessTokenCredentials, Config
    from cvat_stand_in import TOKEN

    config = Config(cache_dir=tmp_path / "cvat-cache")
    with cvat_sdk.Client(cvat.url, config=config) as client:
        client.login(AccessTokenCredentials(TOKEN))
        yield client


@pytest.fixture
def cvat_cli(cvat: CvatStandIn, tmp_path: Path) -> Callable[..., subprocess.CompletedProcess[str]]:
    """CVAT's own command line, as a process."""
    from cvat_stand_in import TOKEN

    def run(*words: object) -> subprocess.CompletedProcess[str]:
        home = {"HOME": str(tmp_path), "XDG_CACHE_HOME": str(tmp_path / "cache")}
        return subprocess.run(
            [sys.executable, "-m", "cvat_cli", "--server-host", cvat.url, *map(str, words)],
            env={**os.environ, **home, "CVAT_ACCESS_TOKEN": TOKEN},
            capture_output=True,
            text=True,
            timeout=100,
            check=False,
        )

    return run
