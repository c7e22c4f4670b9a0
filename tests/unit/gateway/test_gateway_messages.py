from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import Any

import grpc
import pytest
from google.rpc import status_pb2
from hypothesis import given
from hypothesis import strategies as st

from diptych import MaskEncoding
from diptych.segment import v1 as pb
from diptych.wire.serialized import frame_bytes, with_encoding, with_image, with_model_id
from diptych_gateway.request import parse_request, serialize
from diptych_gateway.statuses import BackendError, from_rpc_error, of_part
from diptych_runtime.engine import Reason, ServiceError

MiB = 1024 * 1024


@given(st.binary(max_size=64), st.text(max_size=20), st.text(max_size=20))
def test_an_appended_model_id_wins(image: bytes, before: str, after: str) -> None:
    request = pb.SegmentRequest(
        model_id=before,
        image=pb.Image(encoded=image),
        task=pb.Task.TASK_PROMPTED_SEGMENTATION,
        prompts=[pb.ObjectPrompt(points=[pb.PointPrompt(x_px=1.5)])],
        output=pb.OutputOptions(min_score=0.0),
    )
    got = pb.SegmentRequest.FromString(with_model_id(request.SerializeToString(), after))
    request.model_id = after or before
    assert got == request


@given(st.sampled_from(pb.MaskEncoding.values()), st.floats(0, 1, width=32))
def test_an_appended_encoding_leaves_the_other_options(encoding: Any, min_score: float) -> None:
    output = pb.OutputOptions(mask_encoding=encoding, min_score=min_score, category_ids=[3, 4])
    request = pb.SegmentRequest(model_id="a", output=output)
    got = pb.SegmentRequest.FromString(
        with_encoding(request.SerializeToString(), MaskEncoding.COCO_RLE)
    )
    request.output.mask_encoding = pb.MaskEncoding.MASK_ENCODING_COCO_RLE
    assert got == request


@given(st.binary(max_size=64), st.binary(max_size=32))
def test_an_appended_image_replaces_the_digest(image: bytes, digest: bytes) -> None:
    request = pb.SegmentRequest(
        model_id="a", image=pb.Image(sha256=digest), task=pb.Task.TASK_PROMPTED_SEGMENTATION
    )
    got = pb.SegmentRequest.FromString(with_image(request.SerializeToString(), image))
    request.image.encoded = image
    assert got == request


@given(st.binary(max_size=300), st.integers(0, 2**63 - 1), st.integers(0, 2**63 - 1))
def test_a_frame_is_as_protobuf_writes_it(file: bytes, seq: int, index: int) -> None:
    frame = pb.VideoFrame(frame_index=index, encoded=file)
    expected = pb.SegmentVideoRequest(seq=seq, frame=frame)
    assert pb.SegmentVideoRequest.FromString(frame_bytes(seq, index, file)) == expected


# What is resident, and its peak, other threads and other systems count differently. An allocation
# that has no room fails anywhere. Blocks of this size are always mapped: none reuses another.
ROOM_FOR_ONE_COPY = """
import json, resource
from pathlib import Path
from diptych.wire.serialized import frame_bytes, with_image
from diptych_gateway.http.video_messages import read_frame

PUT = {
    "image": lambda file: with_image(b"", file),
    "frame": lambda file: frame_bytes(1, 2, file),
    "frame of a WebSocket": lambda file: read_frame(file, 1),
    "two copies": lambda file: (file + b"1") + b"2",
}
for put in PUT.values():
    put(bytes(100))  # what the first call loads
file, done = b"x" * (48 << 20), {}
mapped = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
resource.setrlimit(resource.RLIMIT_AS, (mapped + len(file) * 3 // 2,) * 2)
for name, put in PUT.items():
    try:
        done[name] = len(put(file)) >= len(file) - 8
    except Exception as error:
        done[name] = repr(error)
print(json.dumps(done))
"""


@pytest.fixture(scope="module")
def copied() -> Any:
    """What became of a large file where there was room for one more of its size."""
    done = subprocess.run(
        [sys.executable, "-c", ROOM_FOR_ONE_COPY],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.mark.parametrize("put", ["image", "frame", "frame of a WebSocket"])
def test_a_large_file_is_copied_once(put: str, copied: dict[str, Any]) -> None:
    assert copied[put] is True


def test_a_second_copy_has_no_room(copied: dict[str, Any]) -> None:
    assert copied["two copies"] == "MemoryError()"


@pytest.mark.parametrize("size", [10, 2 * MiB])
async def test_there_and_back(size: int) -> None:
    request = pb.SegmentRequest(model_id="a", image=pb.Image(encoded=bytes(size)))
    assert await parse_request(pb.SegmentRequest, await serialize(request)) == request


@pytest.mark.parametrize("size", [3, 2 * MiB])
async def test_no_message_is_an_invalid_argument(size: int) -> None:
    with pytest.raises(ServiceError) as caught:
        await parse_request(pb.SegmentRequest, b"\xff" * size)
    assert caught.value.reason is Reason.OPTION_INVALID


def rpc_error(
    code: grpc.StatusCode, details: str = "", trailers: tuple[tuple[str, bytes], ...] = ()
) -> grpc.aio.AioRpcError:
    return grpc.aio.AioRpcError(code, grpc.aio.Metadata(), grpc.aio.Metadata(*trailers), details)


@pytest.mark.parametrize(
    ("code", "reason"),
    [
        (grpc.StatusCode.UNAVAILABLE, Reason.MODEL_LOADING),
        (grpc.StatusCode.CANCELLED, Reason.MODEL_LOADING),
        (grpc.StatusCode.DEADLINE_EXCEEDED, Reason.DEADLINE),
        (grpc.StatusCode.UNKNOWN, Reason.MODEL_FAILED),
        (grpc.StatusCode.INTERNAL, Reason.MODEL_FAILED),
    ],
)
def test_what_grpc_says_itself_is_reworded(code: grpc.StatusCode, reason: Reason) -> None:
    error = from_rpc_error(rpc_error(code, "ipv4:10.0.0.7:50061: refused in /app/x.py"), "sam-2")
    assert isinstance(error, ServiceError)
    assert error.reason is reason
    assert "sam-2" in error.message
    assert "10.0.0.7" not in error.message


def test_the_size_limit_speaks_for_itself() -> None:
    code = grpc.StatusCode.RESOURCE_EXHAUSTED
    error = from_rpc_error(rpc_error(code, "Received message larger than max (5 vs. 4)"), "sam-2")
    assert isinstance(error, BackendError)
    assert error.status == status_pb2.Status(
        code=code.value[0], message="Received message larger than max (5 vs. 4)"
    )
    assert error.reason == ""


def refused(message: str) -> status_pb2.Status:
    return ServiceError(Reason.PROMPT_INVALID, message).to_status("0123")


def test_details_pass_unchanged() -> None:
    status = refused("prompts[0]: none")
    trailers = (("grpc-status-details-bin", status.SerializeToString()),)
    error = from_rpc_error(rpc_error(grpc.StatusCode.INVALID_ARGUMENT, "x", trailers), "a")
    assert isinstance(error, BackendError)
    assert error.status == status
    assert error.reason == "PROMPT_INVALID"


@pytest.mark.parametrize("details", [b"\xff\xff", refused("other code").SerializeToString()])
def test_details_that_do_not_fit_the_code_are_not_believed(details: bytes) -> None:
    trailers = (("grpc-status-details-bin", details),)
    error = from_rpc_error(rpc_error(grpc.StatusCode.NOT_FOUND, "plain", trailers), "a")
    assert isinstance(error, BackendError)
    assert error.status == status_pb2.Status(code=5, message="plain")


def test_details_too_large_for_trailers_are_shortened() -> None:
    status = refused("m" * 900)
    for _ in range(40):
        status.details.add(type_url="type.googleapis.com/x", value=b"v" * 100)
    trailers = (("grpc-status-details-bin", status.SerializeToString()),)
    error = from_rpc_error(rpc_error(grpc.StatusCode.INVALID_ARGUMENT, "x", trailers), "a")
    assert isinstance(error, BackendError)
    assert error.reason == "PROMPT_INVALID"
    assert error.status.ByteSize() <= 4096


def test_an_error_of_a_part_keeps_everything_and_says_whose_it_is() -> None:
    busy = ServiceError(
        Reason.QUEUE_FULL, "busy", metadata={"modelId": "other", "length": "64"}, retry_after_s=2.0
    ).to_status("request")
    told = ServiceError.from_status(of_part(BackendError(busy), "sam-2").status)
    assert (told.reason, told.message) == (Reason.QUEUE_FULL, "sam-2: busy")
    assert told.metadata == {"modelId": "sam-2", "length": "64"}
    assert told.retry_after_s == 2.0


def test_an_error_of_a_part_that_grpc_itself_made() -> None:
    bare = status_pb2.Status(code=grpc.StatusCode.RESOURCE_EXHAUSTED.value[0], message="too large")
    told = of_part(BackendError(bare), "sam-2")
    assert (told.status.code, told.status.message) == (bare.code, "sam-2: too large")
    assert not told.status.details
