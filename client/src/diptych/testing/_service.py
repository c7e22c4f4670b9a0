"""The fake service: what it answers, and what it was asked."""

from __future__ import annotations

import hashlib
import itertools
import threading
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, replace
from types import TracebackType
from typing import TYPE_CHECKING

import grpc

from .._types.errors import Violation
from .._types.health import ServingStatus
from ..limits import MAX_REPLY_BYTES, MAX_REQUEST_BYTES
from ..segment import v1 as pb
from ._answers import Answer, FakeCall, FakeReply, VideoAnswer
from ._failures import Failed, Failure, make_failure
from ._images import image_size
from ._replies import default_card, default_segments, default_started

if TYPE_CHECKING:
    from typing_extensions import Self

_WITHOUT_MASKS = (pb.Task.TASK_OBJECT_DETECTION, pb.Task.TASK_KEYPOINT_DETECTION)


@dataclass(frozen=True)
class _Told:
    """What a model was told to fail with, how often, and on which frame of a video."""

    failure: Failure
    times: int | None
    frame_index: int | None


class FakeSegmentService:
    """A gateway and its models in this process, on a free port; a context manager.

    It answers every request with rectangles, holds images by digest, refuses what is no
    image, and knows the models that it is given. ``answer_with`` and ``fail`` change that;
    with ``gateway=False`` it is a model service that cannot compare.
    """

    def __init__(
        self,
        models: Sequence[str] = ("fake-model",),
        *,
        gateway: bool = True,
        max_request_bytes: int = MAX_REQUEST_BYTES,
    ) -> None:
        self.models = tuple(models)
        self.cards = {model: default_card(model) for model in models}
        """Cards by model, as messages; change them freely."""
        self.health: dict[str, ServingStatus] = {"": ServingStatus.SERVING}
        """What health checks say, by service."""
        self.delay_s = 0.0
        """How long each answer takes."""
        self.video_started = default_started()
        """Limits that video sessions are told and held to; change them freely."""
        self.video_session_count = 0
        """Video sessions that are open now."""
        self._video_requests: list[pb.SegmentVideoRequest] = []
        self._limit = max_request_bytes
        self._gateway = gateway
        self._lock = threading.Condition()
        self._requests: list[pb.SegmentRequest] = []
        self._images: dict[bytes, bytes] = {}
        self._answers: dict[str, Answer] = {}
        self._video_answers: dict[str, VideoAnswer] = {}
        self._failures: dict[str, _Told] = {}
        self._numbers = itertools.count(1)
        self._stopped = threading.Event()
        self._server: grpc.Server | None = None
        self.address = ""
        """``host:port``; empty until it is started."""

    @property
    def requests(self) -> tuple[pb.SegmentRequest, ...]:
        """Every question so far, one entry per call, images as they were sent."""
        with self._lock:
            return tuple(self._requests)

    @property
    def video_requests(self) -> tuple[pb.SegmentVideoRequest, ...]:
        """Every message of every video session so far."""
        with self._lock:
            return tuple(self._video_requests)

    def answer_with(self, answer: Answer, *, model: str | None = None) -> None:
        """Lets ``answer`` make the segments of one model, or of all."""
        with self._lock:
            self._answers.update(dict.fromkeys(self._chosen(model), answer))

    def answer_video_with(self, answer: VideoAnswer, *, model: str | None = None) -> None:
        """Lets ``answer`` make the objects of each frame for one model, or for all.

        Without it every object stays where its newest prompt was.
        """
        with self._lock:
            self._video_answers.update(dict.fromkeys(self._chosen(model), answer))

    def fail(
        self,
        reason: str = "",
        message: str = "told to fail",
        *,
        model: str | None = None,
        times: int | None = None,
        frame_index: int | None = None,
        code: grpc.StatusCode | None = None,
        metadata: Mapping[str, str] | None = None,
        violations: Sequence[Violation] = (),
        retry_after_s: float | None = None,
    ) -> None:
        """Lets one model, or all, fail for a reason of the error table, ``times`` or for ever.

        Without a reason, ``code`` is answered bare, as gRPC itself does. A video session ends with
        the failure; with ``frame_index`` only sessions fail, and only when they come to that frame.

        Raises:
            ValueError: for an unknown reason or model.
        """
        failure = make_failure(
            reason,
            message,
            code=code,
            metadata=metadata,
            violations=violations,
            retry_after_s=retry_after_s,
        )
        with self._lock:
            told = _Told(failure, times, frame_index)
            self._failures.update(dict.fromkeys(self._chosen(model), told))

    def recover(self) -> None:
        """Ends all failures."""
        with self._lock:
            self._failures.clear()

    def wait_for_requests(self, count: int, *, timeout: float = 10.0) -> None:
        """Waits until it was asked so many questions in all.

        Raises:
            TimeoutError: if they do not come in time.
        """
        with self._lock:
            if not self._lock.wait_for(lambda: len(self._requests) >= count, timeout):
                raise TimeoutError(f"{len(self._requests)} of {count} requests in {timeout} s")

    def forget_images(self) -> None:
        """Drops all images, so that digests are not held any more."""
        with self._lock:
            self._images.clear()

    def start(self) -> None:
        """Starts to listen on the loopback interface; after a stop, at the same address again."""
        from ._servicers import add_servicers

        self._stopped.clear()
        self._server = grpc.server(
            ThreadPoolExecutor(8, thread_name_prefix="diptych-fake"),
            options=[
                ("grpc.max_receive_message_length", self._limit),
                ("grpc.max_send_message_length", MAX_REPLY_BYTES),
            ],
        )
        add_servicers(self, self._server, gateway=self._gateway)
        self.address = f"127.0.0.1:{self._server.add_insecure_port(self.address or '127.0.0.1:0')}"
        self._server.start()

    def stop(self) -> None:
        """Stops; calls that are on their way fail."""
        self._stopped.set()
        if self._server is not None:
            self._server.stop(None).wait()

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()

    def next_request_id(self) -> str:
        """A request id; they count up."""
        return f"fake-{next(self._numbers)}"

    def note(self, request: pb.SegmentRequest) -> None:
        """Remembers a question."""
        with self._lock:
            self._requests.append(request)
            self._lock.notify_all()

    @contextmanager
    def open_video_session(self) -> Iterator[None]:
        """Counts as a session while it is held."""
        with self._lock:
            self.video_session_count += 1
        try:
            yield
        finally:
            with self._lock:
                self.video_session_count -= 1

    def note_video(self, request: pb.SegmentVideoRequest) -> None:
        """Remembers a message of a video session."""
        with self._lock:
            self._video_requests.append(request)

    def image_bytes(self, image: pb.Image) -> bytes:
        """The bytes of an image that is sent or held; ``Failed`` if it is neither."""
        if image.WhichOneof("source") == "encoded":
            return image.encoded
        with self._lock:
            held = self._images.get(image.sha256)
        if held is None:
            raise Failed(make_failure("IMAGE_NOT_HELD", "image: no picture of this digest"))
        return held

    def segments(self, model_id: str, request: pb.SegmentRequest, image: bytes) -> FakeReply:
        """What one model answers; ``Failed`` if it was told so or the image is none."""
        self.work(model_id)
        call = FakeCall(model_id, request, image, image_size(image))
        with self._lock:
            self._images[hashlib.sha256(image).digest()] = image
            answer = self._answers.get(model_id)
        found = answer(call) if answer else default_segments(request, call.image_size)
        if request.task in _WITHOUT_MASKS:
            found = [replace(segment, mask=None, area=0) for segment in found]
        return FakeReply(call, found)

    def video_answer(self, model_id: str) -> VideoAnswer | None:
        """What makes the objects of a model's frames; ``None`` for its prompts themselves."""
        with self._lock:
            return self._video_answers.get(model_id)

    def work(self, model_id: str, frame_index: int | None = None) -> None:
        """Takes the time of an answer; ``Failed`` if the model was told to fail."""
        if self.delay_s:
            self._stopped.wait(self.delay_s)
        self._raise_failure(model_id, frame_index)

    def _chosen(self, model: str | None) -> Sequence[str]:
        if model is not None and model not in self.models:
            raise ValueError(f"model: expected one of {self.models}, got {model!r}")
        return self.models if model is None else (model,)

    def _raise_failure(self, model_id: str, frame_index: int | None) -> None:
        with self._lock:
            told = self._failures.get(model_id)
            if told is None or told.frame_index not in (None, frame_index):
                return
            if told.times is not None and told.times <= 1:
                del self._failures[model_id]
            elif told.times is not None:
                self._failures[model_id] = replace(told, times=told.times - 1)
        raise Failed(told.failure)
