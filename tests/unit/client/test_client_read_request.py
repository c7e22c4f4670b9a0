"""A request whose file is left where it is says what protobuf reads in the whole."""

from __future__ import annotations

import pytest
from google.protobuf.message import DecodeError
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from diptych.segment import v1 as pb
from diptych.wire import requests as wire
from diptych.wire.requests import read_request, read_size

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
anything = settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


@pytest.fixture(autouse=True)
def every_file_is_large(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(wire, "_LARGE_BYTES", 1)


def check(raw: bytes) -> None:
    """Both ways to read ``raw`` end in the same."""
    try:
        expected = pb.SegmentRequest.FromString(raw)
    except DecodeError:
        with pytest.raises(DecodeError):
            read_request(raw)
        return
    request, encoded = read_request(raw)
    assert request.image.WhichOneof("source") == expected.image.WhichOneof("source")
    assert not request.image.encoded
    if encoded:
        request.image.encoded = bytes(encoded)
    # NaN is not itself: compare what is written.
    assert request.SerializeToString(deterministic=True) == expected.SerializeToString(
        deterministic=True
    )


@anything
@given(several)
def test_requests_one_behind_the_other(pieces: list[bytes]) -> None:
    check(b"".join(pieces))


@anything
@given(several, st.data())
def test_broken_requests(pieces: list[bytes], data: st.DataObject) -> None:
    raw = bytearray(b"".join(pieces))
    cut = data.draw(st.integers(0, len(raw)))
    del raw[cut:]
    if raw:
        raw[data.draw(st.integers(0, len(raw) - 1))] = data.draw(st.integers(0, 255))
    check(bytes(raw))


@anything
@given(st.binary(max_size=60))
def test_any_bytes(raw: bytes) -> None:
    check(raw)


def test_of_a_file_and_a_digest_the_later_one_counts() -> None:
    file = pb.SegmentRequest(image=pb.Image(encoded=b"file")).SerializeToString()
    digest = pb.SegmentRequest(image=pb.Image(sha256=b"d")).SerializeToString()
    assert bytes(read_request(digest + file)[1]) == b"file"
    request, encoded = read_request(file + digest)
    assert not encoded
    assert request.image.sha256 == b"d"


@pytest.mark.parametrize("model_id", ["", "sam-2", "m" * 300])
def test_a_large_file_is_not_copied(model_id: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()
    image = pb.Image(encoded=bytes(100_000))
    raw = pb.SegmentRequest(model_id=model_id, image=image, task=pb.Task.TASK_INSTANCE_SEGMENTATION)
    encoded = raw.SerializeToString()
    request, file = read_request(encoded)
    assert isinstance(file, memoryview)
    assert file.obj is encoded
    assert read_size(encoded) == len(encoded) - 100_000
    assert len(file) == 100_000
    assert (request.model_id, request.task) == (model_id, raw.task)
    assert request.image.WhichOneof("source") == "encoded"


def test_a_small_file_is_read_by_protobuf(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()
    raw = pb.SegmentRequest(image=pb.Image(encoded=bytes(1000))).SerializeToString()
    assert read_size(raw) == len(raw)
    assert read_request(raw)[1] == bytes(1000)
