"""Which of our files one request crosses, in the client and in all processes behind it.

    python tests/support/request_trace.py

starts the gateway and SAM 2, has one new image prompted with a point, and prints for each process
the files in which a function was called meanwhile. ``sys.setprofile`` counts calls only: a file
that is merely imported, or whose constants are read, does not count; nor do functions that run
while nobody asks anything, such as those that look every second whether a model is there.
"""

from __future__ import annotations

import contextlib
import io
import json
import os
import signal
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from PIL import Image
from stack import Stack, free_port, wait_cards, wait_serving

import diptych

MODEL = "sam-2"
_SETTLE_S = 0.5  # what is logged and counted after the answer belongs to the request
_IDLE_S = 3.0  # what runs by itself runs every second
_WRITE_S = 10.0
_RECORDER = """
import json, os, signal, sys, threading
folder = os.environ.get("DIPTYCH_TRACE_FOLDER")
if folder:
    codes, idle, recording = set(), set(), []
    def called(frame, event, argument):
        if event == "call" and recording:
            codes.add(frame.f_code)
    def begin(*_):
        # The first time nobody asks anything, the second time one does.
        idle.update(codes)
        codes.clear()
        recording.append(True)
    def write(*_):
        recording.clear()
        path = os.path.join(folder, str(os.getpid()))
        with open(path + ".part", "w") as out:
            json.dump(sorted({code.co_filename for code in codes - idle}), out)
        os.rename(path + ".part", path + ".json")
    signal.signal(signal.SIGUSR1, begin)
    signal.signal(signal.SIGUSR2, write)
    sys.setprofile(called)
    threading.setprofile(called)
    with open(os.path.join(folder, str(os.getpid()) + ".started"), "w") as out:
        out.write(" ".join(sys.argv))
"""
"""``sitecustomize``: Python runs it at the start of every process that inherits the path."""


def trace() -> dict[str, list[str]]:
    """Files below our packages by process: ``client``, ``gateway``, ``front`` and ``engine``."""
    with tempfile.TemporaryDirectory() as name, _traced_stack(Path(name)) as stack:
        folder = Path(name)
        with diptych.Client(stack.address("gateway")) as client:
            client.segment(_encoded(0), model=MODEL, points=[(120, 100)])  # all are warm now
            time.sleep(_SETTLE_S)
            recorded = {os.getpid(): "client", **_processes(folder, stack)}
            with _recording_here() as own:
                _signal_all(recorded, signal.SIGUSR1)
                time.sleep(_IDLE_S)
                _signal_all(recorded, signal.SIGUSR1)
                time.sleep(_SETTLE_S)
                own.clear()
                client.segment(_encoded(1), model=MODEL, points=[(120, 100)])
                crossed = {"client": sorted(own)}
            time.sleep(_SETTLE_S)
            _signal_all(recorded, signal.SIGUSR2)
        for pid, process in recorded.items():
            if process != "client":
                crossed[process] = _read(folder / f"{pid}.json")
    return {process: _ours(files) for process, files in crossed.items()}


@contextlib.contextmanager
def _traced_stack(folder: Path) -> Iterator[Stack]:
    (folder / "sitecustomize.py").write_text(_RECORDER)
    path = os.pathsep.join(filter(None, [str(folder), os.environ.get("PYTHONPATH")]))
    before = {name: os.environ.get(name) for name in ("PYTHONPATH", "DIPTYCH_TRACE_FOLDER")}
    os.environ.update(PYTHONPATH=path, DIPTYCH_TRACE_FOLDER=str(folder))
    stack = Stack({name: free_port() for name in (MODEL, "gateway", "http")}, folder, (MODEL,))
    try:
        for part in (MODEL, "gateway"):
            stack.start(part)
        for part in (MODEL, "gateway"):
            wait_serving(stack.address(part))
        wait_cards(stack)
        yield stack
    finally:
        stack.stop()
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


def _processes(folder: Path, stack: Stack) -> dict[int, str]:
    """The processes that record, by id: those of the stack, and the engine below its front."""
    fronts = {process.pid: name for name, process in stack.processes.items()}
    names = {"gateway": "gateway", MODEL: "front"}
    found = {}
    for marker in folder.glob("*.started"):
        pid = int(marker.stem)
        if pid in fronts:
            found[pid] = names[fronts[pid]]
        elif "--engine" in marker.read_text():
            found[pid] = "engine"
    return found


@contextlib.contextmanager
def _recording_here() -> Iterator[set[str]]:
    files: set[str] = set()

    def called(frame: object, event: str, argument: object) -> None:
        if event == "call":
            files.add(frame.f_code.co_filename)  # type: ignore[attr-defined]

    before = sys.getprofile()
    sys.setprofile(called)
    try:
        yield files
    finally:
        sys.setprofile(before)


def _signal_all(recorded: dict[int, str], number: signal.Signals) -> None:
    for pid, process in recorded.items():
        if process != "client":
            os.kill(pid, number)


def _read(path: Path) -> list[str]:
    until = time.monotonic() + _WRITE_S
    while not path.exists():
        if time.monotonic() > until:
            raise TimeoutError(f"{path} was not written within {_WRITE_S:g} s")
        time.sleep(0.05)
    files: list[str] = json.loads(path.read_text())
    return files


def _ours(files: list[str]) -> list[str]:
    """Paths below ``src`` of files of our packages, the generated ones left out."""
    below = (file.partition("/src/")[2] for file in files)
    return sorted(f for f in below if f.startswith("diptych") and "/segment/v1/" not in f)


def _encoded(shade: int) -> bytes:
    pixels = np.full((240, 320, 3), shade, np.uint8)
    pixels[60:160, 80:200] = 200
    out = io.BytesIO()
    Image.fromarray(pixels).save(out, "PNG")
    return out.getvalue()


def main() -> None:
    """Print what a request crosses."""
    crossed = trace()
    for process, files in crossed.items():
        sys.stdout.write(f"{process}: {len(files)} files\n")
        sys.stdout.writelines(f"    {file}\n" for file in files)
    every = {file for files in crossed.values() for file in files}
    sys.stdout.write(f"together: {len(every)} files\n")


if __name__ == "__main__":
    main()
