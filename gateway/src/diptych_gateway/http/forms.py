"""Multipart forms, read into memory while they come: nothing is written to a file."""

from __future__ import annotations

from collections.abc import AsyncGenerator

from python_multipart.multipart import parse_options_header
from starlette.datastructures import Headers
from starlette.formparsers import MultiPartException, MultiPartParser
from starlette.requests import ClientDisconnect, Request

from diptych.limits import MAX_REQUEST_BYTES
from diptych_runtime.engine import Reason, invalid

from .disconnect import ClientDisconnectedError
from .problems import RefusedError

Form = dict[str, bytes]
"""Parts by name."""

MAX_OPTIONS_BYTES = 4 * 1024 * 1024
"""Of JSON that is read at once: the logits of 20 objects at 256 x 256 fit, in base64. What holds
the interpreter, and takes many times the room of its text, is how many values there are: that is
bounded apart."""

COPIES = 3
"""Of an image that are held at a time: the part, the message that is made of it, and its bytes."""

_PART_BYTES = {"image": MAX_REQUEST_BYTES, "image_sha256": 1024, "options": MAX_OPTIONS_BYTES}


async def read_form(request: Request) -> Form:
    """Read the parts of a form: ``image``, ``image_sha256``, ``options``, each at most once.

    Its head has to have been looked at: by ``announced_bytes``.

    Raises:
        RefusedError: it is broken, over ``MAX_REQUEST_BYTES``, or its options are over
            ``MAX_OPTIONS_BYTES``.
        ServiceError: it has a part of another name, or one twice.
        ClientDisconnectedError: it did not come to its end.
    """
    parser = _FormParser(request.headers, bounded(request))
    try:
        await parser.parse()
    except (MultiPartException, UnicodeError) as error:  # the latter of names in odd charsets
        cause = error.__cause__ or error
        text = f"expected multipart/form-data, got something broken: {cause}"
        raise RefusedError(400, text) from error
    except ClientDisconnect as error:
        raise ClientDisconnectedError from error
    if not parser.ended:
        raise RefusedError(400, "expected multipart/form-data, got only the beginning of it")
    return {name: bytes(part) for name, part in parser.parts.items()}


def announced_bytes(request: Request, *, may_be_picture: bool = False) -> int | None:
    """Read how large the body is to be; ``None`` if it does not say.

    Raises:
        RefusedError: it is no form and not what else it may be, or over ``MAX_REQUEST_BYTES``.
    """
    kind, parameters = parse_options_header(request.headers.get("content-type"))
    is_form = kind == b"multipart/form-data" and parameters.get(b"boundary")
    if not is_form and not may_be_picture:
        text = "expected multipart/form-data, or a picture with its type, such as image/jpeg"
        raise RefusedError(415, f"{text}; got {_shown(kind.decode('latin-1'))}")
    announced = request.headers.get("content-length", "")
    if not announced.isdecimal():
        return None
    _check_size(int(announced))
    return int(announced)


async def bounded(request: Request) -> AsyncGenerator[bytes, None]:
    """Read a body in pieces; raises a ``RefusedError`` once it is over ``MAX_REQUEST_BYTES``."""
    received = 0
    async for chunk in request.stream():
        received += len(chunk)
        _check_size(received)
        yield chunk


def _check_size(received: int) -> None:
    if received > MAX_REQUEST_BYTES:
        raise RefusedError(413, f"expected a body of at most {MAX_REQUEST_BYTES} bytes, got more")


def _shown(value: str) -> str:
    return repr(value[:100]) if value else "nothing"


class _FormParser(MultiPartParser):
    """Keeps every part as bytes in memory, whether it has a file's name or not."""

    def __init__(self, headers: Headers, stream: AsyncGenerator[bytes, None]) -> None:
        super().__init__(headers, stream)
        self.parts: dict[str, bytearray] = {}
        self.ended = False
        self._data = bytearray()
        self._name = ""

    def on_headers_finished(self) -> None:
        """Refuse a part by its name before its megabytes come."""
        super().on_headers_finished()
        part = self._current_part
        name = part.field_name
        if name not in _PART_BYTES:
            text = f"expected one of {', '.join(_PART_BYTES)}, got {_shown(name)}"
            raise invalid(Reason.OPTION_INVALID, name[:100], text)
        if name in self.parts:
            raise invalid(Reason.OPTION_INVALID, name, "expected once, got twice")
        part.file = None  # or it would be spooled to the disk from 1 MB on
        self._data = self.parts[name] = part.data
        self._name = name

    def on_part_data(self, data: bytes, start: int, end: int) -> None:
        """Keep some bytes of a part; there is a call for every carriage return of an image."""
        self._data += data[start:end]
        most = _PART_BYTES[self._name]
        if len(self._data) > most:
            raise RefusedError(413, f"{self._name}: expected at most {most} bytes, got more")

    def on_part_end(self) -> None:
        """Leave the part as it is: bytes, not text."""

    def on_end(self) -> None:
        """Note that the closing boundary has come."""
        self.ended = True
