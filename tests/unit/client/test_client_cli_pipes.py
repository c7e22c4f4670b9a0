"""A picture from stdin, and one file to stdout."""

from __future__ import annotations

import io
import json
import os
import pty
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner, Result
from PIL import Image

from diptych import Client
from diptych.cli import main
from diptych.formats import FORMATS, Options, Picture, format_of
from diptych.testing import FakeSegmentService

Run = Callable[..., Result]


@pytest.fixture
def run(service: FakeSegmentService, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    monkeypatch.chdir(tmp_path)

    def invoke(*arguments: str, given: bytes = b"") -> Result:
        environment = {"DIPTYCH_ADDRESS": service.address}
        return CliRunner().invoke(main, arguments, env=environment, input=given)

    return invoke


TWO = ("--model", "one", "--model", "two")
ONE = ("segment", "-", "--model", "one")


def test_a_picture_from_stdin(run: Run, service: FakeSegmentService, small_png: bytes) -> None:
    done = run(*ONE, "--json", given=small_png)
    assert done.exit_code == 0, done.output
    assert json.loads(done.stdout)["source"] == "-"
    assert run("compare", "-", "--json", given=small_png).exit_code == 0
    assert {request.image.encoded for request in service.requests} == {small_png}


def test_a_tiff_from_stdin(run: Run, service: FakeSegmentService) -> None:
    buffer = io.BytesIO()
    Image.new("L", (60, 40), 7).save(buffer, "TIFF")
    done = run(*ONE, "--format", "csv", "--out", "-", given=buffer.getvalue())
    assert done.exit_code == 0, done.output
    assert "stdin.tiff" in done.stdout


@pytest.mark.parametrize("name", FORMATS)
def test_one_file_to_stdout_is_that_of_the_format(
    run: Run, service: FakeSegmentService, small_png: bytes, name: str
) -> None:
    done = run(*ONE, "--format", name, "--out", "-", given=small_png)
    assert done.exit_code == 0, done.output
    with Client(service.address) as client:
        found = Picture.of("stdin.png", client.segment(small_png, model="one"))
    beside = format_of(name).beside
    files = format_of(name).write([found], Options(0, {1: "rectangle"}, [(0, 1)]))
    (data,) = [data for file, data in files if file not in beside]
    assert done.stdout_bytes == data
    if name in ("masks", "indexed"):
        assert np.asarray(Image.open(io.BytesIO(done.stdout_bytes))).any()


def test_a_figure_to_stdout(run: Run, small_png: bytes) -> None:
    for command in (ONE, ("compare", "-")):
        done = run(*command, "--out", "-", given=small_png)
        assert done.exit_code == 0, done.output
        assert Image.open(io.BytesIO(done.stdout_bytes)).format == "PNG"
    assert not list(Path().iterdir())


def test_json_to_stdout_is_one_document(run: Run, small_png: bytes) -> None:
    assert json.loads(run(*ONE, "--json", "--out", "-", given=small_png).stdout)["segments"]


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        ((*ONE, "--out", "-", "--json", "--format", "csv"), 2, "got both"),
        ((*ONE, "--out", "-", "--format", "csv", "--format", "voc"), 2, "expected one --format"),
        (
            *(("compare", "-", *TWO, "--out", "-", "--format", "csv"), 2),
            "expected one --model",
        ),
        (("segment", "-", "-", "--model", "one"), 2, "expected - once"),
        ((*ONE, "--box", "1,1,9,9", "--box", "2,2,9,9", "--format", "masks", "--out", "-"), 1, "2"),
    ],
)
def test_what_stdin_and_stdout_cannot_have(
    run: Run, small_png: bytes, words: Sequence[str], code: int, said: str
) -> None:
    done = run(*words, given=small_png)
    assert (done.exit_code, done.stdout) == (code, "")
    assert said in done.stderr


def test_nothing_on_stdin(run: Run) -> None:
    assert "got nothing" in run(*ONE).stderr


def test_many_figures_are_not_for_stdout(run: Run, small_png: bytes) -> None:
    Path("album").mkdir()
    for name in ("a.png", "b.png"):
        Path("album", name).write_bytes(small_png)
    done = run("segment", "album", "--model", "one", "--out", "-")
    assert done.exit_code == 2
    assert "got stdout" in done.stderr
    table = run("segment", "album", "--model", "one", "--format", "csv", "--out", "-")
    assert table.stdout.splitlines()[0].count(",") > 3
    assert len(table.stdout.splitlines()) == 3


def test_bytes_are_not_shown_on_a_terminal(
    service: FakeSegmentService, small_png: bytes, tmp_path: Path
) -> None:
    (tmp_path / "a.png").write_bytes(small_png)
    controller, terminal = pty.openpty()
    words = ["segment", "a.png", "--model", "one", "--out", "-", "--address", service.address]
    done = subprocess.run(
        [sys.executable, "-m", "diptych.cli", *words],
        cwd=tmp_path,
        stdout=terminal,
        stderr=subprocess.PIPE,
        stdin=terminal,
        timeout=60,
        check=False,
    )
    os.close(terminal)
    os.close(controller)
    assert done.returncode == 2
    assert b"nothing for a terminal" in done.stderr
    assert not service.requests
