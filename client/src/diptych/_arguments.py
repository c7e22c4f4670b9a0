"""What callers pass, in the forms in which they have it, turned into what is sent."""

from __future__ import annotations

import hashlib
import io
import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Union

import numpy as np
from numpy.typing import NDArray

from ._types.errors import MessageTooLargeError
from ._types.geometry import Box, Point
from ._types.prompts import AutomaticOptions, OutputOptions, Prompt, Task
from .limits import MAX_REQUEST_BYTES

if TYPE_CHECKING:
    import PIL.Image

ImageLike = Union[str, "os.PathLike[str]", bytes, NDArray[np.uint8], "PIL.Image.Image"]
"""A path, the bytes of a JPEG, PNG or WebP file, an RGB uint8 array ``(H, W, 3)``, or a PIL image.

Files and bytes are sent unchanged; arrays and PIL images as PNG, without loss."""
PointLike = Point | Sequence[float]
"""A ``Point``, ``(x, y)``, or ``(x, y, positive)``."""
BoxLike = Box | Sequence[float]
"""A ``Box``, or ``(x_min, y_min, x_max, y_max)``."""


@dataclass(frozen=True)
class RequestOptions:
    """Everything about a request but its image."""

    model_id: str
    task: Task
    prompts: tuple[Prompt, ...] = ()
    output: OutputOptions = field(default_factory=OutputOptions)
    automatic: AutomaticOptions | None = None


def make_options(
    model: str | None = None,
    task: Task | str | None = None,
    prompts: Iterable[Prompt] = (),
    points: Iterable[PointLike] = (),
    boxes: Iterable[BoxLike] = (),
    output: OutputOptions | None = None,
    automatic: AutomaticOptions | None = None,
) -> RequestOptions:
    """Puts the prompts in order: ``prompts``, then one of all ``points``, then one per box. Points
    that are all off the object correct the only other prompt, if there is one.

    Without a task it is prompted segmentation if there are prompts, else instance segmentation.

    Raises:
        ValueError, TypeError: for an unknown task, or for a point or a box of another shape.
    """
    objects = _objects(
        tuple(prompts),
        Prompt(points=tuple(make_point(point) for point in points)),
        tuple(Prompt(box=make_box(box)) for box in boxes),
    )
    if task is None:
        task = Task.PROMPTED_SEGMENTATION if objects else Task.INSTANCE_SEGMENTATION
    return RequestOptions(model or "", _task(task), objects, output or OutputOptions(), automatic)


def _objects(
    prompts: tuple[Prompt, ...], pointed: Prompt, boxed: tuple[Prompt, ...]
) -> tuple[Prompt, ...]:
    others = (*prompts, *boxed)
    if pointed.is_correction and len(others) == 1:
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


def encode_image(image: ImageLike) -> EncodedImage:
    """The bytes to send.

    Raises:
        OSError: if the file cannot be read.
        TypeError, ValueError: if the value is no image of the kinds in ``ImageLike``.
        MessageTooLargeError: if the bytes cannot fit a request.
    """
    if isinstance(image, (bytes, bytearray, memoryview)):
        return _bounded(bytes(image), "image")
    if isinstance(image, (str, os.PathLike)):
        return _from_file(Path(image))
    if isinstance(image, np.ndarray):
        return _bounded(_png_of_array(image), "image as PNG")
    # Checked by name, so that PIL is only loaded by those who use it.
    if any(kind.__module__.startswith("PIL.") for kind in type(image).__mro__):
        return _bounded(_png_of_pil(image), "image as PNG")
    raise TypeError(
        f"image: expected a path, bytes, an RGB array or a PIL image, got {type(image).__name__}"
    )


def _from_file(path: Path) -> EncodedImage:
    size = path.stat().st_size
    if size > MAX_REQUEST_BYTES:
        raise _too_large(size, str(path))
    return _bounded(path.read_bytes(), str(path))


def _bounded(data: bytes, name: str) -> EncodedImage:
    if len(data) > MAX_REQUEST_BYTES:
        raise _too_large(len(data), name)
    return EncodedImage(data)


def _too_large(size: int, name: str) -> MessageTooLargeError:
    return MessageTooLargeError(f"{name}: expected at most {MAX_REQUEST_BYTES} bytes, got {size}")


def _png_of_array(pixels: NDArray[np.uint8]) -> bytes:
    if pixels.dtype != np.uint8 or pixels.ndim != 3 or pixels.shape[2] != 3 or pixels.size == 0:
        raise ValueError(
            "image: expected an RGB array of shape (H, W, 3) and dtype uint8, "
            f"got shape {pixels.shape} and dtype {pixels.dtype}"
        )
    from PIL import Image

    return _png_of_pil(Image.fromarray(np.ascontiguousarray(pixels)))


def _png_of_pil(image: PIL.Image.Image) -> bytes:
    buffer = io.BytesIO()
    rgb = image.convert("RGB") if image.mode in ("CMYK", "YCbCr", "LAB", "HSV") else image
    # Level 1 is several times faster than the default and a little larger.
    rgb.save(buffer, format="PNG", compress_level=1)
    return buffer.getvalue()
