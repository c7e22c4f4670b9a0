"""What callers pass, in the forms in which they have it, turned into what is sent."""

from __future__ import annotations

import contextlib
import hashlib
import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, Union, runtime_checkable

from numpy.typing import NDArray

from ._pictures.encoding import JpegQuality, encode
from ._pictures.formats import HEAD_BYTES, open_other, other_format
from ._pictures.pixels import is_pixels, upright_image
from ._types.errors import InvalidRequestError, MessageTooLargeError
from ._types.geometry import Box, Point
from ._types.prompts import AutomaticOptions, OutputOptions, Prompt, Task
from .limits import MAX_REQUEST_BYTES, NO_PROMPTS

if TYPE_CHECKING:
    import PIL.Image

_SENT_AS_IT_IS = (b"\xff\xd8\xff", b"\x89PNG", b"RIFF")  # how JPEG, PNG and WebP begin
_PART_BYTES = 1024 * 1024  # of a file, read at a time


@runtime_checkable
class SupportsRead(Protocol):
    """A file that is open for reading bytes, such as ``open(path, "rb")`` or ``io.BytesIO``."""

    def read(self, size: int = ..., /) -> bytes: ...


class SupportsArray(Protocol):
    """What numpy makes an array of, such as a tensor of torch that is on the CPU."""

    def __array__(self) -> NDArray[Any]: ...


ImageLike = Union[
    str,
    "os.PathLike[str]",
    bytes,
    bytearray,
    memoryview,
    SupportsRead,
    SupportsArray,
    "PIL.Image.Image",
]
"""A path, the bytes of a file, an open binary file, an array, a tensor, or a PIL image.

JPEG, PNG and WebP files are sent unchanged. HEIC, AVIF, TIFF, BMP and GIF files, of which the first
picture counts, are read here; HEIC needs the extra ``heif``. An open file is read from its start
where it can be wound back.

An array is ``(H, W)`` or ``(H, W, 1)`` grey, ``(H, W, 3)`` RGB or ``(H, W, 4)`` RGBA, of uint8, of
uint16 with 65535 as the brightest, of bool, or of floats from 0 to 1. A tensor of torch is one of
these or has its channels first, as torchvision has them. A PIL image is turned upright as its EXIF
orientation says, which ``ImageOps.exif_transpose`` takes away.

Pixels are sent as ``jpeg_quality`` says: without loss, as PNG, while that fits a request."""
PointLike = Point | Sequence[float]
"""A ``Point``, ``(x, y)``, or ``(x, y, positive)``."""
BoxLike = Box | Sequence[float]
"""A ``Box``, or ``(x_min, y_min, x_max, y_max)``."""

FEW_PROMPTS = 64
"""No service that is set up as usual takes fewer; for more its card is asked."""


def source_of(image: ImageLike) -> str | os.PathLike[str] | None:
    """The file that an image was named by: answers keep that, and never pixels alive."""
    return image if isinstance(image, (str, os.PathLike)) else None


@dataclass(frozen=True)
class RequestOptions:
    """Everything about a request but its image."""

    model_id: str
    task: Task
    prompts: tuple[Prompt, ...] = ()
    output: OutputOptions = field(default_factory=OutputOptions)
    automatic: AutomaticOptions | None = None

    @property
    def may_need_parts(self) -> bool:
        """Whether the prompts may be too many, or too large, for one request."""
        masks = len(self.prompts) > 1 and any(prompt.mask is not None for prompt in self.prompts)
        return masks or len(self.prompts) > FEW_PROMPTS


def make_options(
    model: str | None = None,
    task: Task | str | None = None,
    prompts: Iterable[Prompt] | None = None,
    points: Iterable[PointLike] | None = None,
    boxes: Iterable[BoxLike] | None = None,
    output: OutputOptions | None = None,
    automatic: AutomaticOptions | None = None,
) -> RequestOptions:
    """Puts the prompts in order: ``prompts``, then one of all ``points``, then one per box. Points
    that are all off the object correct the only other prompt, if there is one.

    Without a task it is prompted segmentation if there are prompts, else instance segmentation.

    Raises:
        ValueError, TypeError: for an unknown task, for a point or a box of another shape, or for
            prompts that were given and are none, without a task.
    """
    objects = _objects(
        tuple(() if prompts is None else prompts),
        Prompt(points=tuple(make_point(point) for point in (() if points is None else points))),
        tuple(Prompt(box=make_box(box)) for box in (() if boxes is None else boxes)),
    )
    if task is None:
        lists = {"prompts": prompts, "points": points, "boxes": boxes}
        given = [name for name, value in lists.items() if value is not None]
        if given and not objects:
            raise ValueError(f"{' and '.join(given)}: {NO_PROMPTS}")
        task = Task.PROMPTED_SEGMENTATION if objects else Task.INSTANCE_SEGMENTATION
    return RequestOptions(model or "", _task(task), objects, output or OutputOptions(), automatic)


def _objects(
    prompts: tuple[Prompt, ...], pointed: Prompt, boxed: tuple[Prompt, ...]
) -> tuple[Prompt, ...]:
    others = (*prompts, *boxed)
    if len(others) == 1 and pointed.is_correction:
        return (replace(others[0], points=(*others[0].points, *pointed.points)),)
    return (*prompts, pointed, *boxed) if pointed.points else others


def make_point(point: PointLike) -> Point:
    """A point from numbers; ``ValueError`` for anything else."""
    if isinstance(point, Point):
        return point
    numbers = _numbers(point)
    if len(numbers) == 2:
        return Point(numbers[0], numbers[1])
    if len(numbers) == 3 and numbers[2] in (0, 1):
        return Point(numbers[0], numbers[1], positive=bool(numbers[2]))
    raise ValueError(f"point: expected (x, y) or (x, y, positive), got {point!r}")


def make_box(box: BoxLike) -> Box:
    """A box from numbers; ``ValueError`` for anything else."""
    if isinstance(box, Box):
        return box
    numbers = _numbers(box)
    if len(numbers) != 4:
        raise ValueError(f"box: expected (x_min, y_min, x_max, y_max), got {box!r}")
    return Box(*numbers)


def _numbers(values: Sequence[float]) -> list[float]:
    """Floats, or none at all if one is no number."""
    try:
        return [float(value) for value in values]
    except (TypeError, ValueError):
        return []


def _task(task: Task | str) -> Task:
    try:
        return Task(task)
    except ValueError as error:
        known = ", ".join(member.value for member in Task)
        raise ValueError(f"task: expected one of {known}, got {task!r}") from error


@dataclass(frozen=True)
class EncodedImage:
    """The bytes of an image file."""

    data: bytes

    @cached_property
    def sha256(self) -> bytes:
        """Digest of the bytes, 32 bytes."""
        return hashlib.sha256(self.data).digest()


def encode_image(image: ImageLike, quality: JpegQuality = "auto") -> EncodedImage:
    """The bytes to send; ``quality`` is for pixels and files of formats that servers do not read.

    Raises:
        OSError: if the file cannot be read.
        TypeError, ValueError: if the value is no image of the kinds in ``ImageLike``.
        InvalidRequestError: if a file that is read here is broken.
        MissingExtraError: if it is HEIC, and the extra is not installed.
        MessageTooLargeError: if the bytes cannot fit a request.
    """
    if isinstance(image, (bytes, bytearray, memoryview)):
        return _of_file(bytes(image), "image", quality)
    if isinstance(image, (str, os.PathLike)):
        path = Path(image)
        with path.open("rb") as file:
            return _of_file(_read(file, str(path), path.stat().st_size), str(path), quality)
    if is_pixels(image):
        return EncodedImage(encode(upright_image(image), quality))
    if isinstance(image, SupportsRead):
        name = getattr(image, "name", None)
        name = name if isinstance(name, str) else "image"
        return _of_file(_read(image, name), name, quality)
    raise TypeError(
        "image: expected a path, bytes, an open file, an array, a tensor or a PIL image, "
        f"got {type(image).__name__}"
    )


def _read(file: SupportsRead, name: str, size: int = 0) -> bytes:
    """The whole file from its start; one that would be sent as it is, only if there is room."""
    if hasattr(file, "seek"):
        with contextlib.suppress(OSError):  # a pipe, which is read from where it is
            file.seek(0)
    head = file.read(HEAD_BYTES)
    if not isinstance(head, bytes):
        raise TypeError(f"{name}: expected a file that is open for bytes, got one of text")
    converted = _other_format(head) is not None
    if size > MAX_REQUEST_BYTES and not converted:
        raise too_large(size, name, MAX_REQUEST_BYTES)
    parts, length = [head], len(head)
    while (converted or length <= MAX_REQUEST_BYTES) and (part := file.read(_PART_BYTES)):
        parts.append(part)
        length += len(part)
    return b"".join(parts)


def _of_file(data: bytes, name: str, quality: JpegQuality) -> EncodedImage:
    kind = _other_format(data)
    if kind is None:
        if len(data) > MAX_REQUEST_BYTES:
            raise too_large(len(data), name, MAX_REQUEST_BYTES)
        return EncodedImage(data)
    opened = open_other(data, kind, name)
    try:
        return EncodedImage(encode(upright_image(opened), quality))
    except ValueError as error:
        raise InvalidRequestError(f"{name}: {error}") from error


def _other_format(data: bytes) -> str | None:
    return None if data.startswith(_SENT_AS_IT_IS) else other_format(data[:HEAD_BYTES])


def too_large(size: int, name: str, limit: int) -> MessageTooLargeError:
    """The error for what cannot be sent in one message of ``limit`` bytes."""
    return MessageTooLargeError(f"{name}: expected at most {limit} bytes, got {size}")
