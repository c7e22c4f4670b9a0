"""Log lines: JSON off a terminal, never a reason to fail."""

from __future__ import annotations

import io
import json
import sys
import threading
from collections.abc import Iterator

import pytest
import structlog

from diptych_runtime import logs


@pytest.fixture(autouse=True)
def as_before() -> Iterator[None]:
    yield
    structlog.reset_defaults()


def test_lines_are_json_with_the_fields_of_the_process(capfd: pytest.CaptureFixture[str]) -> None:
    logs.configure("info", service="fake")
    structlog.get_logger().debug("hidden")
    thread = threading.Thread(target=lambda: structlog.get_logger().info("shown", number=3))
    thread.start()
    thread.join()
    lines = [json.loads(line) for line in capfd.readouterr().err.splitlines()]
    assert len(lines) == 1
    assert lines[0].items() >= {"event": "shown", "number": 3, "service": "fake"}.items()


def test_locals_of_a_traceback_are_not_logged(capfd: pytest.CaptureFixture[str]) -> None:
    logs.configure("info")
    try:
        pixels = "pixels of " + "a user"
        raise RuntimeError(f"{len(pixels)} went wrong")
    except RuntimeError as error:
        structlog.get_logger().error("failed", exc_info=error)
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


def test_unknown_levels_are_refused() -> None:
    with pytest.raises(ValueError, match="'loud'"):
        logs.configure("loud")
