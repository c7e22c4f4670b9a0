"""Decodes images where it can be stopped: in a process of its own, which is killed and replaced.

Decoding holds the interpreter for most of a WebP and parts of all else, and nothing ends it but the
end of its process. Small images are decoded in the engine process: a detour would take longer.
"""

from __future__ import annotations

import contextlib
import mmap
import os
import select
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import structlog
from google.rpc import status_pb2

from ..engine.errors import ServiceError
from ..engine.protocol import Pixels
from ..ipc.pipe import EnginePipe, PipeClosedError
from ..ipc.shared_memory import nameless_file
from ..wire.image_files import Data, Note, ignore, unreadable
from .images import Limits

_LOOK_EVERY_S = 0.02  # at whether the pixels are still wanted
_GRACE_S = 0.1  # for an image that is nearly done: a new process takes longer
_KEPT_BYTES = 8 * 1024 * 1024
_ENVIRONMENT = {"OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"}  # it multiplies nothing

_CRASHES = tuple(-s for s in (signal.SIGSEGV, signal.SIGBUS, signal.SIGABRT, signal.SIGFPE))

_log: structlog.typing.FilteringBoundLogger = structlog.get_logger()


@dataclass(frozen=True)
class _Child:
    """A process and our end of its socket."""

    process: subprocess.Popen[bytes]
    socket: socket.socket
    pipe: EnginePipe


class Decoder:
    """One process that decodes one image at a time; for any thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._file = nameless_file()
        self._child = self._start()
        self.killed = 0
        """Processes that were ended or ended themselves over an image."""

    def decode(
        self, encoded: Data, limits: Limits, check: Callable[[], None], note: Note = ignore
    ) -> Pixels:
        """Decode an image; see ``images.decode``.

        Args:
            encoded: The file.
            limits: Those of ``images.decode``.
            check: Called all the time; raises once the pixels are not wanted any more.
            note: That of ``images.decode``.

        Raises:
            ServiceError: also ``IMAGE_UNREADABLE`` for an image at which the process ended.
        """
        with self._turn(check):
            if self._child.process.poll() is not None:
                self._replace("it had ended")  # not over this image
            os.pwrite(self._file, encoded, 0)
            try:
                self._child.pipe.send({"limits": limits, "size": len(encoded)})
                self._wait(check)
                return self._receive(note)
            except PipeClosedError:
                code = self._replace("it ended")
                raise _ended(code) from None
            finally:
                if len(encoded) > _KEPT_BYTES:
                    os.ftruncate(self._file, 0)

    def close(self) -> None:
        """End the process."""
        self._end()
        os.close(self._file)

    @contextlib.contextmanager
    def _turn(self, check: Callable[[], None]) -> Iterator[None]:
        while not self._lock.acquire(timeout=_LOOK_EVERY_S):
            check()
        try:
            yield
        finally:
            self._lock.release()

    def _wait(self, check: Callable[[], None]) -> None:
        try:
            while not self._answered(_LOOK_EVERY_S):
                check()
        except BaseException:
            # Else the next image would get this one's answer.
            if self._answered(_GRACE_S):
                with contextlib.suppress(ServiceError, MemoryError):
                    self._receive()
            else:
                self._replace("nobody waits for its image")
            raise

    def _answered(self, seconds: float) -> bool:
        return bool(select.select([self._child.socket], [], [], seconds)[0])

    def _receive(self, note: Note = ignore) -> Pixels:
        header, body = self._child.pipe.receive()
        if header["op"] == "error":
            raise ServiceError.from_status(status_pb2.Status.FromString(body))
        if header["op"] == "memory":
            raise MemoryError("the decoder of images has no memory left for this one")
        for what in header["notes"]:
            note(what)
        _, files, _, _ = socket.recv_fds(self._child.socket, 1, 1)
        if not files:
            raise PipeClosedError
        try:
            populate = getattr(mmap, "MAP_POPULATE", 0)
            memory = mmap.mmap(files[0], 0, flags=mmap.MAP_SHARED | populate)
        finally:
            os.close(files[0])
        return np.frombuffer(memory, np.uint8).reshape(header["height"], header["width"], 3)

    def _start(self) -> _Child:
        ours, theirs = socket.socketpair()
        with theirs:
            process = subprocess.Popen(
                # -P: what lies in the working directory must not be taken for a module.
                (
                    *(sys.executable, "-P", "-m", "diptych_runtime.worker.decoder_process"),
                    *("--fd", str(theirs.fileno()), "--file", str(self._file)),
                ),
                pass_fds=(theirs.fileno(), self._file),
                env={**os.environ, **_ENVIRONMENT},
                stdin=subprocess.DEVNULL,
            )
        return _Child(process, ours, EnginePipe(ours))

    def _replace(self, why: str) -> int:
        """End the process, start another; returns how the old one ended."""
        code = self._end()
        self.killed += 1
        _log.warning("decoder of images replaced", why=why, exit_code=code, killed=self.killed)
        self._child = self._start()
        return code

    def _end(self) -> int:
        self._child.process.kill()
        self._child.socket.close()
        return self._child.process.wait()


def _ended(code: int) -> Exception:
    if code == -signal.SIGXCPU:
        return unreadable("expected an image that is decoded in seconds, got one that takes longer")
    if code in _CRASHES:
        return unreadable("expected an image that can be decoded, got one that ends the decoder")
    return RuntimeError(f"the decoder of images ended with {code}")
