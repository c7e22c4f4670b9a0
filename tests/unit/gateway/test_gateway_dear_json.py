"""JSON that would hold the interpreter is refused before it is read."""

from __future__ import annotations

import base64
import io
import json
import tracemalloc
from collections.abc import Callable

import pytest
from PIL import Image

from diptych_gateway.http import options, video_messages
from diptych_gateway.http.forms import MAX_OPTIONS_BYTES
from diptych_runtime.engine import ServiceError

POINTS = b'"points":[' + b",".join([b"[1]"] * 30_000) + b"]"
LISTS = b'{"model":"a","prompts":[{' + POINTS + b"}]}"
PROMPT = b'{"event":"prompt","object_id":1,"frame_index":0,' + POINTS + b"}"
OBJECTS = b'{"model":"a","prompts":[' + b",".join([b"{}"] * 11_000) + b"]}"
NUMBERS = b'{"model":"a","output":{"category_ids":[' + b"1," * 1_000_000 + b"1],}}"
NAMES = b"{" + b",".join(b'"%x":1' % number for number in range(6000)) + b"}"


def in_form(read: Callable[[options.Form], object]) -> Callable[[bytes], object]:
    return lambda text: read({"image_sha256": b"0" * 64, "options": text})


def as_text(text: bytes) -> object:
    return video_messages.read_text(text.decode())


@pytest.mark.parametrize(
    ("read", "text", "wanted"),
    [
        (in_form(options.read_segment), LISTS, "at most 20000 [, got 30002"),
        (in_form(options.read_segment), NAMES, 'at most 10000 ", got 12000'),
        (in_form(options.read_segment), OBJECTS, "at most 10000 {, got 11001"),
        (in_form(options.read_compare), NAMES, 'at most 10000 ", got 12000'),
        (as_text, PROMPT, "at most 20000 [, got 30001"),
        (as_text, NAMES, 'at most 10000 ", got 12000'),
        (in_form(options.read_segment), NUMBERS, "at most 70000 ,, got 1000002"),
        (as_text, NUMBERS, "at most 70000 ,, got 1000002"),
    ],
    ids=[
        "lists",
        "names",
        "objects",
        "names of a comparison",
        "lists of a prompt",
        "names of a message",
        "numbers",
        "numbers of a message",
    ],
)
def test_too_many_lists_or_names(read: Callable[[bytes], object], text: bytes, wanted: str) -> None:
    with pytest.raises(ServiceError) as said:
        read(text)
    assert wanted in str(said.value)
    assert len(said.value.violations) == 1


def test_a_mask_of_very_many_pixels_is_not_drawn() -> None:
    """The gateway does not know how large the picture is; a model that does refuses the mask."""
    side = 6_000
    file = io.BytesIO()
    Image.new("1", (side, side)).save(file, "PNG")
    assert len(file.getvalue()) < MAX_OPTIONS_BYTES
    mask = {"png": base64.b64encode(file.getvalue()).decode()}
    text = json.dumps({"model": "a", "prompts": [{"mask": mask}] * 2}).encode()
    tracemalloc.start()
    _, request = options.read_segment({"image_sha256": b"0" * 64, "options": text})
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert [prompt.mask.mask.png for prompt in request.prompts] == [file.getvalue()] * 2
    assert peak < side * side


def test_what_the_contract_allows_is_read() -> None:
    prompt = b'{"points":[' + b",".join([b"[1.5,2,false]"] * 64) + b'],"box":[1,2,3,4]}'
    text = b'{"model":"a","prompts":[' + b",".join([prompt] * 256) + b"]}"
    _, request = options.read_segment({"image_sha256": b"0" * 64, "options": text})
    assert sum(len(asked.points) for asked in request.prompts) == 256 * 64
