"""Answers that are pictures: what was found, drawn over what was sent.

The gateway itself decodes nothing that strangers send. A process of its own does, as beside an
engine: bounded, and killed when it takes too long. Only what a model has read is drawn on.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from typing import TypeVar

from starlette.responses import Response

from diptych import Comparison, SegmentResult
from diptych.drawing import drawn_comparison, drawn_result, mask_pixels, to_png
from diptych_runtime.engine import Pixels, Reason, ServiceError, invalid
from diptych_runtime.wire.image_files import Data, pixel_count
from diptych_runtime.worker.decoder import Decoder
from diptych_runtime.worker.images import Limits

from ...request import Deadline
from .accept import PNG
from .query import MASK

MOST_PX = 25_000_000
"""Of a picture that is drawn on: 75 MB, and as much again for what is drawn."""
MOST_MASK_PX = 200_000_000
"""In the boxes of all masks of one answer; these take a processor some 20 s."""
_PANEL_PX = 1600
_AT_A_TIME = 2
# Whether a model takes it is the model's to say, and it has.
_LIMITS: Limits = {"max_pixels": MOST_PX, "min_side": 1, "max_aspect_ratio": MOST_PX}

T = TypeVar("T")


class Drawings:
    """Draws a few answers at a time; the others wait."""

    def __init__(self) -> None:
        self._room = asyncio.Semaphore(_AT_A_TIME)
        self._decoder: Decoder | None = None
        self._lock = threading.Lock()

    async def result(self, found: SegmentResult, file: Data | None, by: Deadline) -> Response:
        """Draw what one model found over the picture."""
        return await self._drawn(found, file, by, lambda pixels: drawn_result(found, pixels))

    async def comparison(self, found: Comparison, file: Data | None, by: Deadline) -> Response:
        """Draw what each model found, side by side."""
        return await self._drawn(
            found, file, by, lambda pixels: drawn_comparison(found, pixels, _PANEL_PX)
        )

    async def _drawn(
        self,
        found: SegmentResult | Comparison,
        file: Data | None,
        by: Deadline,
        draw: Callable[[Pixels], Pixels],
    ) -> Response:
        if file is None:
            raise ServiceError(Reason.IMAGE_NOT_HELD, "the picture to draw on is not held; send it")
        if (count := mask_pixels(found)) > MOST_MASK_PX:
            text = f"masks of at most {MOST_MASK_PX} pixels together are drawn, got {count}"
            raise ServiceError(
                Reason.IMAGE_TOO_LARGE, f"image: {text}; ask for application/json, or fewer"
            )
        left = threading.Event()

        def work() -> Response:
            return Response(to_png(draw(self._pixels(file, left))), media_type=PNG)

        try:
            async with asyncio.timeout(by.for_agreement_s()), self._room:
                return await asyncio.to_thread(work)
        except TimeoutError:
            raise ServiceError(Reason.DEADLINE, "no time was left to draw the answer") from None
        finally:
            left.set()

    def _pixels(self, file: Data, left: threading.Event) -> Pixels:
        with self._lock:
            self._decoder = decoder = self._decoder or Decoder()

        def check() -> None:
            if left.is_set():
                raise ServiceError(Reason.DEADLINE, "nobody waits for the drawing")

        return decoder.decode(file, _LIMITS, check)

    def close(self) -> None:
        """End the process that decodes."""
        if self._decoder is not None:
            self._decoder.close()
            self._decoder = None


def check_drawable(file: Data) -> None:
    """Refuse a picture that is too large to be drawn on, before a model is asked.

    Raises:
        ServiceError: IMAGE_TOO_LARGE.
    """
    if (count := pixel_count(file)) > MOST_PX:
        text = (
            f"image: at most {MOST_PX} pixels are drawn on, got {count}; ask for application/json"
        )
        raise ServiceError(Reason.IMAGE_TOO_LARGE, text)


def mask_response(found: SegmentResult, index: int) -> Response:
    """Answer with the mask of one segment: 255 where the object is, 0 elsewhere.

    Raises:
        ServiceError: there is no such segment, or it has no mask.
    """
    if index >= len(found):
        wanted = f"expected an index below {len(found)}, the number of segments, got {index}"
        raise invalid(Reason.OPTION_INVALID, MASK, wanted)
    mask = found[index].mask
    if mask is None:
        raise invalid(Reason.OPTION_INVALID, MASK, f"segment {index} has no mask")
    return Response(mask.to_png(), media_type=PNG)
