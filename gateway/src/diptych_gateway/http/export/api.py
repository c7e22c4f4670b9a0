"""What is answered at ``/api/export``."""

from __future__ import annotations

import asyncio
import json
from typing import TypedDict
from urllib.parse import quote

from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response

from diptych.formats import FORMATS, Files, Options, Picture, TooLargeError, beside, pack
from diptych.limits import MAX_REPLY_BYTES, MAX_REQUEST_BYTES
from diptych.wire.cards import read_card
from diptych_runtime.calls import HeldBytes, RequestBytes, log_fields
from diptych_runtime.engine.errors import Reason, ServiceError, invalid

from ...backend.registry import Registry
from ...settings import Settings
from ..disconnect import ClientDisconnectedError, unless_disconnected
from ..problems import RefusedError
from .body import ExportBody, read_body

COPIES = 8
"""Of a body that are held at a time: its text, what was read of it, masks, and the file."""
_AT_A_TIME = 2  # threads that write; each keeps a processor busy for up to ten seconds
MEDIA_TYPES = {"json": "application/json", "csv": "text/csv", "xml": "application/xml"}
ZIP = "application/zip"


class FormatDocument(TypedDict):
    """A format that an export can have."""

    name: str
    """What `format` says in an export."""
    title: str
    extension: str
    """Of its files, or of the main one."""
    says: str
    """What it holds and what it leaves out."""
    polygons: bool
    """Whether `tolerance` changes it."""


class Export:
    """The handlers."""

    def __init__(self, settings: Settings, registry: Registry, bodies: RequestBytes) -> None:
        self._settings = settings
        self._registry = registry
        self._bodies = bodies
        self._room = asyncio.Semaphore(_AT_A_TIME)

    async def formats(self, request: Request) -> Response:
        """The formats in which answers can be had as files."""
        listed: list[FormatDocument] = [
            {
                "name": entry.name,
                "title": entry.title,
                "extension": entry.extension,
                "says": entry.says,
                "polygons": entry.polygons,
            }
            for entry in FORMATS.values()
        ]
        return Response(json.dumps(listed), media_type="application/json")

    async def export(self, request: Request) -> Response:
        """Answers as a file that another tool reads; a zip where the format has several."""
        held: HeldBytes = request.state.held
        announced = _announced_bytes(request)
        text = await self._bodies.read(
            held,
            lambda: _read(request),
            COPIES * (MAX_REQUEST_BYTES if announced is None else announced),
            self._settings.default_deadline_s,
        )
        held.resize(COPIES * len(text))
        return await unless_disconnected(request.receive, self._answer(text))

    async def _answer(self, text: bytes) -> Response:
        async with self._room:
            body, pictures = await asyncio.to_thread(read_body, text)
            log_fields(format=body.format, pictures=len(pictures))
            return await asyncio.to_thread(_write, body, pictures, self._options(body, pictures))

    def _options(self, body: ExportBody, pictures: list[Picture]) -> Options:
        """Say what cards know: numbers of classes are then the same in every export."""
        asked = {picture.model_id for picture in pictures}
        models = [model for model in self._registry.models() if model.model_id in asked]
        cards = [read_card(model.card) for model in models if model.card is not None]
        categories = {one.id: one.name for card in cards for one in card.categories}
        schemas = [card.keypoint_schema for card in cards if card.keypoint_schema]
        return Options(body.tolerance, categories, schemas[0].edges if schemas else ())


def _write(body: ExportBody, pictures: list[Picture], options: Options) -> Response:
    try:
        name, data = _one_file(body, pictures, options)
    except TooLargeError as error:
        said = f"pictures: {error}; take fewer pictures at a time"
        raise ServiceError(Reason.IMAGE_TOO_LARGE, said) from error
    except ValueError as error:  # of a mask whose pixels were looked at now
        raise invalid(Reason.OPTION_INVALID, "pictures", str(error)[:500]) from error
    media_type = MEDIA_TYPES.get(name.rpartition(".")[2], ZIP)
    return Response(data, media_type=media_type, headers=_attachment(name))


def _one_file(body: ExportBody, pictures: list[Picture], options: Options) -> tuple[str, bytes]:
    files: Files = FORMATS[body.format].write(pictures, options)
    stem = beside(pictures[0].name, "").rpartition("/")[2] if len(pictures) == 1 else "diptych"
    first, second = next(files, None), next(files, None)
    if first is not None and second is None:
        suffix = first[0].rpartition(".")[2]
        if len(first[1]) > MAX_REPLY_BYTES:
            raise TooLargeError(f"expected at most {MAX_REPLY_BYTES} bytes of files, got more")
        return f"{stem}.{body.format}.{suffix}", first[1]
    every = (file for part in ([first, second], files) for file in part if file)
    return f"{stem}.{body.format}.zip", pack(every, MAX_REPLY_BYTES)


def _attachment(name: str) -> dict[str, str]:
    plain = "".join(c if (c.isascii() and c.isalnum()) or c in "-_. " else "_" for c in name)
    return {
        "Content-Disposition": f"attachment; filename=\"{plain}\"; filename*=UTF-8''{quote(name)}"
    }


def _announced_bytes(request: Request) -> int | None:
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind != "application/json":
        got = repr(kind[:100]) if kind else "nothing"
        raise RefusedError(415, f"expected application/json, got {got}")
    announced = request.headers.get("content-length", "")
    if not announced.isdecimal():
        return None
    _check_size(int(announced))
    return int(announced)


async def _read(request: Request) -> bytes:
    text = bytearray()
    try:
        async for chunk in request.stream():
            text += chunk
            _check_size(len(text))
    except ClientDisconnect as error:
        raise ClientDisconnectedError from error
    return bytes(text)


def _check_size(size: int) -> None:
    if size > MAX_REQUEST_BYTES:
        raise RefusedError(413, f"expected a body of at most {MAX_REQUEST_BYTES} bytes, got more")
