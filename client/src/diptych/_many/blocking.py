"""Many pictures, and many prompts, for ``Client``; ``asynchronous`` is its twin."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from functools import partial

from .._arguments import FEW_PROMPTS, BoxLike, ImageLike, PointLike, RequestOptions, encode_image
from .._pictures.encoding import JpegQuality
from .._transport.blocking import Transport
from .._transport.calls import Deadline
from .._transport.timeouts import DEFAULT, Timeout
from .._types.errors import AuthenticationError
from .._types.many import Item
from .._types.prompts import AutomaticOptions, OutputOptions, Prompt, Task
from .._types.results import SegmentResult
from ..wire import replies, requests
from ..wire.cards import card_request
from .again import DEFAULT_PATIENCE_S, checked_patience
from .asking import ask_many
from .items import asked_items
from .order import check_concurrency
from .parts import joined, parts_of


class ManyMethods:
    """What a client does with many pictures, or with more prompts than a request takes."""

    _wire: Transport

    def _segment(
        self, image: ImageLike, options: RequestOptions, quality: JpegQuality, timeout: Timeout
    ) -> SegmentResult:
        raise NotImplementedError

    def segment_many(
        self,
        images: str | os.PathLike[str] | Iterable[ImageLike],
        *,
        concurrency: int = 4,
        model: str | None = None,
        task: Task | str | None = None,
        prompts: Iterable[Prompt] | None = None,
        points: Iterable[PointLike] | None = None,
        boxes: Iterable[BoxLike] | None = None,
        prompts_per_image: Iterable[Iterable[Prompt]] | None = None,
        output: OutputOptions | None = None,
        automatic: AutomaticOptions | None = None,
        jpeg_quality: JpegQuality = "auto",
        timeout: Timeout = DEFAULT,
        patience: float = DEFAULT_PATIENCE_S,
    ) -> Iterator[Item]:
        """What one model finds in many images, in their order, failures as values.

        ``images`` is a folder (its pictures in order of name) or an iterable, which is
        read only a little ahead of the results that are taken. At most ``concurrency`` images
        are asked at a time, each with a ``timeout`` of its own.

        Args:
            prompts_per_image: instead of prompts for all, those of each image: as many entries as
                images, read in step with them.
            patience: what the server has no room for, or is not loaded for yet, is asked again
                when it suggests to, with fewer at a time. After so many seconds in which it
                answered nothing it is an error; 0 does not wait.

        Other arguments as in ``segment``.

        Raises:
            OSError: the folder cannot be read.
            TypeError, ValueError: an argument cannot be used, or there are not as many entries as
                images; if that is not known before, it is raised where one of both ends.
        """
        given = {
            "model": model,
            "task": task,
            "prompts": prompts,
            "points": points,
            "boxes": boxes,
            "output": output,
            "automatic": automatic,
        }
        return ask_many(
            partial(self._segment, quality="auto", timeout=timeout),
            asked_items(images, prompts_per_image, given),
            quality=jpeg_quality,
            concurrency=check_concurrency(concurrency),
            patience=checked_patience(patience),
        )

    def _segment_in_parts(
        self, image: ImageLike, options: RequestOptions, quality: JpegQuality, timeout: Timeout
    ) -> SegmentResult:
        deadline = self._wire.deadline(timeout)
        encoded = encode_image(image, quality)
        most = self._most_prompts(options, deadline)
        parts = parts_of(options, len(encoded.data), self._wire.limits, most)
        results = []
        for part in parts:
            build = partial(requests.segment_request, part.options)
            method = self._wire.segments.Segment
            with part.told():
                reply = self._wire.ask(method, encoded.data, build, quality, deadline)
            results.append(replies.read_result(reply))
        return joined(parts, results, options.output.max_segments)

    def _most_prompts(self, options: RequestOptions, deadline: Deadline) -> int:
        """How many a request takes; 0 if that is not bounded."""
        if len(options.prompts) <= FEW_PROMPTS:
            return 0
        request, method = card_request(options.model_id), self._wire.segments.GetModelCard
        try:
            reply = self._wire.rpc(method, request, deadline)
        except AuthenticationError:  # a token that is for asking alone
            return FEW_PROMPTS
        return reply.model_card.limits.max_prompts
