"""Follows redirects of a download, which may not lead away from encryption."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from urllib.parse import urljoin, urlsplit

import requests

MAX_REDIRECTS = 5
"""Mirrors and stores in front of stores need two or three."""

_TIMEOUT_S = (10.0, 60.0)  # to connect, between two reads


class RedirectError(Exception):
    """A redirect that is not followed; the message is half a sentence."""


@contextmanager
def opened(url: str, headers: Mapping[str, str]) -> Iterator[requests.Response]:
    """Send a GET and give its answer, the body not read yet.

    Raises:
        RedirectError: more than ``MAX_REDIRECTS``, from https to http, or to something else.
        requests.RequestException: no answer.
    """
    for _ in range(MAX_REDIRECTS + 1):
        with requests.get(
            url, headers=headers, stream=True, timeout=_TIMEOUT_S, allow_redirects=False
        ) as response:
            if not response.is_redirect:
                yield response
                return
            url = _next(url, response.headers["Location"])
    raise RedirectError(f"it is redirected more than {MAX_REDIRECTS} times")


def _next(url: str, location: str) -> str:
    target = urljoin(url, location)
    old, new = urlsplit(url).scheme, urlsplit(target).scheme
    if new not in ("http", "https"):
        raise RedirectError(f"it is redirected to {new}, expected http or https")
    if old == "https" and new == "http":
        raise RedirectError("it is redirected from https to http, where anybody could replace it")
    return target
