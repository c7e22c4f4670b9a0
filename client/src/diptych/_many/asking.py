"""Asking for many pictures: failures are values, and what found no room is asked again."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import aclosing
from dataclasses import replace

from .._arguments import RequestOptions, encode_image, source_of
from .._pictures.encoding import JpegQuality
from .._types.errors import DiptychError
from .._types.many import Item, done_item, failed_item
from .._types.results import SegmentResult
from .again import Again, Hope
from .items import Asked
from .order import map_in_order, map_in_order_async
from .pace import Pace, Places, ThreadPace

Segment = Callable[[bytes, RequestOptions], SegmentResult]
"""Asks once, about the file of a picture."""
AsyncSegment = Callable[[bytes, RequestOptions], Awaitable[SegmentResult]]


def ask_many(
    segment: Segment,
    items: Iterator[Asked],
    *,
    quality: JpegQuality,
    concurrency: int,
    patience: float,
) -> Iterator[Item]:
    """The answers, in order; ``patience`` as for ``Hope``."""
    pace, hope = ThreadPace(concurrency), Hope(patience)

    def ask(asked: Asked) -> SegmentResult:
        options = _options(asked)
        # Read once: a file that cannot be wound back is not there a second time.
        data, again = encode_image(asked.image, quality).data, Again(hope)
        while True:
            with pace.place():
                try:
                    result = segment(data, options)
                except DiptychError as error:
                    wait_s = _wait_s(again, pace, error)
                    if wait_s is None:
                        raise
                else:
                    _heard(hope, pace)
                    return result
            pace.sleep(wait_s)

    def work(asked: Asked) -> Item:
        try:
            return _item(asked, ask(asked))
        except Exception as error:  # one bad image must not end the others
            return failed_item(asked.image, error, asked.index)

    try:
        yield from map_in_order(work, items, concurrency=concurrency)
    finally:
        pace.stop()


async def ask_many_async(
    segment: AsyncSegment,
    items: Iterator[Asked],
    *,
    quality: JpegQuality,
    concurrency: int,
    patience: float,
) -> AsyncIterator[Item]:
    """The twin of ``ask_many``."""
    pace, hope = Pace(concurrency), Hope(patience)

    async def ask(asked: Asked) -> SegmentResult:
        again, options = Again(hope), _options(asked)
        data = (await asyncio.to_thread(encode_image, asked.image, quality)).data
        while True:
            async with pace:
                try:
                    result = await segment(data, options)
                except DiptychError as error:
                    wait_s = _wait_s(again, pace, error)
                    if wait_s is None:
                        raise
                else:
                    _heard(hope, pace)
                    return result
            await asyncio.sleep(wait_s)

    async def work(asked: Asked) -> Item:
        try:
            return _item(asked, await ask(asked))
        except Exception as error:  # one bad image must not end the others
            return failed_item(asked.image, error, asked.index)

    found = map_in_order_async(work, items, concurrency=concurrency)
    async with aclosing(found) as answers:
        async for item in answers:
            yield item


def _options(asked: Asked) -> RequestOptions:
    if isinstance(asked.options, Exception):
        raise asked.options
    return asked.options


def _item(asked: Asked, result: SegmentResult) -> Item:
    named = replace(result, source=source_of(asked.image))
    return done_item(asked.image, named, asked.index)


def _wait_s(again: Again, pace: Places, error: DiptychError) -> float | None:
    wait_s = again.wait_s(error)
    if wait_s is not None:
        pace.refused()
    return wait_s


def _heard(hope: Hope, pace: Places) -> None:
    hope.hear()
    pace.answered()
