"""``make demo`` beside something that has its ports."""

from __future__ import annotations

import contextlib
import re
import socket
import subprocess
import sys
from pathlib import Path

import pytest

DEMO = Path(__file__).resolve().parents[2] / "demo.py"
PORTS = dict(re.findall(r'"([\w-]+)": (\d+)', DEMO.read_text()))


@pytest.mark.parametrize("name", PORTS)
def test_names_the_port_that_is_in_use(name: str, tmp_path: Path) -> None:
    with socket.socket() as taken:
        with contextlib.suppress(OSError):  # somebody has it already: as good
            taken.bind(("127.0.0.1", int(PORTS[name])))
            taken.listen()
        done = subprocess.run(
            [sys.executable, str(DEMO)], cwd=tmp_path, capture_output=True, text=True, check=False
        )
    assert done.returncode == 1
    (line,) = done.stderr.splitlines()
    assert line.startswith("demo: port ")
    assert "is in use" in line


def test_the_demo_and_the_procfile_mean_the_same_ports() -> None:
    procfile = (DEMO.parent / "Procfile").read_text()
    listed = dict(re.findall(r"^([\w-]+): .*?DIPTYCH_PORT=(\d+)", procfile, re.MULTILINE))
    assert listed == PORTS
    for name, port in PORTS.items():
        assert name == "gateway" or f"{name}=localhost:{port}" in procfile
