"""Several files as one."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Iterable

from .picture import File

_PACKED = (".png", ".zip")
_BEGINNING = (1980, 1, 1, 0, 0, 0)  # of time, in a zip: the same files are the same bytes


class TooLargeError(ValueError):
    """More bytes than were allowed."""


def pack(files: Iterable[File], most_bytes: int | None = None) -> bytes:
    """Make a zip of files, one after the other.

    Raises:
        TooLargeError: it has more than ``most_bytes``.
    """
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in files:
            entry = zipfile.ZipInfo(name, _BEGINNING)
            entry.external_attr = 0o644 << 16
            stored = name.endswith(_PACKED)
            entry.compress_type = zipfile.ZIP_STORED if stored else zipfile.ZIP_DEFLATED
            archive.writestr(entry, data)
            if most_bytes is not None and buffer.tell() > most_bytes:
                raise TooLargeError(f"expected at most {most_bytes} bytes of files, got more")
    return buffer.getvalue()
