"""A fake engine whose features can be kept on a disk."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from dataclasses import replace

from fake_engine import FakeEngine

from diptych_runtime.engine import Features, LoadedModel, LoadedWeights


class KeepingFake(FakeEngine):
    """``FAKE_WEIGHTS`` and ``FAKE_TIER`` are what it loads."""

    def load(self) -> LoadedModel:
        weights = LoadedWeights("fake", os.environ.get("FAKE_WEIGHTS", "w").encode() * 32, "", 0)
        tier = os.environ.get("FAKE_TIER", "exact")
        return replace(super().load(), weights=(weights,), tier=tier)

    def pack(self, features: Features) -> tuple[str, Sequence[memoryview]]:
        label, behaviour, size = features.payload  # type: ignore[misc]
        return json.dumps([behaviour, size]), [memoryview(label.encode()), memoryview(bytes(1000))]

    def unpack(self, kind: str, note: str, blocks: Sequence[memoryview]) -> Features:
        behaviour, size = json.loads(note)
        label, filling = blocks
        assert bytes(filling) == bytes(1000)
        payload = (bytes(label).decode(), tuple(behaviour), tuple(size))
        return Features(payload, 3 * size[0] * size[1])


def create() -> KeepingFake:
    return KeepingFake()
