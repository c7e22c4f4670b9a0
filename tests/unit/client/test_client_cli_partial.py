"""Some of many failed: one exit code in every command; and ``--quiet`` says no more than that."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from diptych.cli import main
from diptych.testing import FakeSegmentService

Run = Callable[..., Result]
COMMANDS = {
    "segment": ("segment", "album", "--model", "one"),
    "warm": ("warm", "album", "--model", "one"),
    "batch": ("batch", "album", "--model", "one", "--out", "found"),
    "compare": ("compare", "album/a.png"),
    "video": ("video", "clip", "--compare", "--box", "0:1,1,20,20"),
}


@pytest.fixture
def run(
    service: FakeSegmentService, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, small_png: bytes
) -> Run:
    monkeypatch.chdir(tmp_path)
    for folder in ("album", "clip"):
        Path(folder).mkdir()
        for name in ("a.png", "b.png"):
            Path(folder, name).write_bytes(small_png)

    def invoke(*arguments: str) -> Result:
        return CliRunner().invoke(main, arguments, env={"DIPTYCH_ADDRESS": service.address})

    return invoke


@pytest.mark.parametrize("command", ["segment", "warm", "batch", "compare", "video"])
def test_some_of_many_failed(run: Run, service: FakeSegmentService, command: str) -> None:
    if command in ("compare", "video"):
        service.fail("MODEL_FAILED", model="two")
    else:
        Path("album/c.png").write_bytes(b"no picture")
    done = run(*COMMANDS[command])
    assert done.exit_code == 1, done.output
    assert "diptych: " in done.stderr


def test_batch_may_be_told_that_some_may_fail(run: Run) -> None:
    Path("album/c.png").write_bytes(b"no picture")
    assert run(*COMMANDS["batch"], "--allow-failed").exit_code == 0


@pytest.mark.parametrize("command", ["segment", "warm", "batch", "compare", "video"])
def test_quiet_prints_nothing_but_errors(
    run: Run, service: FakeSegmentService, command: str
) -> None:
    Path("album/notes.txt").write_text("left out")
    done = run(*COMMANDS[command], "--quiet")
    assert (done.exit_code, done.output) == (0, "")
    service.fail("MODEL_FAILED")
    failed = run(*COMMANDS[command], "-q")
    if command != "batch":  # which has all its rows, and asks nothing
        assert failed.exit_code == 1
        assert failed.stdout == ""
        assert all("MODEL_FAILED" in line for line in failed.stderr.splitlines())


def test_quiet_keeps_json(run: Run) -> None:
    done = run(*COMMANDS["segment"], "--json", "--quiet")
    assert len(done.stdout.splitlines()) == 2
    assert not done.stderr
    assert run("health", "--quiet").output == ""
