"""What of the product eats the bytes of strangers, as functions; run as a module it measures them.

The process reads a target's number, a length and the input from stdin again and again, and writes a
line of JSON with what it cost. It may take 3 GiB and 40 seconds of processor, then it ends.
"""

from __future__ import annotations

import contextlib
import json
import resource
import struct
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

from harness import fuzz_seeds
from harness.engine import HarnessEngine

from diptych.segment import v1 as pb
from diptych.wire.fields import SMALL_BYTES
from diptych.wire.requests import read_checked, read_request
from diptych_gateway.http.forms import MAX_OPTIONS_BYTES
from diptych_gateway.http.options import read_compare, read_segment
from diptych_gateway.http.problems import RefusedError
from diptych_gateway.http.video_messages import read_frame, read_start, read_text
from diptych_gateway.http.video_socket import MAX_START_BYTES
from diptych_gateway.security.tokens import Token, Tokens
from diptych_runtime.engine import ServiceError
from diptych_runtime.settings import RuntimeSettings
from diptych_runtime.wire.cards import build_card
from diptych_runtime.wire.checks import check_request
from diptych_runtime.wire.prompt_checks import check_prompts
from diptych_runtime.wire.video_checks import check_event
from diptych_runtime.worker.images import decode

MiB = 1024 * 1024
MAX_MEMORY = 3 * 1024 * MiB
MAX_CPU_S = 40.0
OFF_LOOP_BYTES = SMALL_BYTES
"""Messages above are parsed in a thread, so only what holds the interpreter stops others."""
_TICK_S = 0.002
_HEAD = struct.Struct("<BI")

_settings = RuntimeSettings()
_card = build_card(HarnessEngine().load(), _settings)
_tokens = Tokens([Token("one", bytes(32))])


def image(data: bytes) -> int:
    """Decode an image; gives its pixels."""
    pixels = decode(
        data,
        max_pixels=_settings.max_image_px,
        min_side=_settings.min_side_px,
        max_aspect_ratio=_settings.max_aspect_ratio,
    )
    return int(pixels.shape[0] * pixels.shape[1])


def request(data: bytes) -> int:
    """Read and check a ``SegmentRequest`` as the front of a service does."""
    message, encoded = read_request(data)
    check_request(message, encoded, _card)
    return 0


def prompts(data: bytes) -> int:
    """Check prompts against an image of 49 million pixels as the engine process does."""
    message, _ = read_request(data)
    _check_count(message)
    check_prompts(message, (7000, 7000), (8, 8))
    return 49_000_000  # masks of an accepted image are counted as its pixels are


def _check_count(message: pb.SegmentRequest) -> None:
    check_request(message, b"x", _card)


def options(data: bytes) -> int:
    """Read options of a form, for one model and for a comparison."""
    if len(data) > MAX_OPTIONS_BYTES:
        raise RefusedError(413, "as the reader of forms says it")
    form = {"image_sha256": b"0" * 64, "options": data}
    for read in (read_segment, read_compare):
        with contextlib.suppress(ServiceError):
            read(form)
    return 0


def message(data: bytes) -> int:
    """Read a message of a WebSocket: the first, a later one, a frame."""
    if len(data) <= MAX_OPTIONS_BYTES:
        text = data.decode("utf-8", "replace")
        with contextlib.suppress(ServiceError):
            read_text(text)
        if len(text) <= MAX_START_BYTES:
            with contextlib.suppress(ServiceError):
                read_start(text)
    read_frame(data, 1)
    return 0


def video(data: bytes) -> int:
    """Read and check a message of a video session."""
    check_event(read_checked(pb.SegmentVideoRequest, data), _card)
    return 0


def header(data: bytes) -> int:
    """Look for a token."""
    if len(data) > MAX_START_BYTES:
        raise RefusedError(431, "as the parsers of HTTP/1.1, HTTP/2 and first messages say it")
    _tokens.identify(data.decode("latin-1"))
    return 0


def planted(data: bytes) -> int:
    """Take a mebibyte for each bracket, up to 300."""
    return len(b"x" * (min(data.count(b"["), 300) * MiB)) * 0


@dataclass(frozen=True)
class Target:
    """One way in; ``on_loop`` says whether small inputs are read on the event loop."""

    name: str
    run: Callable[[bytes], int]
    seeds: Callable[[], Iterator[bytes]]
    on_loop: bool = True


TARGETS = (
    Target("image", image, fuzz_seeds.images, on_loop=False),
    Target("request", request, fuzz_seeds.requests),
    Target("prompts", prompts, fuzz_seeds.prompts, on_loop=False),
    Target("options", options, fuzz_seeds.options, on_loop=False),
    Target("message", message, fuzz_seeds.messages, on_loop=False),
    Target("video", video, fuzz_seeds.video),
    Target("header", header, fuzz_seeds.headers),
)
PLANTED = Target("planted", planted, lambda: iter([b"[,]"]))
"""What the harness has to find in its own test: each bracket costs a mebibyte."""


@dataclass(frozen=True)
class Cost:
    """Of one input: seconds of processor, bytes above what was resident, longest stop of others."""

    cpu_s: float
    peak: int
    stall_s: float
    pixels: int
    """Of an accepted image: those may cost something, and are counted as work."""
    outcome: str


class _Ticker(threading.Thread):
    """Notes how long it was not let run: somebody held the interpreter."""

    def __init__(self) -> None:
        super().__init__(daemon=True)
        self.worst = 0.0

    def run(self) -> None:
        last = time.monotonic()
        while True:
            time.sleep(_TICK_S)
            now = time.monotonic()
            self.worst = max(self.worst, now - last - _TICK_S)
            last = now


_ticker = _Ticker()


def measure(target: Target, data: bytes) -> Cost:
    """Run one input and say what it cost."""
    before = _resident("VmRSS")
    Path("/proc/self/clear_refs").write_text("5")
    _ticker.worst = 0.0
    began, pixels = time.thread_time(), 0
    try:
        pixels, outcome = target.run(data), "OK"
    except ServiceError as error:
        outcome = error.reason.value
    except RefusedError as error:
        outcome = f"refused {error.status}"
    except Exception as error:
        known = type(error).__name__ == "DecodeError"
        outcome = "no message" if known else f"unexpected {type(error).__name__}"
    spent = time.thread_time() - began
    loop = target.on_loop and len(data) <= OFF_LOOP_BYTES
    stall = spent if loop else min(_ticker.worst, spent)
    return Cost(spent, max(_resident("VmHWM") - before, 0), stall, pixels, outcome)


def _resident(name: str) -> int:
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(name):
            return int(line.split()[1]) * 1024
    return 0


def serve(targets: tuple[Target, ...]) -> None:
    """Measure what stdin asks for until it ends."""
    resource.setrlimit(resource.RLIMIT_AS, (MAX_MEMORY, MAX_MEMORY))
    _ticker.start()
    source, answers = sys.stdin.buffer, sys.stdout
    while head := source.read(_HEAD.size):
        number, length = _HEAD.unpack(head)
        data = source.read(length)
        used = int(time.process_time() + MAX_CPU_S) + 1
        resource.setrlimit(resource.RLIMIT_CPU, (used, resource.RLIM_INFINITY))
        answers.write(json.dumps(asdict(measure(targets[number], data))) + "\n")
        answers.flush()


def framed(number: int, data: bytes) -> bytes:
    """An input as the process reads it."""
    return _HEAD.pack(number, len(data)) + data


if __name__ == "__main__":
    serve((*TARGETS, PLANTED))
