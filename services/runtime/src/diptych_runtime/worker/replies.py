"""Turns answers of an engine into serialised replies."""

from __future__ import annotations

import time
from dataclasses import dataclass

from diptych import Provenance, SegmentResult, Task
from diptych.wire.replies import result_message, set_timings
from diptych.wire.requests import read_encoding, read_task

from ..engine.protocol import Answer, LoadedModel
from .work import Work


@dataclass(frozen=True)
class ReplyWriter:
    """Fills replies for one loaded model."""

    model_id: str
    loaded: LoadedModel

    def write(self, work: Work, answer: Answer) -> tuple[bytes, dict[str, float]]:
        """The serialised reply, and seconds by stage as named in ``Timings``."""
        started = time.monotonic()
        encoding = read_encoding(work.request.output.mask_encoding)
        assert encoding is not None
        assert work.image is not None
        task = read_task(work.request.task)
        result = SegmentResult(
            model_id=self.model_id,
            segments=answer.segments,
            image_size=work.image.size,
            image_sha256=work.digest,
            provenance=(provenance(self.model_id, self.loaded, task, work.cache_hit),),
            request_id=work.request_id,
            omitted=answer.omitted,
        )
        reply = result_message(result, encoding)
        seconds = _stages(work, postprocess_s=time.monotonic() - started)
        set_timings(reply.timings, seconds)
        return reply.SerializeToString(), seconds


def provenance(
    model_id: str, loaded: LoadedModel, task: Task | None, cache_hit: bool = False
) -> Provenance:
    """What answers a task; ``cache_hit``: with features that were still held."""
    weights = next(w for w in loaded.weights if not w.tasks or task in w.tasks)
    return Provenance(
        model_id=model_id,
        weights=weights.name,
        weights_sha256=weights.sha256.hex(),
        tier=loaded.tier,
        device=loaded.device,
        dtype=loaded.dtype,
        image_cache_hit=cache_hit,
        software=loaded.software,
    )


def _stages(work: Work, *, postprocess_s: float) -> dict[str, float]:
    """Seconds by stage; what no stage accounts for was waiting."""
    total = time.monotonic() - work.received
    seconds = {
        "decode": work.decode_s,
        "encode": work.encode_s,
        "predict": max(work.model_s - work.encode_s, 0.0),
        "postprocess": postprocess_s,
    }
    waited = max(total - sum(seconds.values()), 0.0)
    return {"queue": waited, **seconds, "total": total}
