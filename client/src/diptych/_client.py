"""The client for ordinary programs; ``_async_client`` is its twin."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from functools import partial
from types import TracebackType
from typing import TYPE_CHECKING

from ._arguments import (
    BoxLike,
    ImageLike,
    PointLike,
    RequestOptions,
    make_options,
    source_of,
)
from ._clips.blocking import ClipMethods
from ._many.blocking import ManyMethods
from ._pictures.encoding import JpegQuality
from ._transport.blocking import Transport
from ._transport.calls import RequestBuilder
from ._transport.channel import ChannelOptions
from ._transport.timeouts import DEFAULT, DEFAULT_TIMEOUT_S, Timeout
from ._transport.tls import TlsOptions
from ._types.agreement import Agreements
from ._types.cards import KnownModel, ModelCard
from ._types.errors import ModelNotFoundError, SessionLostError
from ._types.health import ServingStatus
from ._types.prompts import AutomaticOptions, OutputOptions, Prompt, Task
from ._types.results import Comparison, Outcome, SegmentResult
from ._types.stats import ModelStats
from ._types.video import DEFAULT_JPEG_QUALITY
from ._video.options import make_video_options
from ._video.session import VideoSession
from .segment import v1 as pb
from .wire import comparison, replies, requests
from .wire.cards import card_request, cards_request, read_card, read_known_model
from .wire.health import health_request, read_health
from .wire.stats import read_stats, stats_request

if TYPE_CHECKING:
    from typing_extensions import Self

_Builder = RequestBuilder[pb.StreamCompareRequest]


class Client(ClipMethods, ManyMethods):
    """Asks a gateway or a single model service. Safe to share between threads.

    ``with Client() as client:`` closes it at the end. Without an address it
    takes that of the environment variable ``DIPTYCH_ADDRESS``, else ``localhost:50051``. With
    several, ``10.0.0.1:50051,10.0.0.2:50051``, calls are spread over those that say that they
    serve. A call fails after ``timeout`` seconds unless it says otherwise. ``retry`` repeats calls
    that are answered UNAVAILABLE: switch it on for a model service without a gateway before it,
    which retries by itself.

    ``tls`` encrypts the connection; ``True`` takes the files that ``DIPTYCH_CA_FILE``,
    ``DIPTYCH_CERT_FILE`` and ``DIPTYCH_KEY_FILE`` name. Without it the environment decides:
    ``DIPTYCH_TLS``, else whether one of them is set. ``token`` goes along with each call and, as a
    function, is asked for before each, so it should be quick; else it stands in the file that
    ``DIPTYCH_TOKEN_FILE`` names. Over plain text it is sent to this machine alone.

    Raises:
        OSError: a file cannot be read.
        ValueError: an argument or variable cannot be used, or the token could be read on the way.
    """

    def __init__(
        self,
        address: str | None = None,
        *,
        timeout: float | None = DEFAULT_TIMEOUT_S,
        retry: bool = False,
        options: ChannelOptions | None = None,
        tls: bool | TlsOptions | None = None,
        token: str | Callable[[], str] | None = None,
    ) -> None:
        self._wire = Transport(
            address,
            timeout=timeout,
            retry=retry,
            options=options or ChannelOptions(),
            tls=tls,
            token=token,
        )

    @property
    def address(self) -> str:
        """The target that this client talks to."""
        return self._wire.address

    def segment(
        self,
        image: ImageLike,
        *,
        model: str | None = None,
        task: Task | str | None = None,
        prompts: Iterable[Prompt] | None = None,
        points: Iterable[PointLike] | None = None,
        boxes: Iterable[BoxLike] | None = None,
        output: OutputOptions | None = None,
        automatic: AutomaticOptions | None = None,
        jpeg_quality: JpegQuality = "auto",
        timeout: Timeout = DEFAULT,
    ) -> SegmentResult:
        """What one model finds in one image.

        Args:
            image: a path, bytes, an open file, an array, a tensor, or a PIL image.
            model: id of the model; a model service knows its own.
            task: prompted segmentation if anything is prompted, else instance segmentation.
            prompts: wanted objects in full; they come first in the answer. More than a request
                takes are asked in several, one after the other, within one timeout. If all that
                is given of ``prompts``, ``points`` and ``boxes`` is empty, ``task`` has to be said.
            points: ``(x, y)`` or ``(x, y, positive)``, in pixels; together they are one object.
            boxes: ``(x_min, y_min, x_max, y_max)`` in pixels, one object each.
            output: what the answer holds.
            automatic: tuning for models that segment without prompts.
            jpeg_quality: of pixels, and of files other than JPEG, PNG and WebP, which are sent as
                they are: 1 to 100 sends JPEG, ``None`` PNG, which is exact; ``"auto"`` PNG while
                it fits a request, else JPEG of the first of 95, 90, 80, 65, 50, 35, 20 that does.
            timeout: seconds; ``None`` waits for ever.

        Raises:
            DiptychError: in one of its kinds.
            OSError, TypeError, ValueError: if the image or an argument cannot be read or used.
        """
        options = make_options(model, task, prompts, points, boxes, output, automatic)
        return self._segment(image, options, jpeg_quality, timeout)

    def compare(
        self,
        image: ImageLike,
        *,
        task: Task | str | None = None,
        models: Sequence[str] = (),
        match_iou: float | None = None,
        prompts: Iterable[Prompt] | None = None,
        points: Iterable[PointLike] | None = None,
        boxes: Iterable[BoxLike] | None = None,
        output: OutputOptions | None = None,
        automatic: AutomaticOptions | None = None,
        jpeg_quality: JpegQuality = "auto",
        timeout: Timeout = DEFAULT,
    ) -> Comparison:
        """What several models find in one image, and how far they agree. Gateway only.

        Args:
            models: ids, in the order of the answer; empty asks every model that does the task.
            match_iou: overlap from which two segments match; 0.5 if not given.

        Other arguments as in ``segment``. A model that fails is an outcome with an ``error``.
        """
        options = make_options(None, task, prompts, points, boxes, output, automatic)
        build = partial(comparison.compare_request, options, models=models, match_iou=match_iou)
        reply = self._wire.ask(self._wire.gateway.Compare, image, build, jpeg_quality, timeout)
        return replace(comparison.read_comparison(reply), source=source_of(image))

    def stream_compare(
        self,
        image: ImageLike,
        *,
        task: Task | str | None = None,
        models: Sequence[str] = (),
        match_iou: float | None = None,
        prompts: Iterable[Prompt] | None = None,
        points: Iterable[PointLike] | None = None,
        boxes: Iterable[BoxLike] | None = None,
        output: OutputOptions | None = None,
        automatic: AutomaticOptions | None = None,
        jpeg_quality: JpegQuality = "auto",
        timeout: Timeout = DEFAULT,
    ) -> Iterator[Outcome | Agreements]:
        """Like ``compare``, but each model's outcome as soon as it is there, agreements last."""
        options = make_options(None, task, prompts, points, boxes, output, automatic)
        make = comparison.stream_compare_request
        build = partial(make, options, models=models, match_iou=match_iou)
        return self._events(image, build, jpeg_quality, timeout)

    def video(
        self,
        *,
        model: str | None = None,
        output: OutputOptions | None = None,
        track_all: bool = False,
        resume: SessionLostError | None = None,
        auto_resume: bool = True,
        raise_refusals: bool = False,
        jpeg_quality: int | None = DEFAULT_JPEG_QUALITY,
        timeout: float | None = None,
    ) -> VideoSession:
        """Objects followed through a stream of frames; open it with a ``with`` block.

        ::

            with client.video(model="sam-2") as session:
                session.send(frame)
                session.prompt(1, box=(10, 20, 60, 80))
                for result in session.track(frames):
                    ...

        Args:
            model: id of the model; a model service knows its own.
            output: what results hold; candidates and logits are not available.
            track_all: follow every object that the model finds by itself.
            resume: the error of a session that was lost. The new one is sent the frames that this
                package still holds and the prompts on them, and answers those frames again;
                ``resume.checkpoint`` tells which objects have to be prompted anew.
            auto_resume: open the session again by itself where it is lost, and hand it over where
                the server warns; the caller gets each answer once. ``SessionLostError`` is then
                raised only where an object cannot be told, or after ten attempts within the
                client's timeout.
            raise_refusals: raise what the server refuses instead of yielding it; the session goes
                on either way.
            jpeg_quality: for arrays and PIL images, 1 to 100; ``None`` sends PNG, which is exact
                and several times slower. Files and bytes are sent unchanged.
            timeout: seconds for the whole session, for ever if not given. It is opened within the
                client's timeout.

        Raises:
            ValueError: an argument cannot be used.
        """
        options = make_video_options(
            model, output, track_all, resume, auto_resume, raise_refusals, jpeg_quality, timeout
        )
        return VideoSession(self._wire, options)

    def model_card(self, model: str | None = None, *, timeout: Timeout = DEFAULT) -> ModelCard:
        """The card of the model that is loaded; a model service knows its own id."""
        request = card_request(model or "")
        reply = self._wire.rpc(self._wire.segments.GetModelCard, request, timeout)
        return read_card(reply.model_card)

    def model_cards(self, *, timeout: Timeout = DEFAULT) -> tuple[KnownModel, ...]:
        """All models that the gateway knows, reachable or not. Gateway only."""
        request = cards_request()
        reply = self._wire.rpc(self._wire.gateway.ListModelCards, request, timeout)
        return tuple(read_known_model(entry) for entry in reply.models)

    def model_stats(self, model: str | None = None, *, timeout: Timeout = DEFAULT) -> ModelStats:
        """What the model has done since its process started."""
        request = stats_request(model or "")
        reply = self._wire.rpc(self._wire.segments.GetModelStats, request, timeout)
        return read_stats(reply)

    def health(self, service: str = "", *, timeout: Timeout = DEFAULT) -> ServingStatus:
        """What the server says about one of its services, or about itself."""
        try:
            reply = self._wire.rpc(self._wire.health, health_request(service), timeout)
        except ModelNotFoundError:
            return ServingStatus.SERVICE_UNKNOWN
        return read_health(reply)

    def close(self) -> None:
        """Closes the connection; calls that are on their way are cancelled."""
        self._wire.close()

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.address!r})"

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def _segment(
        self, image: ImageLike, options: RequestOptions, quality: JpegQuality, timeout: Timeout
    ) -> SegmentResult:
        if options.may_need_parts:
            found = self._segment_in_parts(image, options, quality, timeout)
            return replace(found, source=source_of(image))
        build = partial(requests.segment_request, options)
        reply = self._wire.ask(self._wire.segments.Segment, image, build, quality, timeout)
        return replace(replies.read_result(reply), source=source_of(image))

    def _events(
        self, image: ImageLike, build: _Builder, quality: JpegQuality, timeout: Timeout
    ) -> Iterator[Outcome | Agreements]:
        for message in self._wire.stream_compare(image, build, quality, timeout):
            event = comparison.read_compare_event(message)
            if event is not None:
                yield event
