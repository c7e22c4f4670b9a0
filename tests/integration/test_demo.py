"""``make demo`` beside something that has its ports."""

from __future__ import annotations

import contextlib
import re
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest
from service_list import MODELS

DEMO = Path(__file__).resolve().parents[2] / "demo.py"
PROCFILE = (DEMO.parent / "Procfile").read_text()
PORTS = dict(re.findall(r"^([\w-]+): .*?DIPTYCH_PORT=(\d+)", PROCFILE, re.MULTILINE))
PASSING_S = 20.0


def take(taken: socket.socket, port: int) -> None:
    """Listen on a port, where need be after a passing connection has let go of its number; who
    keeps it for longer has it as well as this test would.

    The ports lie in the range from which systems number outgoing connections. Like the demo, this
    minds no connection that is only waiting to be forgotten, or the two would disagree.
    """
    taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    end = time.monotonic() + PASSING_S
    while time.monotonic() < end:
        with contextlib.suppress(OSError):
            taken.bind(("127.0.0.1", port))
            taken.listen()
            return
        time.sleep(0.1)


@pytest.mark.parametrize("name", PORTS)
def test_names_the_port_that_is_in_use(name: str, tmp_path: Path) -> None:
    with socket.socket() as taken:
        take(taken, int(PORTS[name]))
        done = subprocess.run(
            [sys.executable, str(DEMO)], cwd=tmp_path, capture_output=True, text=True, check=False
        )
    assert done.returncode == 1
    (line,) = done.stderr.splitlines()
    assert line.startswith("demo: port ")
    assert "is in use" in line


def test_the_demo_of_the_evaluation_names_the_port_as_well(tmp_path: Path) -> None:
    with socket.socket() as taken:
        take(taken, int(PORTS["gateway"]))
        command = [sys.executable, str(DEMO.with_name("eval_demo.py"))]
        done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    (line,) = done.stderr.splitlines()
    assert line.startswith(f"eval-demo: port {PORTS['gateway']} for gateway is in use")


def test_every_process_is_dialled() -> None:
    assert list(PORTS) == [*MODELS, "gateway"]
    for name, service in MODELS.items():
        assert f"{name}=localhost:{service.port}" in PROCFILE
