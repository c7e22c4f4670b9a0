"""Requests that a test holds inside the fake engine, and a log of what the engine did."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import fake_engine
import numpy as np
import pytest
from serving_helpers import automatic_request, eventually, picture, png

from diptych.segment import v1 as pb

_seeds = itertools.count(1000)


def fresh(corner: tuple[int, int, int] = (0, 0, 0)) -> np.ndarray:
    """Pixels that no test has used before."""
    return picture(corner, seed=next(_seeds))


class Gate:
    """Closed until a test opens it; gated pictures stay in the model for so long."""

    def __init__(self, folder: Path) -> None:
        self._gate = folder / "gate"
        self._log = folder / "log"

    @contextmanager
    def environment(self) -> Iterator[None]:
        """Engines that are started inside know of this gate."""
        names = {"FAKE_GATE": str(self._gate), "FAKE_LOG": str(self._log)}
        with pytest.MonkeyPatch.context() as patch:
            for name, value in names.items():
                patch.setenv(name, value)
            yield

    def open(self) -> None:
        self._gate.touch()

    def close(self) -> None:
        self._gate.unlink(missing_ok=True)

    def lines(self, what: str, pixels: np.ndarray | None = None) -> list[list[str]]:
        """What the engine noted: calls of one kind, of one picture if given."""
        if not self._log.exists():
            return []
        mark = fake_engine.watermark(pixels) if pixels is not None else None
        found = [line.split(" ") for line in self._log.read_text().splitlines()]
        return [line for line in found if line[0] == what and mark in (None, line[1])]

    async def occupy(self, stub: pb.SegmentServiceStub) -> tuple[np.ndarray, asyncio.Task[object]]:
        """A request that is in the model until the gate opens; its picture and its call."""
        self.close()
        pixels = fresh(fake_engine.GATED)
        call = ask(stub.Segment(automatic_request(png(pixels))))
        await eventually(lambda: self.lines("step", pixels), "the gated request is in the model")
        return pixels, call


def ask(call: object) -> asyncio.Task[object]:
    """Start a call now; cancelling the task cancels it."""

    async def wait() -> object:
        return await call  # type: ignore[misc]

    return asyncio.create_task(wait())
