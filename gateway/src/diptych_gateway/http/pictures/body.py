"""Bodies that are the file of a picture, without a form around it."""

from __future__ import annotations

from python_multipart.multipart import parse_options_header
from starlette.requests import ClientDisconnect, Request

from ..disconnect import ClientDisconnectedError
from ..forms import Form, bounded, read_form

MEDIA_TYPES = ("image/jpeg", "image/png", "image/webp", "application/octet-stream")


def is_picture(request: Request) -> bool:
    """Whether the body says that it is a picture, of whatever kind: models say which they read."""
    kind, _ = parse_options_header(request.headers.get("content-type"))
    return kind.startswith(b"image/") or kind == MEDIA_TYPES[-1].encode()


async def read_body(request: Request) -> Form:
    """Read a form, or the picture that takes its place; see ``read_form``."""
    if not is_picture(request):
        return await read_form(request)
    data = bytearray()
    try:
        async for chunk in bounded(request):
            data += chunk
    except ClientDisconnect as error:
        raise ClientDisconnectedError from error
    return {"image": bytes(data)}
