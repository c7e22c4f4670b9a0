"""`make up` lets no part take the others down: each line of the Procfile starts its own again."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from contextlib import ExitStack
from pathlib import Path

PROCFILE = Path(__file__).parents[2] / "Procfile"
LINES = dict(
    line.split(": ", 1)
    for line in PROCFILE.read_text().splitlines()
    if line and not line.startswith("#")
)
STAND_IN = """#!/bin/sh
echo run >> "$RUNS"
case $(wc -l < "$RUNS") in
    1) kill -9 $$ ;;
esac
eval "$THEN"
"""


def start(name: str, folder: Path, then: str) -> subprocess.Popen[bytes]:
    """Run one line with stand-ins that crash the first time and do ``then`` afterwards."""
    folder.mkdir()
    for command in (f"diptych-{line}" for line in LINES):
        (folder / command).write_text(STAND_IN)
        (folder / command).chmod(0o755)
    path = f"{folder}:{os.environ['PATH']}"
    environment = {**os.environ, "PATH": path, "RUNS": str(folder / "runs"), "THEN": then}
    return subprocess.Popen(
        ["sh", "-c", LINES[name]], env=environment, start_new_session=True, stderr=subprocess.PIPE
    )


def runs(folder: Path) -> int:
    """How often the stand-in has been started."""
    file = folder / "runs"
    return len(file.read_text().splitlines()) if file.exists() else 0


def test_a_crash_starts_it_again_and_its_own_end_does_not(tmp_path: Path) -> None:
    folders = {
        (name, status): tmp_path / f"{name}-{status}" for name in LINES for status in (0, 1, 2)
    }
    with ExitStack() as together:  # each waits a second before it starts again
        lines = {
            (name, status): together.enter_context(start(name, folder, f"exit {status}"))
            for (name, status), folder in folders.items()
        }
        for (name, status), line in lines.items():
            assert line.wait(30) == status, name
    assert {key: runs(folder) for key, folder in folders.items()} == dict.fromkeys(folders, 2)


def test_a_stop_waits_until_it_has_drained(tmp_path: Path) -> None:
    with ExitStack() as together:
        lines = {}
        for name in LINES:
            ready, drained = tmp_path / name / "ready", tmp_path / name / "drained"
            trap = f"trap 'sleep 1; touch {drained}; exit 0' TERM"
            drain = f"{trap}; touch {ready}; while :; do sleep 0.1; done"
            lines[name] = together.enter_context(start(name, tmp_path / name, drain))
        for name, line in lines.items():
            until = time.monotonic() + 30
            while not (tmp_path / name / "ready").exists() and time.monotonic() < until:
                time.sleep(0.05)
            os.killpg(line.pid, signal.SIGTERM)
        for name, line in lines.items():
            assert line.wait(30) == 0, name
            assert (tmp_path / name / "drained").exists(), name
