"""The process that decodes large images for one engine process, so that it can be killed for it.

Started by ``decoder.Decoder`` as ``python -m diptych_runtime.worker.decoder_process``. It reads a
file from memory that both share, and answers with a file without a name that holds the pixels. The
system ends it when one image takes too long, and refuses it memory beyond what images need.
"""

from __future__ import annotations

import argparse
import contextlib
import mmap
import os
import resource
import signal
import socket
import time

import numpy as np

from ..engine.errors import ServiceError
from ..engine.protocol import Pixels
from ..ipc.pipe import EnginePipe, PipeClosedError
from ..ipc.shared_memory import nameless_file
from .images import decode

MAX_CPU_S = 10
"""Of one image. 50 million pixels take 1 to 3 s."""
_NICENESS = 5  # the model's threads go first
_BASE_BYTES = 1024 * 1024 * 1024  # addresses of an interpreter with its libraries: half of it
_BYTES_PER_PIXEL = 32  # half of it is room


def _answer(pipe: EnginePipe, sock: socket.socket, file: int) -> None:
    header, _ = pipe.receive()
    limits = header["limits"]
    _limit(limits["max_pixels"])
    pixels, notes = nameless_file(), list[str]()
    try:
        shape = decode(
            os.pread(file, header["size"], 0),
            new=lambda *size: _mapped(pixels, *size),
            note=notes.append,
            **limits,
        ).shape
    except ServiceError as error:
        pipe.send({"op": "error"}, error.to_status().SerializeToString())
    except MemoryError:
        pipe.send({"op": "memory"})
    else:
        pipe.send({"op": "pixels", "height": shape[0], "width": shape[1], "notes": notes})
        socket.send_fds(sock, [b"."], [pixels])
    finally:
        os.close(pixels)


def _mapped(file: int, height: int, width: int) -> Pixels:
    os.ftruncate(file, height * width * 3)
    return np.frombuffer(mmap.mmap(file, 0), np.uint8).reshape(height, width, 3)


def _limit(max_pixels: int) -> None:
    """Let one image take so much, counted from now."""
    most = _BASE_BYTES + _BYTES_PER_PIXEL * max_pixels
    seconds = int(time.process_time()) + MAX_CPU_S
    for kind, limit in ((resource.RLIMIT_AS, most), (resource.RLIMIT_CPU, seconds)):
        _, hard = resource.getrlimit(kind)
        with contextlib.suppress(ValueError, OSError):  # a lower one is set from outside
            resource.setrlimit(kind, (limit, hard))


def main() -> None:
    """Decode what comes until the engine process is gone."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--fd", type=int, required=True)
    parser.add_argument("--file", type=int, required=True)
    args = parser.parse_args()
    signal.signal(signal.SIGXCPU, signal.SIG_DFL)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))  # it would hold a caller's image
    os.nice(_NICENESS)
    sock = socket.socket(fileno=args.fd)
    pipe = EnginePipe(sock)
    with contextlib.suppress(PipeClosedError, OSError):
        while True:
            _answer(pipe, sock, args.file)


if __name__ == "__main__":
    main()
