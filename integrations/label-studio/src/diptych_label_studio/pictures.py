"""Fetches pictures and clips of tasks: from hosts that are allowed, bounded in bytes and time."""

from __future__ import annotations

import base64
import binascii
import time
from collections import OrderedDict
from collections.abc import Iterable
from urllib.parse import unquote_to_bytes, urljoin, urlsplit

import aiohttp

from .refusals import Refusal

VIDEO_BYTES = 512 * 1024 * 1024
_TIMEOUT_S = 30.0
_KEPT_BYTES = 256 * 1024 * 1024
_KEPT_S = 600.0
_REDIRECTS = 3
_BLOCK = 1 << 16
_REFRESH = "/api/token/refresh"


class Pictures:
    """What tasks name, fetched once for a series of clicks.

    ``label_studio`` is the address of the server, the only one that is sent its token.
    """

    def __init__(self, label_studio: str, allowed: Iterable[str], token: str | None) -> None:
        self._home = label_studio.rstrip("/") + "/"
        self._origin = _origin(self._home)
        self._allowed = {self._origin, *map(_origin, allowed)}
        self._token = token
        self._access: dict[str, tuple[str, float]] = {}
        self._kept: OrderedDict[tuple[str, str], tuple[bytes, float]] = OrderedDict()
        self._session: aiohttp.ClientSession | None = None

    async def start(self) -> None:
        """Open what connections need."""
        timeout = aiohttp.ClientTimeout(total=_TIMEOUT_S)
        self._session = aiohttp.ClientSession(timeout=timeout, cookie_jar=aiohttp.DummyCookieJar())

    async def stop(self) -> None:
        """Close all connections."""
        if self._session is not None:
            await self._session.close()

    async def fetch(self, address: object, token: str | None, most: int) -> bytes:
        """The bytes at an address of a task's data.

        Raises:
            Refusal: they cannot be had, with the reason.
        """
        if not isinstance(address, str) or not address:
            raise Refusal(f"Expected the address of a picture or clip in the task, got {address!r}")
        if address.startswith("data:"):
            return _inline(address, most)
        token = self._token or token
        url = self._url(address)
        key = (url, token or "")
        if (kept := self._kept.get(key)) and time.monotonic() - kept[1] < _KEPT_S:
            self._kept.move_to_end(key)
            return kept[0]
        try:
            data = await self._get(url, token, most)
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            why = str(error) or "it took too long"
            raise Refusal(f"{_short(url)} cannot be fetched: {why}", 502) from None
        self._keep(key, data)
        return data

    def _url(self, address: str) -> str:
        """The whole address; one of an upload may lack its beginning."""
        if address.startswith("upload/"):
            address = "data/" + address
        url = urljoin(self._home, address)
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https"):
            raise Refusal(
                f"{parts.scheme}:// addresses are not read: expected http(s), an upload, a local "
                "file of Label Studio or data:. Let Label Studio import it by http(s)", 422
            )  # fmt: skip
        if _origin(url) not in self._allowed:
            raise Refusal(
                f"{_origin(url)} is not allowed: start diptych-label-studio with --allow-host for "
                "it, or with --label-studio if this is Label Studio's own address", 422
            )  # fmt: skip
        return url

    async def _get(self, url: str, token: str | None, most: int) -> bytes:
        assert self._session is not None
        for _ in range(_REDIRECTS + 1):
            headers = await self._headers(url, token)
            async with self._session.get(url, headers=headers, allow_redirects=False) as answer:
                if answer.status in (301, 302, 303, 307, 308):
                    url = self._url(urljoin(url, answer.headers.get("Location", "")))
                    if "/user/login" in url:
                        raise _unknown_token(401)
                    continue
                if answer.status in (401, 403) and _origin(url) == self._origin:
                    raise _unknown_token(answer.status)
                if answer.status != 200:
                    raise Refusal(f"{_short(url)} was answered with {answer.status}", 502)
                return await _body(answer, most)
        raise Refusal(f"{_short(url)} is redirected more than {_REDIRECTS} times", 502)

    async def _headers(self, url: str, token: str | None) -> dict[str, str]:
        if not token or _origin(url) != self._origin:
            return {}
        if token.count(".") != 2:
            return {"Authorization": f"Token {token}"}
        return {"Authorization": f"Bearer {await self._fresh(token)}"}

    async def _fresh(self, token: str) -> str:
        """What a personal access token is exchanged for; it holds for five minutes."""
        known = self._access.get(token)
        if known is not None and time.monotonic() < known[1]:
            return known[0]
        assert self._session is not None
        async with self._session.post(
            urljoin(self._home, _REFRESH), json={"refresh": token}
        ) as answer:
            if answer.status != 200:
                raise _unknown_token(answer.status)
            access = str((await answer.json())["access"])
        self._access = {token: (access, time.monotonic() + 120)}
        return access

    def _keep(self, key: tuple[str, str], data: bytes) -> None:
        self._kept[key] = (data, time.monotonic())
        while sum(len(kept) for kept, _ in self._kept.values()) > _KEPT_BYTES:
            self._kept.popitem(last=False)


async def _body(answer: aiohttp.ClientResponse, most: int) -> bytes:
    data = bytearray()
    async for block in answer.content.iter_chunked(_BLOCK):
        data += block
        if len(data) > most:
            raise Refusal(f"{_short(str(answer.url))} has more than {most} bytes", 413)
    return bytes(data)


def _inline(address: str, most: int) -> bytes:
    head, _, body = address.partition(",")
    if len(body) > most * 3:
        raise Refusal(f"The picture in the task has more than {most} bytes", 413)
    try:
        data = unquote_to_bytes(body)
        data = base64.b64decode(data, validate=True) if head.endswith(";base64") else data
    except (binascii.Error, ValueError):
        raise Refusal("The data: address of the task is broken") from None
    if len(data) > most:
        raise Refusal(f"The picture in the task has more than {most} bytes", 413)
    return data


def _origin(url: str) -> str:
    parts = urlsplit(url if "://" in url else f"http://{url}")
    port = parts.port or (443 if parts.scheme == "https" else 80)
    return f"{parts.scheme}://{parts.hostname}:{port}"


def _short(url: str) -> str:
    """Without what may be secret."""
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}"


def _unknown_token(status: int) -> Refusal:
    return Refusal(
        f"Label Studio does not let the backend read the file ({status}): give it a token of "
        "Label Studio (Account & Settings, Personal Access Token) with --token-file", 502
    )  # fmt: skip
