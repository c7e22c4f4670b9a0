"""A model service around the fake engine as a process of its own, as users start it."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
import time
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path

SERVICE = """
import sys
from diptych_runtime.main import ServiceSpec, run
run(ServiceSpec("fake", 0, sys.argv[1], (), ""), [])
"""


def children(pid: int) -> list[int]:
    """Processes that a process has started and that have not ended."""
    found: list[int] = []
    for task in Path(f"/proc/{pid}/task").iterdir():
        with suppress(FileNotFoundError, ProcessLookupError):  # a thread that has ended since
            found += [int(part) for part in (task / "children").read_text().split()]
    return [child for child in found if not gone(child)]


def another_child(pid: int, last: int, *, seconds: float = 60.0) -> int:
    """The process that another has started in place of its last one, once it is there."""
    until = time.monotonic() + seconds
    while not (found := [child for child in children(pid) if child != last]):
        if time.monotonic() > until:
            raise TimeoutError(f"process {pid} has started none in place of {last}")
        time.sleep(0.05)
    (child,) = found
    return child


def gone(pid: int) -> bool:
    """Whether a process has ended, collected by its parent or not."""
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return True
    return state in "ZX"


@dataclass(frozen=True)
class SharedMemory:
    """Memory of a file that processes share."""

    inode: int
    path: str
    """As the system tells it; of a file without a name it ends in `` (deleted)``."""
    writable: bool
    resident: int
    """Bytes that this process has touched."""


def shared_memory(pid: int) -> list[SharedMemory]:
    """What a process shares with others; nothing if it is gone, or another user's."""
    try:
        lines = Path(f"/proc/{pid}/smaps").read_text().splitlines()
    except OSError:
        return []
    found: list[SharedMemory] = []
    shared = False
    for line in lines:
        name, *rest = line.split(maxsplit=5)
        if not name.endswith(":"):
            shared = len(rest) == 5 and rest[0].endswith("s")
            if shared:
                found.append(SharedMemory(int(rest[3]), rest[4], "w" in rest[0], 0))
        elif shared and name == "Rss:":
            found[-1] = replace(found[-1], resident=int(rest[0]) * 1024)
    return found


def who_shares(inode: int) -> list[int]:
    """Processes that have a file in their memory."""
    pids = [int(path.name) for path in Path("/proc").iterdir() if path.name.isdigit()]
    return [pid for pid in pids if any(one.inode == inode for one in shared_memory(pid))]


class ServiceProcess:
    """The process and what it has logged."""

    def __init__(self, process: Process) -> None:
        self.process = process
        self.lines: list[str] = []
        self._new = asyncio.Event()
        self._reading = asyncio.create_task(self._read())

    async def _read(self) -> None:
        assert self.process.stderr
        async for line in self.process.stderr:
            self.lines.append(line.decode().rstrip("\n"))
            self._new.set()

    @property
    def pid(self) -> int:
        return self.process.pid

    def events(self, name: str) -> list[dict[str, object]]:
        """Log lines of one event."""
        return self.lines_with(event=name)

    def lines_with(self, **fields: object) -> list[dict[str, object]]:
        """Log lines that have these fields."""
        parsed = [json.loads(line) for line in self.lines if line.startswith("{")]
        return [line for line in parsed if fields.items() <= line.items()]

    async def event(self, name: str) -> dict[str, object]:
        """The first log line of an event, once it is there."""
        async with asyncio.timeout(30):
            while not (found := self.events(name)):
                await self._new.wait()
                self._new.clear()
        return found[0]

    async def port(self) -> int:
        """The port, once the service listens."""
        return int(str((await self.event("listening"))["port"]))

    def tell(self, number: signal.Signals) -> None:
        self.process.send_signal(number)

    async def end(self) -> int:
        """The exit code, once the process has ended by itself."""
        async with asyncio.timeout(40):
            code = await self.process.wait()
            await self._reading
        return code


@asynccontextmanager
async def service_process(
    engine: str = "fake_engine:create",
    *,
    program: str = SERVICE,
    cwd: Path | None = None,
    **variables: str,
) -> AsyncIterator[ServiceProcess]:
    """A service on a port of its own; it and its engine are killed at the end."""
    paths = [str(Path(__file__).parent), os.environ.get("PYTHONPATH", "")]
    environment = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join(filter(None, paths)),
        "DIPTYCH_PORT": "0",
        **variables,
    }
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-P", "-c", program, engine),
        env=environment,
        cwd=cwd,
        stderr=PIPE,
        start_new_session=True,
    )
    service = ServiceProcess(process)
    try:
        yield service
    finally:
        engines = [] if gone(process.pid) else children(process.pid)
        for pid in (process.pid, *engines):
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        await service.end()
