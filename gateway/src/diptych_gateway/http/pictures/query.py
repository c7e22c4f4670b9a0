"""Options as query parameters: each by its own name, as the command line has them.

What comes of them is the JSON of the ``options`` of a form, so that both ways are checked alike.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from typing import Any, Literal, get_origin, get_type_hints

from starlette.datastructures import QueryParams

from diptych import AutomaticOptions, OutputOptions, Point, Prompt
from diptych.wire.requests import make_options
from diptych_runtime.engine import Reason, invalid

from ..forms import Form

Kind = Literal["text", "list", "number", "numbers", "flag"]
MASK = "mask"
"""Which segment's mask is wanted as a picture: of the answer, not of the question."""
_POINT, _BOX = "point", "box"
_REPEATED = {_POINT: "x,y or x,y,0", _BOX: "x_min,y_min,x_max,y_max"}
OWN: dict[str, Kind] = {
    "model": "text",
    "models": "list",
    "task": "text",
    "match_iou": "number",
    "timeout_s": "number",
}
_FLAGS = {"true": True, "1": True, "false": False, "0": False}


def _kinds(options: type[Any]) -> dict[str, Kind]:
    """Read off the type of each option how its text is read."""
    return {name: _kind(hint) for name, hint in get_type_hints(options).items()}


def _kind(hint: Any) -> Kind:
    if get_origin(hint) is tuple:
        return "numbers"
    if hint in (bool, bool | None):
        return "flag"
    return "number" if hint in (int | None, float | None) else "text"


GROUPS = {"output": _kinds(OutputOptions), "automatic": _kinds(AutomaticOptions)}
"""Options that are one level down in JSON, by where they are there."""
_PLACES: dict[str, tuple[str, Kind]] = {
    **{name: ("", kind) for name, kind in OWN.items()},
    **{name: (group, kind) for group, all_of in GROUPS.items() for name, kind in all_of.items()},
}
NAMES = (*OWN, *_REPEATED, *(name for kinds in GROUPS.values() for name in kinds), MASK)


def with_query(form: Form, query: QueryParams) -> Form:
    """Add the options of the query to a form that has none itself.

    Raises:
        ServiceError: a parameter has another name, a text that is none of it, comes twice, or
            there are options in the form as well.
    """
    asked = [(name, text) for name, text in query.multi_items() if name != MASK]
    if not asked:
        return form
    if form.get("options"):
        wanted = "expected options in the form or as query parameters, got both"
        raise invalid(Reason.OPTION_INVALID, asked[0][0][:100], wanted)
    return {**form, "options": json.dumps(_document(asked)).encode()}


def wanted_mask(query: QueryParams) -> int | None:
    """Read which segment's mask is wanted; ``None`` if all are, over the picture.

    Raises:
        ServiceError: it is no index.
    """
    texts = query.getlist(MASK)
    if not texts:
        return None
    if len(texts) > 1 or not (texts[0].isascii() and texts[0].isdecimal() and len(texts[0]) < 7):
        wanted = "expected the index of one segment, from 0 on"
        raise invalid(Reason.OPTION_INVALID, MASK, f"{wanted}, got {','.join(texts)[:100]!r}")
    return int(texts[0])


def _document(asked: Sequence[tuple[str, str]]) -> Mapping[str, Any]:
    found: dict[str, Any] = {}
    for name, text in asked:
        if name in _REPEATED:
            continue
        group, kind = _place(name)
        level = found.setdefault(group, {}) if group else found
        if name in level:
            raise invalid(Reason.OPTION_INVALID, name, "expected once, got twice")
        level[name] = _value(name, kind, text)
    prompts = _prompts(
        [_numbers(_POINT, text, 2, 3) for name, text in asked if name == _POINT],
        [_numbers(_BOX, text, 4, 4) for name, text in asked if name == _BOX],
    )
    return {**found, "prompts": prompts} if prompts else found


def _place(name: str) -> tuple[str, Kind]:
    if name not in _PLACES:
        wanted = f"expected one of {', '.join(NAMES)}, got {name[:100]!r}"
        raise invalid(Reason.OPTION_INVALID, name[:100], wanted)
    return _PLACES[name]


def _value(name: str, kind: Kind, text: str) -> Any:
    if kind == "text":
        return text
    if kind == "list":
        return [part.strip() for part in text.split(",")]
    if kind == "flag":
        if text not in _FLAGS:
            raise invalid(Reason.OPTION_INVALID, name, f"expected true or false, got {_cut(text)}")
        return _FLAGS[text]
    if kind == "numbers":
        return [_number(name, part) for part in text.split(",")]
    return _number(name, text)


def _number(name: str, text: str, wanted: str = "a number") -> int | float:
    try:
        number = float(text)
        if not math.isfinite(number):
            raise ValueError
        return int(text) if text.lstrip("+-").isdecimal() else number
    except ValueError:
        got = f"expected {wanted}, got {_cut(text)}"
        raise invalid(Reason.OPTION_INVALID, name, got) from None


def _numbers(name: str, text: str, fewest: int, most: int) -> list[float]:
    numbers = [float(_number(name, part, _REPEATED[name])) for part in text.split(",")]
    if not fewest <= len(numbers) <= most or (len(numbers) == 3 and numbers[2] not in (0, 1)):
        wanted = f"expected {_REPEATED[name]}, got {_cut(text)}"
        raise invalid(Reason.OPTION_INVALID, name, wanted)
    return numbers


def _prompts(points: Sequence[Any], boxes: Sequence[Any]) -> list[dict[str, Any]]:
    """Make objects of points and boxes as the SDK and the command line do."""
    return [
        _prompt(prompt)
        for prompt in make_options(points=points or None, boxes=boxes or None).prompts
    ]


def _prompt(prompt: Prompt) -> dict[str, Any]:
    points = [_point(point) for point in prompt.points]
    return {"points": points, "box": prompt.box and list(prompt.box.xyxy)}


def _point(point: Point) -> list[float | bool]:
    return [point.x, point.y, point.positive]


def _cut(text: str) -> str:
    return repr(text[:100])
