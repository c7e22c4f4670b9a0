"""One file over HTTP, with a progress bar, that goes on where a broken download stopped."""

from __future__ import annotations

import errno
import json
import os
import re
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import requests
from tqdm import tqdm
from urllib3.exceptions import HTTPError, ReadTimeoutError

from .redirects import RedirectError, opened

RETRY_WAITS_S: Sequence[float] = (1.0, 3.0, 10.0)
"""Pauses before the next try after a break; a try that brought bytes starts them afresh."""

LONGEST_S = 6 * 3600.0
"""One try of a download; a server that sends a byte a minute ends here. The largest published file
comes in that at 42 kB/s, and the next try goes on where this one stopped."""

_CHUNK_BYTES = 1 << 16
_PARTIAL_CONTENT = 206
_RANGE_NOT_SATISFIABLE = 416


class WeightsError(Exception):
    """Weights cannot be had or used; the message is one sentence that says what to change."""


class _BrokenError(Exception):
    """The connection ended early; worth another try."""


def download(
    url: str,
    part: Path,
    *,
    max_bytes: int,
    progress: bool,
    label: str,
    say: Callable[[str], None],
) -> None:
    """Download ``url`` to ``part``, and go on with what is already there.

    A server that honours ``Range`` sends only the rest, on the condition (``If-Range``) that the
    file is still the one that was begun; else it is sent whole again. ``<part>.json`` holds what
    identifies it.

    Args:
        url: Address, http or https.
        part: File to write; left in place after a break, so that the next call goes on.
        max_bytes: Of the whole file; what announces or sends more is refused and removed.
        progress: Draw a bar on stderr.
        label: Name on the bar.
        say: Takes a sentence before each pause after a break.

    Raises:
        WeightsError: refused by the server, too large, redirected away from https, no room on the
            disk, or broken too often.
    """
    waits = iter(RETRY_WAITS_S)
    while True:
        before = _size(part)
        try:
            return _attempt(url, part, max_bytes=max_bytes, progress=progress, label=label)
        except RedirectError as error:
            raise WeightsError(
                f"{url} is not downloaded: {error}; check the address, or set "
                "DIPTYCH_WEIGHTS_MIRROR to one that has the file"
            ) from error
        except (_BrokenError, requests.RequestException, HTTPError) as error:
            if _size(part) > before:
                waits = iter(RETRY_WAITS_S)
            wait = next(waits, None)
            if wait is None:
                raise WeightsError(_gave_up(url, _size(part), _reason(error))) from error
            say(f"{label}: broke off ({_reason(error)}); trying again in {wait:g} s")
            time.sleep(wait)
        except OSError as error:
            hint = "free some space" if error.errno == errno.ENOSPC else "make it writable"
            raise WeightsError(
                f"cannot write {part}: {error.strerror}; {hint} or set DIPTYCH_WEIGHTS_DIR"
            ) from error


def discard(part: Path) -> None:
    """Remove a download and what identifies it."""
    part.unlink(missing_ok=True)
    _identity_path(part).unlink(missing_ok=True)


def _attempt(url: str, part: Path, *, max_bytes: int, progress: bool, label: str) -> None:
    headers = {"Accept-Encoding": "identity"}  # a compressed body has other offsets
    start = _size(part)
    validator = _read_validator(part, url) if start else None
    if validator is None:
        start = 0
    else:
        headers |= {"Range": f"bytes={start}-", "If-Range": validator}
    with opened(url, headers) as response:
        if response.status_code == _RANGE_NOT_SATISFIABLE and start:
            if _range_total(response.headers) == start:
                return  # it broke after the last byte
            discard(part)
            raise _BrokenError("the server's file is shorter than what was kept")
        if not response.ok:
            _refuse(url, response)
        if response.headers.get("Content-Encoding", "identity") != "identity":
            raise _BrokenError("the server sent it compressed, which was not asked for")
        if response.status_code != _PARTIAL_CONTENT:
            start = 0
        elif _range_start(response.headers) != start:
            discard(part)
            raise _BrokenError("the server sent another range than the one asked for")
        total = _announced_total(response.headers, start)
        if total is not None and total > max_bytes:
            raise _too_large(url, part, f"{total}", max_bytes)
        if start == 0:
            _write_validator(part, url, response.headers)
        bar = tqdm(
            total=total, initial=start, desc=label, unit="B", unit_scale=True, disable=not progress
        )
        with bar:
            _receive(url, response, part, bar, start=start, total=total, max_bytes=max_bytes)


def _receive(
    url: str,
    response: requests.Response,
    part: Path,
    bar: tqdm[Any],
    *,
    start: int,
    total: int | None,
    max_bytes: int,
) -> None:
    received, began = start, time.monotonic()
    with part.open("ab" if start else "wb") as file:
        # What came, however little: a full chunk may be long in coming, and time is bounded.
        while chunk := response.raw.read1(_CHUNK_BYTES, decode_content=False):
            received += len(chunk)
            if received > max_bytes:
                raise _too_large(url, part, f"more than {max_bytes}", max_bytes)
            file.write(chunk)
            bar.update(len(chunk))
            if time.monotonic() - began > LONGEST_S:
                raise _BrokenError(f"not complete after {LONGEST_S:.0f} s")
    if total is not None and received != total:
        raise _BrokenError(f"{received} of {total} bytes came")


def _too_large(url: str, part: Path, found: str, max_bytes: int) -> WeightsError:
    discard(part)
    return WeightsError(
        f"{url} has {found} bytes, at most {max_bytes} are expected; check that the address is "
        "right and nothing in between replaces the file"
    )


def _refuse(url: str, response: requests.Response) -> None:
    if response.status_code >= 500 or response.status_code == 429:
        raise _BrokenError(f"HTTP {response.status_code} {response.reason}")
    raise WeightsError(
        f"{url} answered HTTP {response.status_code} {response.reason}; check the network or set "
        "DIPTYCH_WEIGHTS_MIRROR to an address that has the file"
    )


def _gave_up(url: str, size: int, reason: str) -> str:
    if not size:
        return (
            f"{url} cannot be reached ({reason}); check the network, or set "
            "DIPTYCH_WEIGHTS_MIRROR to an address that has the file"
        )
    return (
        f"the download of {url} broke off after {size} bytes ({reason}); run the same command "
        "again to go on from there"
    )


def _reason(error: Exception) -> str:
    if isinstance(error, requests.Timeout | ReadTimeoutError):
        return "no answer in time"
    if isinstance(error, requests.ConnectionError | HTTPError):
        return "no connection"
    return str(error).splitlines()[0] if str(error) else type(error).__name__


def _size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0


def _identity_path(part: Path) -> Path:
    return part.with_name(part.name + ".json")


def _write_validator(part: Path, url: str, headers: Mapping[str, str]) -> None:
    # A weak ETag does not promise equal bytes, so RFC 9110 forbids it in If-Range.
    etag = headers.get("ETag", "")
    validator = etag if etag.startswith('"') else headers.get("Last-Modified")
    write_json(_identity_path(part), {"url": url, "validator": validator})


def _read_validator(part: Path, url: str) -> str | None:
    try:
        known = json.loads(_identity_path(part).read_text())
    except (OSError, ValueError):
        return None
    if not isinstance(known, dict) or known.get("url") != url:
        return None
    validator = known.get("validator")
    return validator if isinstance(validator, str) else None


def _announced_total(headers: Mapping[str, str], start: int) -> int | None:
    length = headers.get("Content-Length", "")
    return start + int(length) if length.isdigit() else None


def _range_start(headers: Mapping[str, str]) -> int | None:
    match = re.match(r"bytes (\d+)-", headers.get("Content-Range", ""))
    return int(match[1]) if match else None


def _range_total(headers: Mapping[str, str]) -> int | None:
    match = re.match(r"bytes \*/(\d+)", headers.get("Content-Range", ""))
    return int(match[1]) if match else None


def write_json(path: Path, content: Mapping[str, object]) -> None:
    """Write a JSON file so that a reader sees the old one or the new one, never a half."""
    temporary = path.with_name(f"{path.name}.{os.getpid()}.tmp")
    temporary.write_text(json.dumps(content, indent=2) + "\n")
    os.replace(temporary, path)
