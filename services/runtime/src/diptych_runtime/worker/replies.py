"""Turns answers of an engine into serialised replies."""

from __future__ import annotations

import time
from dataclasses import dataclass

from diptych import Task
from diptych.segment import v1 as pb

from ..engine.protocol import Answer, LoadedModel
from ..wire.convert import duration, encoding_from_wire, segment_to_wire, task_from_wire
from .work import Work


@dataclass(frozen=True)
class ReplyWriter:
    """Fills replies for one loaded model."""

    model_id: str
    loaded: LoadedModel

    def write(self, work: Work, answer: Answer) -> tuple[bytes, dict[str, float]]:
        """The serialised reply, and seconds by stage as named in ``Timings``."""
        started = time.monotonic()
        encoding = encoding_from_wire(work.request.output.mask_encoding)
        assert encoding is not None
        assert work.image is not None
        height, width = work.image.size
        reply = pb.SegmentResponse(
            model_id=self.model_id,
            segments=[segment_to_wire(segment, encoding) for segment in answer.segments],
            image_size=pb.ImageSize(height_px=height, width_px=width),
            image_sha256=bytes.fromhex(work.digest),
            provenance=[self._provenance(work)],
            request_id=work.request_id,
            omitted_segment_count=answer.omitted,
        )
        seconds = _stages(work, postprocess_s=time.monotonic() - started)
        for stage, spent in seconds.items():
            getattr(reply.timings, stage).CopyFrom(duration(spent))
        return reply.SerializeToString(), seconds

    def _provenance(self, work: Work) -> pb.Provenance:
        found = provenance(self.model_id, self.loaded, task_from_wire(work.request.task))
        found.image_cache_hit = work.cache_hit
        return found


def provenance(model_id: str, loaded: LoadedModel, task: Task | None) -> pb.Provenance:
    """What answers a task."""
    weights = next(w for w in loaded.weights if not w.tasks or task in w.tasks)
    return pb.Provenance(
        model_id=model_id,
        weights=weights.name,
        weights_sha256=weights.sha256,
        tier=loaded.tier,
        device=loaded.device,
        dtype=loaded.dtype,
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
