"""Which picture is asked for what."""

from __future__ import annotations

import operator
import os
from collections.abc import Iterable, Iterator, Sized
from dataclasses import dataclass
from itertools import zip_longest
from typing import Any, Union

from .._arguments import ImageLike, RequestOptions, make_options
from .._pictures.images import image_sources
from .._types.prompts import Prompt

Images = Union[str, "os.PathLike[str]", Iterable[ImageLike]]
"""A folder, or pictures one after the other."""
_NONE: Any = object()


@dataclass(frozen=True, eq=False)
class Asked:
    """One picture, and what is asked about it."""

    index: int
    image: ImageLike
    options: RequestOptions | Exception
    """Or what is wrong with the prompts of this picture alone."""


def asked_items(
    images: Images, each: Iterable[Iterable[Prompt]] | None, given: dict[str, Any]
) -> Iterator[Asked]:
    """Every picture, with its prompts: those of all, or an entry of ``each`` for each.

    ``given`` are the arguments of ``make_options``.

    Raises:
        OSError, TypeError, ValueError: an argument cannot be used, or the numbers of pictures and
            entries are known and differ. If one of them is not, it is raised where one ends.
    """
    sources = image_sources(images)
    if each is None:
        options = make_options(**given)
        return (Asked(index, image, options) for index, image in enumerate(sources))
    for name in ("prompts", "points", "boxes"):
        if given[name] is not None:
            raise ValueError(f"{name}: expected either this or prompts_per_image, got both")
    make_options(**given)  # so that a wrong task is told at once
    count = len(images) if isinstance(images, Sized) and not isinstance(images, str) else -1
    if isinstance(images, (str, os.PathLike)):
        count = operator.length_hint(sources)
    if isinstance(each, Sized) and count not in (-1, len(each)):
        raise _wrong_length(str(count), str(len(each)))
    return _paired(sources, each, given)


def _paired(
    sources: Iterator[ImageLike], each: Iterable[Iterable[Prompt]], given: dict[str, Any]
) -> Iterator[Asked]:
    for index, (image, prompts) in enumerate(zip_longest(sources, each, fillvalue=_NONE)):
        if image is _NONE:
            raise _wrong_length(str(index), "more")
        if prompts is _NONE:
            raise _wrong_length(f"more than {index}", str(index))
        yield Asked(index, image, _own_options(given, prompts))


def _own_options(given: dict[str, Any], prompts: Iterable[Prompt]) -> RequestOptions | Exception:
    try:
        return make_options(**{**given, "prompts": prompts})
    except (TypeError, ValueError) as error:
        return error


def _wrong_length(images: str, entries: str) -> ValueError:
    return ValueError(
        f"prompts_per_image: expected an entry for each of {images} images, got {entries}"
    )
