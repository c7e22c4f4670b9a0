"""A fake engine whose time, memory and faults a running test programs.

``HARNESS_ENGINE`` names another factory than the one here. ``HARNESS_PLAN`` names a JSON file with
the fields of ``Plan``; it is read again when it changes, so a fault begins and ends under load.
What a single image does is in its top left pixel: the behaviours of ``fake_engine``, and those
below. ``HARNESS_WORK`` names a file that gets a line for each piece of model time: kind, watermark,
start and end on the clock that processes share.
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path

import numpy as np
from fake_engine import watermark
from fake_video import FakeSession, FakeVideoEngine

from diptych import Mask, Prompt, Task
from diptych_runtime.engine import (
    Answer,
    DeviceLostError,
    Features,
    FrameAnswer,
    Job,
    LoadedModel,
    Pixels,
    Reason,
    ServiceError,
    Steps,
    VideoOptions,
)

NAN = (255, 0, 40)
MEMORY_ERROR = (255, 0, 41)
STEPPED = (255, 0, 42)
"""200 steps of 20 ms, each noted in the log of the fake engine and of work."""
WRONG_SIZE = (255, 0, 43)
GREEDY = (255, 0, 44)
"""Takes memory until the system ends the process; for one that has a limit."""

_STEPPED_STEPS, _STEPPED_S = 200, 0.02
_MIX_EVERY = 50


@dataclass(frozen=True)
class Plan:
    """What the engine does from now on. Seconds, and bytes."""

    load_s: float = 0.0
    embed_s: float = 0.0
    segment_s: float = 0.0
    """Of a request that is not a prompt; in one step unless ``step_s`` is set."""
    prompt_s: float = 0.0
    frame_s: float = 0.0
    step_s: float = 0.0
    times: float = 1.0
    """Factor of all times above."""
    fault: str = ""
    """Of every image: ``raise``, ``crash``, ``hang``, ``lost``, ``no_memory``, ``memory_error``,
    ``nan``, ``wrong_size``, ``no_answer``, ``mixed_up`` (one in 50 answers is somebody else's)."""
    leak_bytes: int = 0
    """Kept for ever by each request."""
    hold_bytes: int = 0
    """Held in all."""

    def write(self, path: Path) -> None:
        """Put the plan in force for engines that read this file."""
        new = path.with_suffix(".new")
        new.write_text(json.dumps(asdict(self)))
        new.replace(path)


class _Planned:
    """The plan of this moment."""

    def __init__(self) -> None:
        self._path = os.environ.get("HARNESS_PLAN", "")
        self._stamp = -1
        self._plan = Plan()

    def __call__(self) -> Plan:
        if not self._path:
            return self._plan
        try:
            stamp = os.stat(self._path).st_ino ^ os.stat(self._path).st_mtime_ns
            if stamp != self._stamp:
                known = {field.name for field in fields(Plan)}
                values = json.loads(Path(self._path).read_text())
                self._plan = Plan(**{k: v for k, v in values.items() if k in known})
                self._stamp = stamp
        except FileNotFoundError:
            self._plan = Plan()
        return self._plan


plan = _Planned()


@contextmanager
def worked(kind: str, mark: str) -> Iterator[None]:
    """Note the time that this takes as model time for one image."""
    start = time.monotonic()
    try:
        yield
    finally:
        if path := os.environ.get("HARNESS_WORK"):
            with Path(path).open("a") as log:
                log.write(f"{kind} {mark} {start:.6f} {time.monotonic():.6f}\n")


class HarnessEngine(FakeVideoEngine):
    """See the module."""

    def __init__(self) -> None:
        self._leaked: list[bytearray] = []
        self._held = bytearray()
        self._answers = 0

    def load(self) -> LoadedModel:
        time.sleep(plan().load_s)
        loaded = super().load()
        name = os.environ.get("HARNESS_MODEL", "fake")
        return replace(loaded, card={**loaded.card, "id": name, "display_name": name})

    def embed(self, pixels: Pixels, kind: str) -> Features:
        now, mark = plan(), watermark(pixels)
        corner = tuple(int(value) for value in pixels[0, 0])
        self._take_memory(now)
        with worked("embed", mark):
            time.sleep(now.embed_s * now.times)
        if now.fault == "memory_error" or corner == MEMORY_ERROR:
            np.ones(1 << 44)  # more than any machine has
        if corner == GREEDY:
            _take_all()
        _fail(now.fault)
        return super().embed(pixels, kind)

    def segment(self, features: Features, pixels: Callable[[], Pixels], job: Job) -> Steps[Answer]:
        mark, corner, _ = features.payload  # type: ignore[misc]
        now = plan()
        if corner == STEPPED:
            for _ in range(_STEPPED_STEPS):
                with worked("step", mark):
                    time.sleep(_STEPPED_S)
                yield
        prompted = job.task is Task.PROMPTED_SEGMENTATION
        left = (now.prompt_s if prompted else now.segment_s) * now.times
        while left > 0:
            part = min(left, now.step_s or left)
            with worked("prompt" if prompted else "segment", mark):
                time.sleep(part)
            left -= part
            yield
        answer = yield from super().segment(features, pixels, job)
        return self._spoil(answer, now.fault, corner)

    def _spoil(self, answer: Answer, fault: str, corner: tuple[int, ...]) -> Answer:
        self._answers += 1
        if fault == "no_answer":
            return None  # type: ignore[return-value]
        if fault == "mixed_up" and self._answers % _MIX_EVERY == 0:
            return Answer(tuple(replace(one, label="0" * 16) for one in answer.segments))
        if fault == "nan" or corner == NAN:
            return Answer(tuple(replace(one, score=float("nan")) for one in answer.segments))
        if fault == "wrong_size" or corner == WRONG_SIZE:
            small = Mask.from_array(np.ones((3, 5), bool))
            return Answer(tuple(replace(one, mask=small) for one in answer.segments))
        return answer

    def _take_memory(self, now: Plan) -> None:
        if now.leak_bytes:
            self._leaked.append(bytearray(os.urandom(1) * now.leak_bytes))
        if now.hold_bytes != len(self._held):
            self._held = bytearray(b"x" * now.hold_bytes)

    def open_session(self, options: VideoOptions) -> FakeSession:
        return _Session(options)


class _Session(FakeSession):
    def add_frame(self, frame_index: int, pixels: Pixels) -> Steps[FrameAnswer]:
        now = plan()
        with worked("frame", watermark(pixels)):
            time.sleep(now.frame_s * now.times)
        _fail(now.fault)
        return (yield from super().add_frame(frame_index, pixels))

    def prompt(
        self, object_id: int, frame_index: int, prompt: Prompt
    ) -> Steps[tuple[FrameAnswer, ...]]:
        _fail(plan().fault)
        return (yield from super().prompt(object_id, frame_index, prompt))


def _fail(fault: str) -> None:
    if fault == "raise":
        raise RuntimeError(f"secret at {hex(id(fault))} in /usr/lib/python")
    if fault == "crash":
        os._exit(9)
    if fault == "hang":
        time.sleep(3600)
    if fault == "lost":
        raise DeviceLostError("the device fell off the bus")
    if fault == "no_memory":
        raise ServiceError(Reason.DEVICE_MEMORY, "the device has no memory left for this")


def _take_all() -> None:
    taken = []
    while sum(map(len, taken)) < 4_000_000_000:  # of which a limit has to spare the machine
        taken.append(b"x" * 20_000_000)


def create() -> HarnessEngine:
    """The factory that services name."""
    return HarnessEngine()


if __name__ == "__main__":
    from diptych_runtime.main import ServiceSpec, run

    name = os.environ.get("HARNESS_MODEL", "fake")
    factory = os.environ.get("HARNESS_ENGINE", "harness.engine:create")
    run(ServiceSpec(name, 0, factory, (), ""), sys.argv[1:])
