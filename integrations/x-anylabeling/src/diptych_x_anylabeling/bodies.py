"""What comes over the wire, read within bounds and checked."""

from __future__ import annotations

import asyncio
import base64
import binascii
import contextlib
import json
import math
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from starlette.requests import Request

from .refusals import RefusedError

_READ_S = 300.0
_DISCARD_S = 60.0


class Room:
    """Memory for bodies that are being read or worked on; those that do not fit are refused."""

    def __init__(self, size: int) -> None:
        self._free = size

    @asynccontextmanager
    async def body(self, request: Request, limit: int) -> AsyncIterator[dict[str, Any]]:
        """Hold the JSON object that a request brings.

        Raises:
            RefusedError: it is too large, there is no room for it, or it is no object.
        """
        declared = request.headers.get("content-length", "")
        size = int(declared) if declared.isdecimal() and len(declared) < 20 else limit
        if size > limit:
            # The client reads no answer before it has sent everything.
            await _discard(request)
            raise RefusedError(
                f"body: expected at most {limit} bytes, got {size}", status=413, code="TOO_LARGE"
            )
        if size > self._free:
            await _discard(request)
            raise RefusedError("too much is being read, try again", status=503, code="QUEUE_FULL")
        self._free -= size
        try:
            yield await asyncio.to_thread(_parse, await _read(request, limit))
        finally:
            self._free += size


async def _read(request: Request, limit: int) -> bytearray:
    data = bytearray()
    try:
        async with asyncio.timeout(_READ_S):
            async for part in request.stream():
                data += part
                if len(data) > limit:
                    break
    except TimeoutError:
        text = f"body: expected all of it within {_READ_S:g} s"
        raise RefusedError(text, status=408, code="TIMEOUT") from None
    if len(data) > limit:
        await _discard(request)
        text = f"body: expected at most {limit} bytes, got more"
        raise RefusedError(text, status=413, code="TOO_LARGE")
    return data


async def _discard(request: Request) -> None:
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(_DISCARD_S):
            while (await request.receive()).get("more_body"):
                pass


def _parse(data: bytearray) -> dict[str, Any]:
    try:
        found = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise RefusedError(f"body: expected JSON, {error}") from None
    return an_object(found, "body")


def an_object(value: object, where: str) -> dict[str, Any]:
    """Take a JSON object; a null is an empty one.

    Raises:
        RefusedError: it is something else.
    """
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise RefusedError(f"{where}: expected an object, got {type(value).__name__}")
    return value


def a_list(value: object, where: str) -> list[Any]:
    """Take a JSON list; a null is an empty one.

    Raises:
        RefusedError: it is something else.
    """
    if value is None:
        return []
    if not isinstance(value, list):
        raise RefusedError(f"{where}: expected a list, got {type(value).__name__}")
    return value


def a_text(value: object, where: str) -> str:
    """Take a text that is not empty.

    Raises:
        RefusedError: it is something else.
    """
    if not isinstance(value, str) or not value:
        raise RefusedError(f"{where}: expected a text, got {value!r:.40}")
    return value


def a_number(value: object, where: str, low: float = -math.inf, high: float = math.inf) -> float:
    """Take a finite number of a range.

    Raises:
        RefusedError: it is something else.
    """
    if isinstance(value, bool) or not isinstance(value, int | float) or not low <= value <= high:
        bounds = "a number" if low == -math.inf else f"{low:g} to {high:g}"
        raise RefusedError(f"{where}: expected {bounds}, got {value!r:.40}")
    if not math.isfinite(value):
        raise RefusedError(f"{where}: expected a finite number, got {value}")
    return float(value)


def an_index(value: object, where: str, count: int) -> int:
    """Take the number of one of ``count`` things.

    Raises:
        RefusedError: it is something else.
    """
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value < count:
        raise RefusedError(f"{where}: expected 0 to {count - 1}, got {value!r:.40}")
    return value


def a_picture(value: object, where: str) -> bytes:
    """Take the bytes of a file out of a data URI, or out of base64 alone.

    Raises:
        RefusedError: it is something else.
    """
    text = a_text(value, where)
    if text.startswith("data:"):
        text = text.partition(",")[2]
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError) as error:
        said = f"{where}: expected base64, {error}"
        raise RefusedError(said, code="INVALID_IMAGE") from None
