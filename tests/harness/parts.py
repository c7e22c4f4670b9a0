"""The product as processes on ports of their own: services around the harness's engine, a gateway.

Logs go to files, so that a flood of lines costs this process nothing. A process for which
``HARNESS_FILES`` is set may open so many files.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Collection, Mapping
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

from harness.engine import Plan
from harness.proxy import Proxy
from processes import children, gone

TESTS = Path(__file__).resolve().parents[1]
START_S = 60.0
_PATHS = (str(TESTS), str(TESTS / "support"))
# Of a script that is killed nothing stays: PR_SET_PDEATHSIG. Not set between fork and exec, because
# the threads of gRPC in this process make that unsafe.
_PROGRAM = """
import ctypes, os, resource, runpy, sys
ctypes.CDLL(None).prctl(1, 9)
if files := os.environ.get("HARNESS_FILES"):
    resource.setrlimit(resource.RLIMIT_NOFILE, (int(files), int(files)))
runpy.run_module(sys.argv.pop(1), run_name="__main__", alter_sys=True)
"""


class Part:
    """One process of the product: a service, with its engine, or a gateway."""

    def __init__(
        self,
        name: str,
        module: str,
        folder: Path,
        environment: Mapping[str, str],
        *,
        listening: str,
        ready: str,
    ) -> None:
        self.name = name
        self.log = folder / f"{name}.log"
        self._module = module
        self._environment = dict(environment)
        self._listening = listening
        self._ready = ready
        self._from = 0
        self._process: subprocess.Popen[bytes] | None = None
        self.port = 0
        self.http_port = 0

    @property
    def pid(self) -> int:
        """Of the process that listens."""
        assert self._process is not None
        return self._process.pid

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.port}"

    @property
    def engine_pid(self) -> int:
        """Of the engine process; fails if there is not exactly one."""
        (pid,) = children(self.pid)
        return pid

    @property
    def alive(self) -> bool:
        return self._process is not None and self._process.poll() is None

    async def start(self, *, stderr: IO[bytes] | int | None = None, **variables: str) -> None:
        """Start it, on its earlier ports if it had some, and wait until it serves.

        ``stderr`` goes in place of the log file; then the ports have to be known already.
        """
        await self.launch(stderr=stderr, **variables)
        if stderr is None:
            line = await self.event(self._listening)
            self.port = int(line["port"])
            self.http_port = int(line.get("http_port") or 0)
            await self.event(self._ready)

    async def launch(self, *, stderr: IO[bytes] | int | None = None, **variables: str) -> None:
        """Start it and do not wait."""
        environment = {
            **{name: value for name, value in os.environ.items() if name[:8] != "DIPTYCH_"},
            "OMP_NUM_THREADS": "1",
            "PYTHONPATH": os.pathsep.join(filter(None, [*_PATHS, os.environ.get("PYTHONPATH")])),
            "DIPTYCH_PORT": str(self.port),
            "DIPTYCH_HTTP_PORT": str(self.http_port),
            **self._environment,
            **variables,
        }
        self._from = self.log.stat().st_size if self.log.exists() else 0
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-P", "-c", _PROGRAM, self._module],
                env=environment,
                stdout=log,
                stderr=log if stderr is None else stderr,
                start_new_session=True,
            )

    async def event(self, name: str, *, seconds: float = START_S) -> dict[str, Any]:
        """The last line of an event since the start, once it is there."""
        until = time.monotonic() + seconds
        while not (found := [line for line in self.lines() if line.get("event") == name]):
            if not self.alive or time.monotonic() > until:
                raise RuntimeError(f"{self.name} did not say {name!r}: {self.text()[-2000:]}")
            await asyncio.sleep(0.05)
        return found[-1]

    def text(self) -> str:
        """What the process has logged since its last start."""
        if not self.log.exists():
            return ""
        with self.log.open("rb") as log:
            log.seek(self._from)
            return log.read().decode(errors="replace")

    def lines(self) -> list[dict[str, Any]]:
        """The JSON lines of that."""
        found = []
        for line in self.text().splitlines():
            with suppress(ValueError):
                found.append(json.loads(line))
        return [line for line in found if isinstance(line, dict)]

    async def terminate(self, *, seconds: float = 60.0) -> int:
        """Ask it to stop and wait; returns its exit code."""
        assert self._process is not None
        if self.alive:
            self._process.terminate()
        return await self.ended(seconds=seconds)

    async def ended(self, *, seconds: float = 60.0) -> int:
        """Its exit code, once it has ended."""
        assert self._process is not None
        until = time.monotonic() + seconds
        while (code := self._process.poll()) is None:
            if time.monotonic() > until:
                raise TimeoutError(f"{self.name} has not ended within {seconds:g} s")
            await asyncio.sleep(0.02)
        return code

    def kill(self) -> None:
        """End it and its engine at once."""
        if self._process is None:
            return
        engines = [] if gone(self.pid) else children(self.pid)
        for pid in (self.pid, *engines):
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        self._process.wait(10)

    async def restart(self) -> None:
        """Kill it and start it again on the same ports."""
        self.kill()
        await self.start()

    def kill_engine(self) -> None:
        os.kill(self.engine_pid, signal.SIGKILL)

    def freeze(self) -> None:
        os.kill(self.pid, signal.SIGSTOP)

    def thaw(self) -> None:
        os.kill(self.pid, signal.SIGCONT)

    def freeze_engine(self) -> int:
        """Stop the engine process without ending it; returns its id."""
        pid = self.engine_pid
        os.kill(pid, signal.SIGSTOP)
        return pid


def service(
    name: str, folder: Path, *, plan: Plan | None = None, environment: Mapping[str, str] = {}
) -> Part:
    """A model service, not started yet; its plan is in ``NAME.plan`` of the folder."""
    (plan or Plan()).write(folder / f"{name}.plan")
    variables = {
        "HARNESS_MODEL": name,
        "HARNESS_PLAN": str(folder / f"{name}.plan"),
        "HARNESS_WORK": str(folder / f"{name}.work"),
        "DIPTYCH_DRAIN_S": "5",
        **environment,
    }
    return Part(name, "harness.engine", folder, variables, listening="listening", ready="serving")


def gateway(
    folder: Path,
    models: Mapping[str, str],
    *,
    name: str = "gateway",
    environment: Mapping[str, str] = {},
) -> Part:
    """A gateway for models at addresses, not started yet."""
    variables = {
        "DIPTYCH_MODELS": ",".join(f"{model}={address}" for model, address in models.items()),
        "DIPTYCH_DRAIN_S": "5",
        "DIPTYCH_CARD_REFRESH_S": "5",
        **environment,
    }
    return Part(name, "diptych_gateway", folder, variables, listening="serving", ready="serving")


@dataclass
class Stack:
    """Running services and the gateway in front of them."""

    folder: Path
    services: dict[str, Part]
    gateways: list[Part] = field(default_factory=list)
    proxies: dict[str, Proxy] = field(default_factory=dict)

    @property
    def gateway(self) -> Part:
        return self.gateways[0]

    @property
    def parts(self) -> list[Part]:
        return [*self.services.values(), *self.gateways]

    def plan(self, plan: Plan, *names: str) -> None:
        """Put a plan in force, in all services if none is named."""
        for name in names or self.services:
            plan.write(self.folder / f"{name}.plan")

    def work(self, name: str) -> list[tuple[str, str, float, float]]:
        """Model time of a service: kind, watermark, start, end."""
        path = self.folder / f"{name}.work"
        rows = path.read_text().splitlines() if path.exists() else []
        split = (row.split(" ") for row in rows)
        return [(kind, mark, float(start), float(end)) for kind, mark, start, end in split]


@asynccontextmanager
async def running_stack(
    *names: str,
    plan: Plan | None = None,
    folder: Path | None = None,
    service_env: Mapping[str, str] = {},
    gateway_env: Mapping[str, str] = {},
    gateways: int = 1,
    proxied: Collection[str] = (),
) -> AsyncIterator[Stack]:
    """Services of these names (``fake`` if none) and gateways, all serving, ended at the end.

    The gateway reaches the ``proxied`` ones through proxies.
    """
    async with AsyncExitStack() as proxies:
        temporary = proxies.enter_context(tempfile.TemporaryDirectory(prefix="diptych-"))
        home = folder or Path(temporary)
        stack = Stack(home, {})
        for name in names or ("fake",):
            stack.services[name] = service(name, home, plan=plan, environment=service_env)
        try:
            await asyncio.gather(*(part.start() for part in stack.services.values()))
            models = {name: part.address for name, part in stack.services.items()}
            for name in proxied:
                proxy = await proxies.enter_async_context(Proxy(stack.services[name].port))
                stack.proxies[name] = proxy
                models[name] = f"127.0.0.1:{proxy.port}"
            for number in range(gateways):
                name = f"gateway{number or ''}"
                part = gateway(home, models, name=name, environment=gateway_env)
                stack.gateways.append(part)
            await asyncio.gather(*(part.start() for part in stack.gateways))
            yield stack
        finally:
            for part in stack.parts:
                part.kill()
