"""Boxes that are followed through a clip, through Label Studio's own server."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from label_studio_server import LabelStudio

from diptych import VideoWriter

CONFIG = """<View>
  <Video name="video" value="$video"/>
  <VideoRectangle name="box" toName="video" smart="true"/>
  <Labels name="labels" toName="video"><Label value="Square"/></Labels>
</View>"""
FRAMES, HEIGHT, WIDTH, SIDE = 8, 128, 160, 40


def left_edge(frame: int) -> int:
    """Of the square, which goes four pixels to the right with each frame."""
    return 20 + 4 * frame


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """A square that goes to the right."""
    path: Path = tmp_path_factory.mktemp("clip") / "square.mp4"
    with VideoWriter(path, fps=10) as writer:
        for frame in range(FRAMES):
            pixels = np.full((HEIGHT, WIDTH, 3), 90, np.uint8)
            pixels[40 : 40 + SIDE, left_edge(frame) : left_edge(frame) + SIDE] = (220, 60, 40)
            writer.write(pixels)
    return path.read_bytes()


def drawn(frame: int) -> dict[str, Any]:
    """The box around the square on a frame, which the page counts from 1."""
    keyframe = {
        "frame": frame + 1,
        "enabled": True,
        "rotation": 0,
        "time": frame / 10,
        "x": left_edge(frame) * 100 / WIDTH,
        "y": 40 * 100 / HEIGHT,
        "width": SIDE * 100 / WIDTH,
        "height": SIDE * 100 / HEIGHT,
    }
    return {
        "id": "v1",
        "from_name": "box",
        "to_name": "video",
        "type": "videorectangle",
        "value": {
            "framesCount": FRAMES,
            "duration": 0.8,
            "sequence": [keyframe],
            "labels": ["Square"],
        },
    }


def test_a_box_is_followed_from_its_frame_on(
    label_studio: LabelStudio, backend: str, clip: bytes
) -> None:
    project, task = label_studio.project(CONFIG, clip, "square.mp4", "video/mp4")
    connected = label_studio.connect(project, backend)
    answer = label_studio.click(connected, task, [drawn(2)])
    (region,) = answer["data"]["result"]
    assert region["type"] == "videorectangle"
    assert region["value"]["labels"] == ["Square"]
    sequence = region["value"]["sequence"]
    assert [keyframe["frame"] for keyframe in sequence] == list(range(3, FRAMES + 1))
    assert sequence[0] == drawn(2)["value"]["sequence"][0]
    for keyframe in sequence:
        assert keyframe["enabled"]
        assert keyframe["x"] * WIDTH / 100 == pytest.approx(left_edge(keyframe["frame"] - 1), abs=4)
        assert keyframe["width"] * WIDTH / 100 == pytest.approx(SIDE, abs=6)


def test_a_box_beyond_the_clip_is_refused(
    label_studio: LabelStudio, backend: str, clip: bytes
) -> None:
    project, task = label_studio.project(CONFIG, clip, "square.mp4", "video/mp4")
    region = drawn(2)
    region["value"]["sequence"][0]["frame"] = 99
    answer = label_studio.click(label_studio.connect(project, backend), task, [region])
    assert "The clip has no such frame" in answer["errors"][0]
