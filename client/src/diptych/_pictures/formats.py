"""Files of formats that servers do not read, opened here: HEIC, AVIF, TIFF, BMP and GIF."""

from __future__ import annotations

import io
from collections.abc import Callable
from typing import TYPE_CHECKING, BinaryIO

from .._types.errors import InvalidRequestError, MissingExtraError

if TYPE_CHECKING:
    import PIL.Image

HEAD_BYTES = 256
"""Of a file, from which its format is told."""
_BMP_HEADERS = (12, 40, 52, 56, 64, 108, 124)  # sizes of all that there are
_HEIF_BRANDS = {b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1"}
_AVIF_BRANDS = {b"avif", b"avis"}


def other_format(head: bytes) -> str | None:
    """Name the format by the first ``HEAD_BYTES``; ``None`` for what is sent as it is."""
    if head[:6] in (b"GIF87a", b"GIF89a"):
        return "GIF"
    if head[:4] in (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+"):
        return "TIFF"
    if head[:2] == b"BM" and int.from_bytes(head[14:18], "little") in _BMP_HEADERS:
        return "BMP"
    if head[4:8] == b"ftyp":
        box = head[8 : min(int.from_bytes(head[:4], "big"), len(head))]
        brands = {box[at : at + 4] for at in (0, *range(8, len(box), 4))}
        if brands & _AVIF_BRANDS:
            return "AVIF"
        return "HEIF" if brands & _HEIF_BRANDS else None
    return None


def open_other(data: bytes, kind: str, name: str) -> PIL.Image.Image:
    """The first picture of a file, loaded; ``kind`` is what ``other_format`` says.

    Raises:
        MissingExtraError: for HEIF without ``pip install 'diptych[heif]'``; for AVIF with a
            Pillow before 11.3.
        InvalidRequestError: it is broken.
    """
    from PIL import Image, features

    open_heif = _heif_opener(name) if kind == "HEIF" else None

    if kind == "AVIF" and not ("avif" in features.features or "avif" in features.modules):
        raise MissingExtraError(f"{name}: AVIF files need Pillow 11.3: pip install -U pillow")
    try:
        if open_heif is not None:
            return open_heif(io.BytesIO(data))
        image = Image.open(io.BytesIO(data), formats=[kind])
        image.load()
    except MemoryError:
        raise
    except Exception as error:  # Pillow's plugins raise whatever a broken file leads to
        message = f"{name}: expected a whole {kind}, got {len(data)} bytes that cannot be read"
        raise InvalidRequestError(f"{message}: {error}") from error
    return image


def _heif_opener(name: str) -> Callable[[BinaryIO], PIL.Image.Image]:
    try:
        import pillow_heif
    except ImportError as error:
        raise MissingExtraError(
            f"{name}: HEIC files need an extra: pip install 'diptych[heif]'"
        ) from error

    def opened(file: BinaryIO) -> PIL.Image.Image:
        image: PIL.Image.Image = pillow_heif.open_heif(file).to_pillow()
        return image

    return opened
