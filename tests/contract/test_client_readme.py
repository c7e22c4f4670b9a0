"""The client's README: its Python runs and its commands work, against a fake service."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image

from diptych import VideoWriter
from diptych.cli import main
from diptych.testing import FakeSegmentService

README = (Path(__file__).parents[2] / "client" / "README.md").read_text(encoding="utf-8")
PYTHON = re.findall(r"```python\n(.*?)```", README, re.DOTALL)
COMMANDS = [
    line
    for block in re.findall(r"```sh\n(.*?)```", README, re.DOTALL)
    for line in block.splitlines()
    if line.startswith("diptych ")
]


@pytest.fixture(autouse=True)
def service(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeSegmentService]:
    """A gateway with both models, and a folder with the pictures that the README names."""
    monkeypatch.chdir(tmp_path)
    picture = Image.fromarray(np.zeros((400, 600, 3), np.uint8))
    picture.save("photo.jpg")
    Path("album").mkdir()
    picture.save("album/first.png")
    with VideoWriter("clip.mp4") as writer:
        for _ in range(5):
            writer.write(np.asarray(picture))
    with FakeSegmentService(("mask-rcnn", "sam-2")) as fake:
        monkeypatch.setenv("DIPTYCH_ADDRESS", fake.address)
        yield fake


@pytest.mark.parametrize("block", PYTHON)
def test_python_runs(block: str, capsys: pytest.CaptureFixture[str]) -> None:
    exec(compile(block, "README.md", "exec"), {})
    if "compare" in block:
        assert Path("side.png").exists()
        assert "rectangle 0.90" in capsys.readouterr().out


@pytest.mark.parametrize("line", COMMANDS)
def test_commands_work(line: str) -> None:
    _, *arguments = shlex.split(line)
    done = CliRunner().invoke(main, arguments)
    assert done.exit_code == 0
    assert re.fullmatch(r"(diptych: \d+ ok, 0 failed\n)?", done.stderr)


def test_there_is_something_to_run() -> None:
    assert len(PYTHON) == 3
    assert len(COMMANDS) == 6
