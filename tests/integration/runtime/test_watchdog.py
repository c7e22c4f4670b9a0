"""A process whose event loop hangs ends by itself; one that was stopped as a whole goes on."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from gates import fresh
from processes import SERVICE, children, gone, service_process
from serving_helpers import eventually, png, point_request, stub_of

from diptych_runtime.watchdog import EXIT_HUNG

# The loop hangs at SIGUSR1, and in a write that nobody reads at SIGUSR2.
ON_DEMAND = """
import asyncio, signal, sys, time
run_as_it_is = asyncio.run
def hang():
    time.sleep(3600)
def hang_in_a_write():
    sys.stderr.write("x" * 10_000_000)
def run(main):
    async def with_handlers():
        loop = asyncio.get_running_loop()
        loop.add_signal_handler(signal.SIGUSR1, hang)
        loop.add_signal_handler(signal.SIGUSR2, hang_in_a_write)
        await main
    run_as_it_is(with_handlers())
asyncio.run = run
"""
GATEWAY = "from diptych_gateway.__main__ import main\nmain([])\n"
TIMEOUT_S = 2


@pytest.mark.parametrize(
    ("program", "name"), [(SERVICE, "fake"), (GATEWAY, "gateway")], ids=["service", "gateway"]
)
async def test_a_loop_that_hangs_ends_the_process(program: str, name: str) -> None:
    settings = {"DIPTYCH_LOOP_TIMEOUT_S": str(TIMEOUT_S), "DIPTYCH_MODELS": "one=localhost:1"}
    async with service_process(program=ON_DEMAND + program, **settings) as service:
        await service.event("serving")
        engines = children(service.pid)
        service.tell(signal.SIGUSR1)
        assert await service.end() == EXIT_HUNG
        line = service.lines[-1]
        assert line.startswith(f"diptych-{name}: the event loop has not answered for 2 s and ")
        assert "hangs in hang (<string>:" in line
        await eventually(lambda: all(gone(engine) for engine in engines))


async def test_a_loop_that_hangs_in_a_full_stderr_ends_the_process() -> None:
    path = os.pathsep.join([str(Path(fresh.__code__.co_filename).parent), *sys.path])
    process = subprocess.Popen(
        [sys.executable, "-c", ON_DEMAND + GATEWAY],
        env={
            **os.environ,
            "PYTHONPATH": path,
            "DIPTYCH_PORT": "0",
            "DIPTYCH_MODELS": "one=localhost:1",
            "DIPTYCH_LOOP_TIMEOUT_S": str(TIMEOUT_S),
        },
        stderr=subprocess.PIPE,
    )
    with process:
        assert process.stderr
        while b'"serving"' not in process.stderr.readline():
            assert process.poll() is None
        process.send_signal(signal.SIGUSR2)
        assert await asyncio.to_thread(process.wait, 60) == EXIT_HUNG


async def test_a_process_that_was_stopped_as_a_whole_goes_on() -> None:
    async with service_process(DIPTYCH_LOOP_TIMEOUT_S=str(TIMEOUT_S)) as service:
        await service.event("serving")
        port = await service.port()
        service.tell(signal.SIGSTOP)
        await asyncio.sleep(2 * TIMEOUT_S)
        service.tell(signal.SIGCONT)
        await asyncio.sleep(TIMEOUT_S / 2)  # several looks of the watchdog
        async with stub_of(port) as stub:
            assert (await stub.Segment(point_request(png(fresh())))).segments
        service.tell(signal.SIGTERM)
        assert await service.end() == 0
