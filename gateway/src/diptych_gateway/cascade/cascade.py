"""Two models that answer as one: the first finds and labels, the second redraws each box."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import contextmanager

import grpc
import structlog
from google.protobuf.message import DecodeError
from google.rpc import status_pb2

from diptych import DiptychError, MaskEncoding, OutputOptions, Prompt, Segment, SegmentResult, Task
from diptych.segment import v1 as pb
from diptych.wire.cards import card_reply
from diptych.wire.replies import read_timings, stages
from diptych.wire.requests import (
    RequestOptions,
    image_by_digest,
    read_encoding,
    read_task,
    segment_request,
)
from diptych.wire.serialized import with_encoding, with_model_id
from diptych.wire.statuses import code_of
from diptych_runtime.calls import request_id
from diptych_runtime.engine import Reason, ServiceError, invalid
from diptych_runtime.front.stats import Stats

from ..backend.images import ImageCache, SentImage
from ..backend.model import Model
from ..backend.video_relay import VideoRelay
from ..request import Deadline, Permits, parse_request, serialize
from ..statuses import BackendError, failed, of_part, task_unsupported, too_late
from . import redraw
from .card import compose, unfit

_log: structlog.typing.FilteringBoundLogger = structlog.get_logger()


class Cascade:
    """A ``Model`` made of two others; it has no process and no state of its own but counters.

    Errors of either keep code and reason and name the one that they come from.
    """

    def __init__(
        self,
        model_id: str,
        detector: Model,
        segmenter: Model,
        *,
        cache: ImageCache,
        in_flight_requests: int,
        in_flight_bytes: int,
    ) -> None:
        self.model_id = model_id
        self._detector = detector
        self._segmenter = segmenter
        self._cache = cache
        # The image is kept while the segmenter works, when the detector has let go of it.
        self._permits = Permits(
            model_id, requests=in_flight_requests, request_bytes=in_flight_bytes
        )
        self._stats = Stats()

    @property
    def in_flight(self) -> int:
        """Calls that it has at this moment."""
        return self._permits.in_flight

    @property
    def card(self) -> pb.ModelCard | None:
        """The card of both, as theirs are now; ``None`` until both were seen."""
        detector, segmenter = self._detector.card, self._segmenter.card
        if detector is None or segmenter is None:
            return None
        return compose(self.model_id, detector, segmenter)

    @property
    def status(self) -> status_pb2.Status:
        """OK, or why one of both cannot be reached."""
        return self._detector.status if self._detector.status.code else self._segmenter.status

    async def call(self, method: str, request: bytes, *, timeout_s: float) -> bytes:
        """Answer as ``Model.call``; card and figures are known while both models can be reached."""
        if method not in ("GetModelCard", "GetModelStats"):
            raise LookupError(f"expected GetModelCard or GetModelStats, got {method[:100]!r}")
        if self.status.code:
            raise BackendError(self.status)
        if method == "GetModelCard":
            return card_reply(self.card).SerializeToString()
        stats = self._stats.message()
        stats.running_count = self.in_flight
        return stats.SerializeToString()

    async def segment(self, request: bytes, image: SentImage, deadline: Deadline) -> bytes:
        """Ask both. As ``Model.segment``."""
        own = Deadline(time.monotonic() + deadline.for_backend_s(), reserve_s=0.0)
        with self._counted(), self._permits.taken(len(request)), self._permits.holding(request):
            return await self._segment(request, image, own)

    def video(
        self, start: bytes, requests: AsyncIterator[bytes], deadline: Deadline | None
    ) -> VideoRelay:
        """Refuse: a cascade answers about single images. As ``Model.video``."""
        raise task_unsupported(self.model_id, pb.Task.TASK_VIDEO_SEGMENTATION)

    async def _segment(self, raw: bytes, image: SentImage, deadline: Deadline) -> bytes:
        request = await parse_request(pb.SegmentRequest, raw)
        self._check(request)
        found = await self._detect(raw, image, deadline)
        prompts = redraw.box_prompts(found)
        drawn, answers = await self._draw(found, [*prompts.values()], request, deadline)
        redrawn = dict(zip(prompts, drawn, strict=True))
        reply = await self._combine(found, redrawn, answers, request, deadline)
        held = all(part.image_cache_hit for part in reply.provenance)
        task = Task.INSTANCE_SEGMENTATION
        self._stats.count_answer(task, stages(read_timings(reply.timings)), held=held)
        return await serialize(reply)

    def _check(self, request: pb.SegmentRequest) -> None:
        """Refuse what the detector would not: it is asked for masks of its own, whatever comes.

        Raises:
            BackendError: one of both was never seen.
            ServiceError: the request cannot be used, or the two do not fit.
        """
        detector, segmenter = self._detector.card, self._segmenter.card
        if detector is None or segmenter is None:
            raise BackendError((self._segmenter if detector else self._detector).status)
        if read_task(request.task) is None:
            text = f"expected one of the tasks, got {request.task}"
            raise invalid(Reason.OPTION_INVALID, "task", text)
        why = unfit(detector, segmenter)
        if why or request.task != pb.Task.TASK_INSTANCE_SEGMENTATION:
            raise task_unsupported(self.model_id, request.task, why)
        encoding = request.output.mask_encoding
        if read_encoding(encoding) is None:
            text = f"expected one of the encodings, got {encoding}"
            raise invalid(Reason.OPTION_INVALID, "output.mask_encoding", text)

    async def _detect(self, raw: bytes, image: SentImage, deadline: Deadline) -> SegmentResult:
        """Send the detector the very request; its answer has masks to compare."""
        model = self._detector
        request = with_encoding(with_model_id(raw, model.model_id), MaskEncoding.COCO_RLE)
        with _naming_errors(model.model_id):
            reply = await model.segment(request, image, deadline)
        return await _read(model.model_id, reply)

    async def _draw(
        self,
        found: SegmentResult,
        prompts: Sequence[Prompt],
        request: pb.SegmentRequest,
        deadline: Deadline,
    ) -> tuple[list[Segment], list[SegmentResult]]:
        """Ask the segmenter for its best answer to each prompt; returns those, and its replies.

        There is one reply for as many prompts as it takes at a time, one after the other, so that
        its other callers are served in between.
        """
        card = self._segmenter.card
        batch_size = (card.limits.max_prompts if card else 0) or max(len(prompts), 1)
        drawn: list[Segment] = []
        replies: list[SegmentResult] = []
        for start in range(0, len(prompts), batch_size):
            batch = prompts[start : start + batch_size]
            reply = await self._ask_segmenter(found, batch, request, deadline)
            try:
                drawn += redraw.best_answers(reply, len(batch), found.image_size)
            except ValueError as error:
                raise _broken(self._segmenter.model_id, error) from error
            replies.append(reply)
        return drawn, replies

    async def _ask_segmenter(
        self,
        found: SegmentResult,
        prompts: Sequence[Prompt],
        request: pb.SegmentRequest,
        deadline: Deadline,
    ) -> SegmentResult:
        """Ask by digest: in a comparison the segmenter has the image already, or has it soon."""
        model = self._segmenter
        image = image_by_digest(bytes.fromhex(found.image_sha256))
        options = RequestOptions(
            model.model_id,
            Task.PROMPTED_SEGMENTATION,
            tuple(prompts),
            OutputOptions(low_res_logits=request.output.low_res_logits),
        )
        with _naming_errors(model.model_id):
            raw = segment_request(options, image).SerializeToString()
            held = SentImage(image, self._cache, request.image.encoded)
            reply = await model.segment(raw, held, deadline)
        return await _read(model.model_id, reply)

    async def _combine(
        self,
        found: SegmentResult,
        redrawn: dict[int, Segment],
        answers: list[SegmentResult],
        request: pb.SegmentRequest,
        deadline: Deadline,
    ) -> pb.SegmentResponse:
        """Put the answers of both together, in the encoding asked for.

        Raises:
            ServiceError: there was no time left for it.
        """
        encoding = read_encoding(request.output.mask_encoding)
        assert encoding is not None
        stop = threading.Event()
        try:
            async with asyncio.timeout(max(deadline.for_agreement_s(), 0.0)):
                reply = await asyncio.to_thread(
                    redraw.combined, found, redrawn, answers, encoding, stop.is_set
                )
        except TimeoutError as error:
            raise too_late(self.model_id) from error
        finally:
            stop.set()  # a thread that nobody waits for ends at its next segment
        reply.model_id, reply.request_id = self.model_id, request_id()
        return reply

    @contextmanager
    def _counted(self) -> Iterator[None]:
        """Count how a request ends."""
        code = grpc.StatusCode.INTERNAL
        try:
            yield
            code = grpc.StatusCode.OK
        except BackendError as error:
            code = code_of(error.status)
            raise
        except ServiceError as error:
            code = error.code
            raise
        except asyncio.CancelledError:
            code = grpc.StatusCode.CANCELLED
            raise
        finally:
            self._stats.count_outcome(code)


@contextmanager
def _naming_errors(model_id: str) -> Iterator[None]:
    """Name the service in its statuses, as the caller asked for neither of both."""
    try:
        yield
    except BackendError as error:
        raise of_part(error, model_id) from error


async def _read(model_id: str, reply: bytes) -> SegmentResult:
    try:
        return await asyncio.to_thread(redraw.read, reply)
    except (DecodeError, DiptychError) as error:
        raise _broken(model_id, error) from error


def _broken(model_id: str, error: Exception) -> ServiceError:
    _log.error("answer is no answer", model=model_id, cause=str(error))
    return failed(model_id)
