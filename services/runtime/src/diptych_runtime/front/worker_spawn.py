"""Starts an engine process and waits until its model is loaded."""

from __future__ import annotations

import asyncio
import os
import socket
import sys

import structlog

from ..engine.errors import ServiceError, engine_lost
from ..engine.protocol import LoadError
from ..ipc.pipe import FrontPipe, PipeClosedError
from ..ipc.shared_memory import ImageSlots
from ..quarantine import Quarantine
from ..settings import RuntimeSettings
from .worker_client import EngineClient

ENGINE_ENVIRONMENT = {
    # Threads that spin while they wait starve each other when cores are shared: two services on
    # two cores were five times slower.
    "OMP_WAIT_POLICY": "PASSIVE",
    # The largest feature maps go back to the system when they are done, or the heap keeps holes of
    # their size; in huge pages, because small ones would have to be cleared one by one each time.
    "MALLOC_MMAP_THRESHOLD_": str(12 * 2**20),
    "THP_MEM_ALLOC_ENABLE": "1",
    # All others use the same memory again, in one heap whatever the thread: new pages are dear.
    "MALLOC_TRIM_THRESHOLD_": str(128 * 2**20),
    "MALLOC_ARENA_MAX": "1",
}
"""What an engine process starts with unless the environment says otherwise: none of it can be set
from inside."""

_log: structlog.typing.FilteringBoundLogger = structlog.get_logger()


async def start_engine(
    engine: str, settings: RuntimeSettings, quarantine: Quarantine
) -> EngineClient:
    """Start a process with the settings of this one, and wait until its model is loaded.

    Args:
        engine: The factory of the engine, as ``module:function``.
        settings: Settings of the service; the process gets them all.
        quarantine: Takes in the images that the process ends over.

    Raises:
        LoadError: the model cannot be loaded as it is set up.
        ServiceError: the process ended or took too long.
    """
    process, pipe, slots = await _spawn(engine)
    client = EngineClient(process, pipe, slots, quarantine)
    try:
        pipe.send({"op": "start", "settings": settings.model_dump(mode="json")})
        async with asyncio.timeout(settings.load_timeout_s):
            header, body = await pipe.receive()
        if header["op"] == "failed":
            raise LoadError(header["message"])
    except PipeClosedError as error:
        raise await _did_not_start(client, exit_code=await client.exit_code()) from error
    except TimeoutError as error:
        raise await _did_not_start(client, late=True) from error
    except BaseException:
        await client.kill()
        raise
    client.serve(header, body, step_timeout_s=settings.step_timeout_s)
    return client


async def _did_not_start(client: EngineClient, **fields: object) -> ServiceError:
    await client.kill()
    _log.error("engine did not start", pid=client.pid, **fields)
    return engine_lost()


async def _spawn(engine: str) -> tuple[asyncio.subprocess.Process, FrontPipe, ImageSlots]:
    """Start a process that knows its engine, its end of a pipe and where images are."""
    ours, theirs = socket.socketpair()
    slots = ImageSlots()
    with theirs, slots.file:
        pipe = FrontPipe(ours)
        try:
            process = await asyncio.create_subprocess_exec(
                # -P: what lies in the working directory must not be taken for a module.
                *(sys.executable, "-P", "-m", "diptych_runtime.worker.process"),
                *("--fd", str(theirs.fileno()), "--images", str(slots.file.fileno())),
                *("--engine", engine),
                pass_fds=[theirs.fileno(), slots.file.fileno()],
                env=ENGINE_ENVIRONMENT | os.environ,
                # A Ctrl-C reaches the whole process group; the front decides when to stop.
                start_new_session=True,
            )
        except BaseException:
            pipe.close()
            slots.close()
            raise
    return process, pipe, slots
