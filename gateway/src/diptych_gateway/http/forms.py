"""Multipart forms, read into memory while they come: nothing is written to a file.

The form parsers of the frameworks put a file over 1 MB on the disk; pictures stay in memory here.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header
from starlette.requests import ClientDisconnect, Request

from diptych.limits import MAX_REQUEST_BYTES
from diptych_runtime.engine import Reason, invalid

from .leaving import ClientLeftError
from .problems import RefusedError

if TYPE_CHECKING:
    from python_multipart.multipart import MultipartCallbacks

Form = dict[str, bytes]
"""Parts by name."""

_PARTS = ("image", "image_sha256", "options")


async def read_form(request: Request) -> Form:
    """The parts of a form by name: ``image``, ``image_sha256``, ``options``, each at most once.

    Raises:
        RefusedError: it is no such form, or over ``MAX_REQUEST_BYTES``.
        ServiceError: it has a part of another name, or one twice.
        ClientLeftError: it did not come to its end.
    """
    kind, parameters = parse_options_header(request.headers.get("content-type"))
    boundary = parameters.get(b"boundary")
    if kind != b"multipart/form-data" or not boundary:
        raise RefusedError(415, f"expected multipart/form-data, got {_shown(kind)}")
    announced = request.headers.get("content-length", "0")
    _check_size(int(announced) if announced.isdecimal() else 0)
    try:
        return await _read(request, boundary)
    except FormParserError as error:
        raise RefusedError(
            400, f"expected multipart/form-data, got something broken: {error}"
        ) from error
    except ClientDisconnect as error:
        raise ClientLeftError from error


async def _read(request: Request, boundary: bytes) -> Form:
    form = _Parts()
    parser = MultipartParser(boundary, form.callbacks())
    received = 0
    async for chunk in request.stream():
        received += len(chunk)
        _check_size(received)
        parser.write(chunk)
    parser.finalize()
    if not form.ended:
        raise RefusedError(400, "expected multipart/form-data, got only the beginning of it")
    return {name: bytes(part) for name, part in form.parts.items()}


def _check_size(received: int) -> None:
    if received > MAX_REQUEST_BYTES:
        raise RefusedError(413, f"expected a form of at most {MAX_REQUEST_BYTES} bytes, got more")


def _shown(value: bytes) -> str:
    return repr(value.decode("latin-1")[:100]) if value else "nothing"


class _Parts:
    """Gathers parts as the parser comes upon them."""

    def __init__(self) -> None:
        self.parts: dict[str, bytearray] = {}
        self.ended = False
        self._part = bytearray()
        self._header = bytearray()
        self._value = bytearray()
        self._disposition = b""

    def callbacks(self) -> MultipartCallbacks:
        return {
            "on_part_begin": self._begin_part,
            "on_header_begin": self._begin_header,
            "on_header_field": self._add_to_header,
            "on_header_value": self._add_to_value,
            "on_header_end": self._end_header,
            "on_headers_finished": self._end_headers,
            "on_part_data": self._add_to_part,
            "on_end": self._end,
        }

    def _begin_part(self) -> None:
        self._disposition = b""

    def _begin_header(self) -> None:
        self._header.clear()
        self._value.clear()

    def _add_to_header(self, data: bytes, start: int, end: int) -> None:
        self._header += data[start:end]

    def _add_to_value(self, data: bytes, start: int, end: int) -> None:
        self._value += data[start:end]

    def _end_header(self) -> None:
        if self._header.lower() == b"content-disposition":
            self._disposition = bytes(self._value)

    def _end_headers(self) -> None:
        _, parameters = parse_options_header(self._disposition)
        name = parameters.get(b"name", b"").decode("latin-1")
        if name not in _PARTS:
            text = f"expected one of {', '.join(_PARTS)}, got {_shown(name.encode())}"
            raise invalid(Reason.OPTION_INVALID, name[:100], text)
        if name in self.parts:
            raise invalid(Reason.OPTION_INVALID, name, "expected once, got twice")
        self._part = self.parts[name] = bytearray()

    def _add_to_part(self, data: bytes, start: int, end: int) -> None:
        self._part += data[start:end]

    def _end(self) -> None:
        self.ended = True
