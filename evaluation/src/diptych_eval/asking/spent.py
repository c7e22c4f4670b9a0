"""Adds up what the calls of one answer cost, and who answered them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from diptych import Provenance, SegmentResult

from ..results import Answer, Cost


@dataclass
class Spent:
    """What the calls of one answer cost so far."""

    wall_s: float = 0.0
    service_s: float = 0.0
    reply_bytes: int = 0
    calls: int = 0
    provenance: Sequence[Provenance] = ()

    def add(self, result: SegmentResult, wall_s: float) -> None:
        """Counts one request about a picture that took ``wall_s`` seconds for its caller."""
        self.wall_s += wall_s
        self.service_s += result.timings.total_s
        self.reply_bytes += _reply_bytes(result)
        self.calls += 1
        self.provenance = result.provenance

    def answer(self, name: str, key: str, value: Mapping[str, Any]) -> Answer:
        """Makes the answer with all that was counted; several networks' names are joined."""
        cost = Cost(self.wall_s, self.service_s, self.reply_bytes, self.calls)
        first = self.provenance[:1]
        return Answer(
            name,
            key,
            value,
            cost,
            tier=first[0].tier if first else "",
            weights="+".join(each.weights for each in self.provenance),
            weights_sha256="+".join(each.weights_sha256 for each in self.provenance),
            software=first[0].software if first else "",
        )


def _reply_bytes(result: SegmentResult) -> int:
    """Size of the message, or of what takes up most of it where several came."""
    if result.raw is not None:
        return result.raw.ByteSize()
    masks = sum(len(each.mask.to_coco()) for each in result.segments if each.mask)
    logits = [each.low_res_logits for each in result.segments if each.low_res_logits]
    return masks + sum(len(each.float16_le) for each in logits)
