"""A request in two parts says what protobuf reads in the whole."""

from __future__ import annotations

import pytest
from google.protobuf.message import DecodeError
from hypothesis import given, settings
from hypothesis import strategies as st

from diptych.segment import v1 as pb
from diptych_runtime.wire.split import SplitRequest, last_value, split, split_quickly

images = st.one_of(
    st.binary(max_size=300).map(lambda data: pb.Image(encoded=data)),
    st.binary(max_size=40).map(lambda data: pb.Image(sha256=data)),
    st.just(pb.Image()),
)
requests = st.builds(
    pb.SegmentRequest,
    model_id=st.text(max_size=8),
    image=st.none() | images,
    task=st.integers(0, 9),
    prompts=st.lists(
        st.builds(
            pb.ObjectPrompt,
            points=st.lists(st.builds(pb.PointPrompt, x_px=st.floats(width=32)), max_size=2),
        ),
        max_size=3,
    ),
)
# Fields that no version has: a number, eight bytes, four bytes, text, a group, a long key.
unknown = st.sampled_from(
    [
        *(b"\xf8\x07\x05", b"\xf9\x07" + bytes(8), b"\xfd\x07" + bytes(4), b"\xfa\x07\x02hi"),
        *(b"\xfb\x07\xfc\x07", b"\x98\x80\x80\x00\x01", b""),
    ]
)
several = st.lists(st.one_of(requests.map(lambda r: r.SerializeToString()), unknown), max_size=4)


def whole(parts: SplitRequest) -> pb.SegmentRequest:
    """The request with its picture put back."""
    assert not parts.request.image.encoded
    request = pb.SegmentRequest.FromString(parts.rest)
    assert request == parts.request
    if parts.picture:
        assert request.image.WhichOneof("source") == "encoded"
        request.image.encoded = bytes(parts.picture)
    return request


def check(raw: bytes) -> None:
    """Both ways to read ``raw`` end in the same."""
    try:
        expected = pb.SegmentRequest.FromString(raw)
    except DecodeError:
        with pytest.raises(DecodeError):
            split(raw)
        return
    read = whole(split(raw))
    # NaN is not itself: compare what is written.
    assert read.SerializeToString(deterministic=True) == expected.SerializeToString(
        deterministic=True
    )


@settings(deadline=None)
@given(several)
def test_requests_one_behind_the_other(pieces: list[bytes]) -> None:
    check(b"".join(pieces))


@settings(deadline=None)
@given(several, st.data())
def test_broken_requests(pieces: list[bytes], data: st.DataObject) -> None:
    raw = bytearray(b"".join(pieces))
    cut = data.draw(st.integers(0, len(raw)))
    del raw[cut:]
    if raw:
        raw[data.draw(st.integers(0, len(raw) - 1))] = data.draw(st.integers(0, 255))
    check(bytes(raw))


@settings(deadline=None)
@given(st.binary(max_size=60))
def test_any_bytes(raw: bytes) -> None:
    check(raw)


def test_of_a_picture_and_a_digest_the_later_one_counts() -> None:
    picture = pb.SegmentRequest(image=pb.Image(encoded=b"file")).SerializeToString()
    digest = pb.SegmentRequest(image=pb.Image(sha256=b"d")).SerializeToString()
    assert bytes(split(digest + picture).picture) == b"file"
    assert not split(picture + digest).picture
    assert split(picture + digest).request.image.sha256 == b"d"


def test_a_picture_is_not_copied() -> None:
    raw = pb.SegmentRequest(image=pb.Image(encoded=bytes(100_000))).SerializeToString()
    parts = split(raw)
    assert parts.picture.obj is raw
    assert len(parts.rest) < 10


def test_more_fields_than_are_read_one_by_one() -> None:
    request = pb.SegmentRequest(image=pb.Image(encoded=b"file"), prompts=[pb.ObjectPrompt()] * 2000)
    assert whole(split(request.SerializeToString())) == request
    check(request.SerializeToString() + b"\x12\x64" + b"\x0a\x00" * 50)


@given(requests, st.binary(max_size=60_000))
def test_a_large_picture_is_split_quickly(request: pb.SegmentRequest, some: bytes) -> None:
    request.image.encoded = some + bytes(200_000)
    quick = split_quickly(request.SerializeToString())
    assert quick == split(request.SerializeToString())


def test_what_takes_long_is_not_split_quickly() -> None:
    prompts = [pb.ObjectPrompt(points=[pb.PointPrompt(x_px=1.5)] * 20_000)]
    with_masks = pb.SegmentRequest(image=pb.Image(encoded=b"x"), prompts=prompts)
    assert split_quickly(with_masks.SerializeToString()) is None
    in_pieces = pb.SegmentRequest(image=pb.Image(encoded=bytes(9_000))).SerializeToString() * 20
    assert split_quickly(in_pieces) is None


@given(st.binary(max_size=40), st.text(max_size=5))
def test_the_last_value_of_a_field(digest: bytes, model_id: str) -> None:
    reply = pb.SegmentResponse(model_id=model_id, image_sha256=digest).SerializeToString()
    assert last_value(reply, pb.SegmentResponse.IMAGE_SHA256_FIELD_NUMBER) == digest
    assert last_value(reply[:-1], pb.SegmentResponse.IMAGE_SHA256_FIELD_NUMBER) == b""
    assert last_value(reply * 2_000, 4) in (b"", digest)
