"""Log lines: JSON off a terminal, never a reason to fail."""

from __future__ import annotations

import io
import json
import logging
import os
import subprocess
import sys
import threading
import warnings
from collections.abc import Iterator

import pytest
import structlog

from diptych_runtime import logs
from diptych_runtime.log_writer import LogWriter


@pytest.fixture(autouse=True)
def as_before() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level = list(root.handlers), root.level
    yield
    structlog.reset_defaults()
    logging.captureWarnings(False)
    root.handlers, root.level = handlers, level


def test_lines_are_json_with_the_fields_of_the_process(capfd: pytest.CaptureFixture[str]) -> None:
    logs.configure("info", service="fake")
    structlog.get_logger().debug("hidden")
    thread = threading.Thread(target=lambda: structlog.get_logger().info("shown", number=3))
    thread.start()
    thread.join()
    logs.flush()
    lines = [json.loads(line) for line in capfd.readouterr().err.splitlines()]
    assert len(lines) == 1
    assert lines[0].items() >= {"event": "shown", "number": 3, "service": "fake"}.items()


@pytest.mark.parametrize(
    ("log_format", "on_terminal", "is_json"),
    [("auto", True, False), ("auto", False, True), ("json", True, True), ("text", False, False)],
)
def test_the_format_is_what_is_said_wherever_lines_go(
    log_format: logs.Format,
    on_terminal: bool,
    is_json: bool,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr("sys.stderr.isatty", lambda: on_terminal)
    logs.configure("info", log_format=log_format, service="fake")
    structlog.get_logger().info("shown", number=3)
    logs.flush()
    (line,) = capfd.readouterr().err.splitlines()
    assert line.startswith("{") is is_json
    assert "shown" in line
    # Colours are for terminals: a runner's file would be full of their codes.
    assert ("\x1b[" in line) is (on_terminal and not is_json)


def test_locals_of_a_traceback_are_not_logged(capfd: pytest.CaptureFixture[str]) -> None:
    logs.configure("info")
    try:
        pixels = "pixels of " + "a user"
        raise RuntimeError(f"{len(pixels)} went wrong")
    except RuntimeError as error:
        structlog.get_logger().error("failed", exc_info=error)
    logs.flush()
    text = capfd.readouterr().err
    assert "16 went wrong" in text
    assert "pixels of a user" not in text


@pytest.mark.parametrize("broken", ["closed", "gone"])
def test_a_line_that_cannot_be_written_is_lost(
    monkeypatch: pytest.MonkeyPatch, broken: str
) -> None:
    class Gone(io.StringIO):
        def write(self, text: str) -> int:
            raise BrokenPipeError

    stream = Gone() if broken == "gone" else io.StringIO()
    monkeypatch.setattr(sys, "stderr", stream)
    logs.configure("info")
    if broken == "closed":
        stream.close()
    for level in ("info", "warning", "error", "critical"):
        getattr(structlog.get_logger(), level)("shown")
    logs.flush()


def test_unknown_levels_are_refused() -> None:
    with pytest.raises(ValueError, match="'loud'"):
        logs.configure("loud")


def test_a_log_that_nobody_reads_stops_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    reader, unread = os.pipe()
    with os.fdopen(unread, "w") as stream:
        monkeypatch.setattr(sys, "stderr", stream)
        writer = LogWriter(most_bytes=100_000)
        monkeypatch.setattr(logs, "_WRITER", writer)
        logs.configure("info")
        lines = 3000  # of 100 bytes and more: the pipe holds 64 KiB, the writer another 100
        for number in range(lines):
            structlog.get_logger().info("shown", number=number, filling="x" * 100)
        shown, dropped, rest = [], 0, b""
        while len(shown) + dropped < lines:
            *complete, rest = (rest + os.read(reader, 65536)).split(b"\n")
            for line in map(json.loads, complete):
                if line["event"] == "shown":
                    shown.append(line["number"])
                else:
                    dropped += line["count"]
        writer.flush(1)
        monkeypatch.undo()
    os.close(reader)
    assert dropped
    assert shown == sorted(set(shown))


def test_lines_of_libraries_are_lines_of_ours(capfd: pytest.CaptureFixture[str]) -> None:
    logs.configure("info", service="fake")
    logging.getLogger("uvicorn.error").warning("Invalid %s request", "HTTP")
    logging.getLogger("uvicorn.error").info("Started")
    warnings.warn("a chunk is odd", UserWarning, stacklevel=1)
    try:
        raise RuntimeError("something went wrong")
    except RuntimeError:
        logging.getLogger("asyncio").exception("of a task")
    logs.flush()
    lines = [json.loads(line) for line in capfd.readouterr().err.splitlines()]
    assert [line["logger"] for line in lines] == ["uvicorn.error", "py.warnings", "asyncio"]
    assert lines[0]["event"] == "Invalid HTTP request"
    assert lines[0]["level"] == "warning"
    assert lines[0]["service"] == "fake"
    assert "something went wrong" in json.dumps(lines[2]["exception"])


def test_libraries_cannot_fill_the_log(capfd: pytest.CaptureFixture[str]) -> None:
    logs.configure("info")
    records = [logging.LogRecord("asyncio", 40, "", 0, "again", (), None) for _ in range(1000)]
    for record in records:
        record.created = 100.0
    records[-1].created = 101.0
    for record in records:
        logging.getLogger().handle(record)
    logs.flush()
    lines = [json.loads(line) for line in capfd.readouterr().err.splitlines()]
    assert len(lines) < 10
    assert lines[-1]["lines_left_out"] + len(lines) == len(records)


def test_the_last_lines_are_written_when_the_process_ends() -> None:
    program = (
        "import structlog; from diptych_runtime import logs; logs.configure('info')\n"
        "for number in range(5000): structlog.get_logger().info('shown', number=number)"
    )
    run = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    numbers = [json.loads(line)["number"] for line in run.stderr.splitlines()]
    assert numbers == list(range(5000))


def test_a_process_whose_log_nobody_reads_can_end() -> None:
    program = (
        "import structlog; from diptych_runtime import logs; logs.configure('info')\n"
        "for number in range(5000): structlog.get_logger().info('shown', number=number)"
    )
    reader, unread = os.pipe()
    ended = subprocess.run([sys.executable, "-c", program], stderr=unread, timeout=20, check=False)
    os.close(unread)
    os.close(reader)
    assert ended.returncode == 0
