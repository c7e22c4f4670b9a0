"""Objects followed through the pictures of a folder, as X-AnyLabeling asks for it."""

from __future__ import annotations

import base64
import io
import json
import struct
import time
import zlib
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from fake_video import DRIFT, drift
from PIL import Image
from serving_helpers import picture, png

from diptych import Mask, Segment, VideoObject
from diptych.testing import FakeSegmentService, FakeVideoFrame
from diptych_x_anylabeling.clips import Clip, Clips
from diptych_x_anylabeling.refusals import RefusedError

SIZE = (48, 64)
FRAMES = [png(picture(DRIFT, seed=number)) for number in range(6)]
X, Y = 20, 24


def opened(tool: Any, frames: list[bytes] = FRAMES) -> str:
    """Send the pictures; gives the clip's id."""
    uris = ["data:image/png;base64," + base64.b64encode(frame).decode() for frame in frames]
    answer = tool.post("/v1/video/init", model="fake", frames=uris, start_frame_index=0)
    assert answer.status_code == 200, answer.text
    clip_id: str = answer.json()["data"]["session_id"]
    return clip_id


def click(tool: Any, clip_id: str, frame: int, *places: tuple[float, float, int]) -> Any:
    """Set marks on a frame: x, y and whether they are on the object."""
    return tool.post(
        "/v1/video/prompt",
        session_id=clip_id,
        model="fake",
        frame_index=frame,
        points=[[x / SIZE[1], y / SIZE[0]] for x, y, _ in places],
        point_labels=[label for _, _, label in places],
        obj_id=10000,
        params={"conf_threshold": 0.0, "epsilon_factor": 0.0},
    )


def followed(tool: Any, clip_id: str, **wanted: int) -> list[dict[str, Any]]:
    """The events of a stream."""
    body = {"session_id": clip_id, "model": "fake", **wanted}
    with tool.http.stream("POST", "/v1/video/propagate/stream", json=body) as answer:
        assert answer.headers["content-type"].startswith("text/event-stream")
        lines = [line for line in answer.iter_lines() if line]
    assert all(line.startswith("data: ") for line in lines)
    return [json.loads(line.removeprefix("data: ")) for line in lines]


def left_edges(results: dict[str, Any]) -> dict[int, float]:
    """Where the object is on each frame."""
    return {
        int(index): Mask.from_polygons(
            [np.array(found["masks"][0]["points"]) + 0.35], SIZE
        ).box.x_min  # type: ignore[union-attr]
        for index, found in results.items()
    }


def test_an_object_is_followed_to_the_last_picture(tool: Any) -> None:
    clip_id = opened(tool)
    (shown,) = click(tool, clip_id, 0, (X, Y, 1)).json()["data"]["masks"]
    assert (shown["shape_type"], shown["label"]) == ("polygon", "AUTOLABEL_OBJECT")
    told = followed(tool, clip_id, start_frame=0)
    assert told[0] == {"type": "started", "total_frames": 6, "start_frame_index": 0}
    assert [each["current_frame"] for each in told[1:-1]][-6:] == [0, 1, 2, 3, 4, 5]
    assert told[-1]["type"] == "completed"
    edges = left_edges(told[-1]["results"])
    assert edges == {index: X - 4 + drift(index) for index in range(6)}


def test_it_is_followed_both_ways_and_only_as_far_as_asked(tool: Any) -> None:
    clip_id = opened(tool)
    click(tool, clip_id, 3, (X, Y, 1))
    told = followed(tool, clip_id, start_frame=1, end_frame=4)
    assert sorted(map(int, told[-1]["results"])) == [1, 2, 3, 4]
    later = followed(tool, clip_id, start_frame=4, end_frame=5)
    assert sorted(map(int, later[-1]["results"])) == [4, 5]


def test_a_mark_on_a_later_picture_corrects_it(tool: Any) -> None:
    clip_id = opened(tool)
    click(tool, clip_id, 0, (X, Y, 1))
    click(tool, clip_id, 4, (X + 20, Y, 1))
    edges = left_edges(followed(tool, clip_id)[-1]["results"])
    assert edges[3] == X - 4 + drift(3)
    assert edges[4] == X + 16


def test_marks_on_one_picture_run_its_encoder_once(tool: Any) -> None:
    frames = [png(picture(DRIFT, seed=20 + number)) for number in range(2)]
    clip_id = opened(tool, frames)
    before = tool.stats().encoder_run_count
    for number in range(1, 6):
        marks = [(10.0 + 5 * each, Y, 1) for each in range(number)]
        assert click(tool, clip_id, 0, *marks).status_code == 200
    assert tool.stats().encoder_run_count - before == 1


def test_what_cannot_be_followed_is_told(tool: Any) -> None:
    clip_id = opened(tool)
    body = {"session_id": clip_id, "model": "fake", "frame_index": 0, "text_prompt": "thing"}
    answer = tool.post("/v1/video/prompt", **body)
    assert (answer.status_code, answer.reason_phrase) == (422, "fake follows only what is prompted")
    told = followed(tool, clip_id)
    assert told[-1] == {"type": "error", "message": "fake follows only what is prompted"}


def test_everything_of_some_classes_is_followed(served: Any) -> None:
    """By a fake of the SDK, since the fake engine follows only what is prompted."""
    mask = Mask.from_crop(np.ones((10, 10), bool), 5, 5, SIZE)

    def answer(frame: FakeVideoFrame) -> list[VideoObject]:
        found = Segment(score=0.9, mask=mask, box=mask.box, label="rectangle", category_id=1)
        return [VideoObject(2**30 + 6, found, presence=1.0)]

    with FakeSegmentService(["fake"]) as service, served(service.address) as http:
        service.answer_video_with(answer)
        tool = SimpleNamespace(http=http, post=lambda path, **body: http.post(path, json=body))
        clip_id = opened(tool)
        for index, text, number in ((0, "Rectangle.", 7), (2, "all", None)):
            body = {"session_id": clip_id, "frame_index": index, "text_prompt": text}
            (shape,) = tool.post("/v1/video/prompt", **body).json()["data"]["masks"]
            assert (shape["label"], shape["group_id"]) == ("rectangle", number)
        results = followed(tool, clip_id, start_frame=1, end_frame=3)[-1]["results"]
        assert sorted(results) == ["1", "2", "3"]
        assert {found["masks"][0]["group_id"] for found in results.values()} == {7}
        starts = [each.start for each in service.video_requests if each.HasField("start")]
        assert [start.track_all for start in starts] == [True] * 3
        assert [list(start.output.category_ids) for start in starts] == [[1], [], []]


def test_who_goes_away_leaves_no_session_behind(served: Any) -> None:
    with FakeSegmentService(["fake"]) as service, served(service.address) as http:
        service.delay_s = 0.05
        tool = SimpleNamespace(http=http, post=lambda path, **body: http.post(path, json=body))
        clip_id = opened(tool, FRAMES * 20)
        click(tool, clip_id, 0, (X, Y, 1))
        body = {"session_id": clip_id}
        with http.stream("POST", "/v1/video/propagate/stream", json=body) as answer:
            lines = answer.iter_lines()
            while "progress" not in next(lines):
                pass
            assert service.video_session_count == 1
        for _ in range(2000):
            if not service.video_session_count:
                break
            time.sleep(0.01)
        assert service.video_session_count == 0
        assert sum(each.HasField("frame") for each in service.video_requests) < 100


def bomb(kind: str) -> bytes:
    """The head of a picture that says it has 400 million pixels."""
    out = io.BytesIO()
    Image.new("RGB", (4, 4)).save(out, kind)
    data = bytearray(out.getvalue())
    if kind == "PNG":
        data[16:24] = struct.pack(">II", 20_000, 20_000)
        data[29:33] = struct.pack(">I", zlib.crc32(data[12:29]))
    else:
        data[18:26] = struct.pack("<II", 20_000, 20_000)
    return bytes(data)


@pytest.mark.parametrize(
    "picture",
    [bomb("PNG"), bomb("BMP"), b"BM", b"RIFF", b"\xff\xd8\xff"],
    ids=["png-bomb", "bmp-bomb", "bmp", "riff", "jpeg"],
)
def test_a_picture_that_cannot_be_read_is_told(tool: Any, picture: bytes) -> None:
    answer = click(tool, opened(tool, [picture]), 0, (X, Y, 1))
    assert (answer.status_code, answer.json()["error"]["code"]) in (
        (400, "INVALID_IMAGE"),
        (413, "INVALID_IMAGE"),
    )
    marks = [{"type": "point", "data": [1, 1], "label": 1}]
    image = base64.b64encode(picture).decode()
    answer = tool.post("/v1/predict", model="fake", image=image, params={"marks": marks})
    assert answer.json()["error"]["code"] == "INVALID_IMAGE", answer.text


@pytest.mark.parametrize(
    ("path", "body", "status", "said"),
    [
        ("init", {"model": "fake", "frames": []}, 400, "frames: expected at least one"),
        ("init", {"model": "no", "frames": []}, 404, "'no'"),
        ("init", {"model": "fake", "frames": ["??"]}, 400, "frames[0]: expected base64"),
        ("prompt", {"session_id": "gone"}, 410, "mark the object again"),
        ("prompt", {"frame_index": 6}, 400, "frame_index: expected 0 to 5, got 6"),
        ("prompt", {"points": [[0.5, 0.5]]}, 400, "as many point_labels"),
        ("prompt", {"points": [[20, 5]], "point_labels": [1]}, 400, "points[0]: expected 0 to 1"),
        ("prompt", {"text_prompt": "dog"}, 400, "knows no 'dog'"),
        ("propagate/stream", {}, 409, "click on an object of the clip first"),
        ("propagate/stream", {"start_frame": 9}, 400, "start_frame: expected 0 to 5"),
    ],
)
def test_refusals(tool: Any, path: str, body: dict[str, Any], status: int, said: str) -> None:
    if path != "init" and "session_id" not in body:
        body = {"session_id": opened(tool), **body}
    answer = tool.post(f"/v1/video/{path}", **body)
    assert answer.status_code == status
    assert said in answer.reason_phrase


def test_a_clip_that_was_closed_is_gone(tool: Any) -> None:
    clip_id = opened(tool)
    assert tool.http.post(f"/v1/video/cleanup/{clip_id}?model=fake").status_code == 200
    assert click(tool, clip_id, 0, (X, Y, 1)).status_code == 410
    assert tool.http.post(f"/v1/video/cleanup/{clip_id}?model=fake").status_code == 200


def test_the_longest_unused_clips_make_room() -> None:
    clips = Clips(budget=100)
    first, second = (clips.add(Clip("m", [bytes(40)])) for _ in range(2))
    clips.get(first)
    third = clips.add(Clip("m", [bytes(30), bytes(10)]))
    assert len(clips) == 2
    assert clips.get(first)
    assert clips.get(third)
    with pytest.raises(RefusedError, match="not held any more"):
        clips.get(second)
    with pytest.raises(RefusedError, match="at most 100 bytes together, got 101"):
        clips.add(Clip("m", [bytes(101)]))
    assert len(clips) == 2
