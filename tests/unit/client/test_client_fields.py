"""Requests that would take a hundred times their bytes are refused before they are read."""

from __future__ import annotations

import tracemalloc

import pytest
from google.protobuf.message import DecodeError

from diptych.segment import v1 as pb
from diptych.wire.fields import check_fields
from diptych.wire.requests import read_request

KIND = pb.SegmentRequest
BEGINNING = pb.SegmentRequest(model_id="fake", image=pb.Image(encoded=b"\xff" * 200_000))
MANY = 1_000_000


def within(number: int, content: bytes) -> bytes:
    size, text = len(content), b""
    while size > 0x7F:
        text, size = text + bytes([size & 0x7F | 0x80]), size >> 7
    return bytes([number << 3 | 2]) + text + bytes([size]) + content


@pytest.mark.parametrize(
    "many",
    [
        within(4, b"") * MANY,
        within(4, within(1, b"") * MANY),
        within(5, b"\x30\x01" * MANY),
        within(5, within(6, b"\x01" * MANY)),
        b"\x98\x06\x01" * MANY,
    ],
    ids=["prompts", "points of one prompt", "numbers", "packed numbers", "unknown"],
)
def test_many_small_fields_are_not_read(many: bytes) -> None:
    raw = BEGINNING.SerializeToString() + many
    tracemalloc.start()
    with pytest.raises(DecodeError):
        read_request(raw)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 2 * len(raw)


def test_counting_fields_keeps_nothing_of_them() -> None:
    raw = within(4, within(3, within(1, b""))) * MANY
    tracemalloc.start()
    with pytest.raises(DecodeError):
        check_fields(raw, KIND)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 100_000  # what it keeps, the collector goes through again and again


def test_a_field_that_ends_too_late_hides_none_after_its_message() -> None:
    prompt = within(4, b"\x0a\x7f")  # says that 127 bytes follow; its message has none
    with pytest.raises(DecodeError, match="at most"):
        check_fields(prompt + within(4, b"\x0a\x00") * MANY, KIND)


def test_the_most_that_the_contract_allows_is_read() -> None:
    request = pb.SegmentRequest()
    request.CopyFrom(BEGINNING)
    for _ in range(256):
        prompt = request.prompts.add()
        for number in range(64):
            prompt.points.add(x_px=number + 0.5, y_px=number + 0.25, label=1)
        prompt.box.x_max_px = 9.0
        prompt.mask.mask.png = b"\x89" * 20_000
    request.output.category_ids.extend([2**31 - 1] * 10_000)
    raw = request.SerializeToString()
    check_fields(raw, KIND)
    read, encoded = read_request(raw)
    assert len(read.prompts) == 256
    assert bytes(encoded) == BEGINNING.image.encoded


@pytest.mark.parametrize("broken", [b"\x22", b"\x22\xff", b"\x27", b"\xff" * 20])
def test_what_is_no_message_is_refused(broken: bytes) -> None:
    with pytest.raises(DecodeError):
        check_fields(within(9, bytes(300_000)) + broken, KIND)
