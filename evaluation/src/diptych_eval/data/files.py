"""Text, JSON, XML and label PNGs of a data set; what is broken is named by file and line."""

from __future__ import annotations

import json
import xml.etree.ElementTree as ElementTree
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from .errors import DatasetError
from .geometry import short

_LABEL_MODES = ("1", "L", "P", "I;16", "I;16B", "I")


class ColoursError(DatasetError):
    """A PNG of labels that holds colours where numbers were expected."""


def read_text(path: Path) -> str:
    """A text file in UTF-8, with or without a byte order mark.

    Raises:
        DatasetError: it cannot be read, or is in another encoding.
    """
    try:
        return path.read_bytes().decode("utf-8-sig")
    except OSError as error:
        got = error.strerror or type(error).__name__
        raise DatasetError(path, "", "a file that can be read", got) from error
    except UnicodeDecodeError as error:
        raise DatasetError(path, f"byte {error.start}", "text in UTF-8", error.reason) from error


def read_json(path: Path) -> Any:
    """What a JSON file holds.

    Raises:
        DatasetError: it is none; with line and column.
    """
    text = read_text(path)
    if not text.strip():
        raise DatasetError(path, "line 1", "JSON", "an empty file")
    try:
        return json.loads(text)
    except json.JSONDecodeError as error:
        place = f"line {error.lineno}, column {error.colno}"
        raise DatasetError(path, place, "JSON", error.msg) from error
    except RecursionError as error:
        raise DatasetError(path, "", "JSON of a data set", "values nested too deep") from error


def read_object(path: Path, what: str) -> dict[str, Any]:
    """The object that a JSON file holds, as ``read_json``."""
    value = read_json(path)
    if not isinstance(value, dict):
        raise DatasetError(path, "", what, f"{type(value).__name__} {short(value)}")
    return value


def read_xml(path: Path) -> ElementTree.Element:
    """The root of an XML file.

    Raises:
        DatasetError: it is none; with line and column.
    """
    try:
        data = path.read_bytes()
        if b"<!ENTITY" in data:  # a few of them expand to gigabytes
            raise ValueError("it defines entities, which no labels need")
        return ElementTree.fromstring(data)  # noqa: S314  # entities are refused above
    except ElementTree.ParseError as error:
        line, column = error.position
        raise DatasetError(path, f"line {line}, column {column}", "XML", str(error)) from error
    except (OSError, ValueError, LookupError) as error:
        raise DatasetError(path, "", "XML that can be read", str(error)) from error


def read_labels(path: Path) -> NDArray[np.integer[Any]]:
    """``(height, width)`` values of a PNG that holds a number for each pixel.

    Raises:
        DatasetError: it cannot be read; a ``ColoursError`` if it holds colours.
    """
    try:
        with Image.open(path) as image:
            mode = image.mode
            if mode in _LABEL_MODES:
                values = np.asarray(image)
                return values.astype(np.uint8) if mode == "1" else values
    except Exception as error:  # decoders of broken files raise whatever comes up
        said = str(error) or type(error).__name__
        raise DatasetError(path, "", "a PNG of labels", f"a file that is none: {said}") from error
    expected = "a number for each pixel (grey or a palette)"
    raise ColoursError(path, "", expected, f"colours (mode {mode})")
