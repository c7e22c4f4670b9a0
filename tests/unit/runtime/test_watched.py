"""Files that are exchanged while they are in use."""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import structlog

from diptych_runtime import logs, watched
from diptych_runtime.settings import SettingsError
from diptych_runtime.watched import WatchedFiles


def parse(contents: watched.Contents) -> str:
    text = b"+".join(contents.values()).decode()
    if "broken" in text:
        raise SettingsError("A=a: expected something whole")
    return text


@pytest.fixture
def files(tmp_path: Path) -> WatchedFiles[str]:
    (tmp_path / "a").write_text("one")
    (tmp_path / "b").write_text("two")
    return WatchedFiles({"A": tmp_path / "a", "B": tmp_path / "b"}, parse)


@pytest.fixture
def logged(
    capfd: pytest.CaptureFixture[str],
) -> Iterator[Callable[[], list[dict[str, object]]]]:
    """The log lines so far."""
    logs.configure("info")

    def read() -> list[dict[str, object]]:
        logs.flush()
        return [json.loads(line) for line in capfd.readouterr().err.splitlines()]

    yield read
    structlog.reset_defaults()


def test_what_is_there_at_first(files: WatchedFiles[str]) -> None:
    assert files.value == "one+two"
    assert not files.check()


def test_a_change_counts_when_it_has_settled(files: WatchedFiles[str], tmp_path: Path) -> None:
    (tmp_path / "a").write_text("three")
    assert not files.check()
    (tmp_path / "b").write_text("four")
    assert not files.check()
    assert files.value == "one+two"
    assert files.check()
    assert files.value == "three+four"
    assert not files.check()


def test_the_same_size_and_time_do_not_hide_a_change(
    files: WatchedFiles[str], tmp_path: Path
) -> None:
    before = (tmp_path / "a").stat()
    (tmp_path / "a").write_text("ONE")
    os.utime(tmp_path / "a", ns=(before.st_atime_ns, before.st_mtime_ns))
    assert (files.check(), files.check()) == (False, True)


@pytest.mark.parametrize("how", ["broken", "missing"])
def test_what_cannot_be_used_changes_nothing_but_the_log(
    files: WatchedFiles[str],
    tmp_path: Path,
    how: str,
    logged: Callable[[], list[dict[str, object]]],
) -> None:
    if how == "broken":
        (tmp_path / "a").write_text("broken")
    else:
        (tmp_path / "a").unlink()
    assert [files.check() for _ in range(4)] == [False] * 4
    assert files.value == "one+two"
    (line,) = logged()
    assert line["level"] == "error"
    assert str(line["cause"]).startswith("A=")
    (tmp_path / "a").write_text("three")
    assert [files.check() for _ in range(2)] == [False, True]
    assert files.value == "three+two"
    (line,) = logged()
    assert line["event"] == "files read again"
    assert line["files"] == {"A": str(tmp_path / "a"), "B": str(tmp_path / "b")}


def test_going_back_to_what_is_in_force_is_told(files: WatchedFiles[str], tmp_path: Path) -> None:
    (tmp_path / "a").write_text("broken")
    assert [files.check() for _ in range(2)] == [False, False]
    (tmp_path / "a").write_text("one")
    assert [files.check() for _ in range(2)] == [False, True]


def test_a_file_that_is_exchanged_while_it_is_judged_is_judged_again(tmp_path: Path) -> None:
    path = tmp_path / "a"
    path.write_text("one")
    meddle = False

    def parse_and_meddle(contents: watched.Contents) -> bytes:
        if meddle:
            path.write_text("three")
        return contents["A"]

    files = WatchedFiles({"A": path}, parse_and_meddle)
    path.write_text("two")
    meddle = True
    assert [files.check() for _ in range(2)] == [False, False]
    meddle = False
    assert [files.check() for _ in range(2)] == [False, True]
    assert files.value == b"three"


@pytest.mark.parametrize("how", ["broken", "missing"])
def test_at_the_start_it_is_an_error(tmp_path: Path, how: str) -> None:
    if how == "broken":
        (tmp_path / "a").write_text("broken")
    with pytest.raises(SettingsError, match=r"^A="):
        WatchedFiles({"A": tmp_path / "a"}, parse)


async def test_following_survives_a_look_that_fails(
    files: WatchedFiles[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(watched, "CHECK_S", 0.001)
    told: asyncio.Queue[str] = asyncio.Queue()
    failed = asyncio.Event()

    def on_change(value: str) -> None:
        if not failed.is_set():
            failed.set()
            raise RuntimeError("not ready")
        told.put_nowait(value)

    following = asyncio.create_task(files.follow(on_change))
    (tmp_path / "a").write_text("three")
    await failed.wait()
    (tmp_path / "a").write_text("four")
    assert await told.get() == "four+two"
    following.cancel()
