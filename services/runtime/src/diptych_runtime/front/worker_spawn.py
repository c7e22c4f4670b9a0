"""Starts an engine process."""

from __future__ import annotations

import asyncio
import os
import socket
import sys
from typing import TypeAlias

from ..ipc.pipe import FrontPipe
from ..ipc.shared_memory import PicturePlaces

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


Started: TypeAlias = tuple[asyncio.subprocess.Process, FrontPipe, PicturePlaces]


async def spawn(engine: str) -> Started:
    """Start a process that knows its engine (``module:function``), its end of a pipe and where
    pictures are."""
    ours, theirs = socket.socketpair()
    places = PicturePlaces()
    with theirs, places.file:
        pipe = FrontPipe(ours)
        try:
            process = await asyncio.create_subprocess_exec(
                # -P: what lies in the working directory must not be taken for a module.
                *(sys.executable, "-P", "-m", "diptych_runtime.worker.process"),
                *("--fd", str(theirs.fileno()), "--pictures", str(places.file.fileno())),
                *("--engine", engine),
                pass_fds=[theirs.fileno(), places.file.fileno()],
                env=ENGINE_ENVIRONMENT | os.environ,
                # A Ctrl-C reaches the whole process group; the front decides when to stop.
                start_new_session=True,
            )
        except BaseException:
            pipe.close()
            places.close()
            raise
    return process, pipe, places
