"""How a clip's objects are followed, of a server whose model leaves them where they were said."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from diptych import Client, InvalidRequestError, Mask, OverloadedError, SessionLostError
from diptych.segment import v1 as pb
from diptych.testing import FakeSegmentService
from diptych_eval.asking.video import ask_clip
from diptych_eval.figures.video import jf
from diptych_eval.model import Clip

HEIGHT, WIDTH, FRAMES = 32, 40, 12


def rectangle(left: int, top: int) -> Mask:
    return Mask.from_crop(np.ones((8, 10), bool), left, top, (HEIGHT, WIDTH))


FIRST, LATE, SECOND = rectangle(2, 2), rectangle(20, 4), rectangle(10, 20)
NOTHING = Mask.from_array(np.zeros((HEIGHT, WIDTH), bool))
LABELS = {
    0: {0: FIRST, 7: SECOND, 3: NOTHING},
    4: {0: FIRST, 3: LATE, 7: SECOND},
    8: {0: FIRST, 3: LATE, 7: SECOND},
    11: {0: FIRST, 3: LATE},
}


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Clip:
    folder = tmp_path_factory.mktemp("clip")
    files = [folder / f"{index:05d}.jpg" for index in range(FRAMES)]
    for index, file in enumerate(files):
        Image.new("RGB", (WIDTH, HEIGHT), (index, 0, 0)).save(file)
    return Clip("clip", tuple(files), HEIGHT, WIDTH, LABELS)


@pytest.fixture
def service() -> Iterator[FakeSegmentService]:
    with FakeSegmentService(["follower"]) as service:
        yield service


@pytest.fixture
def ask(service: FakeSegmentService) -> Iterator[Client]:
    with Client(service.address) as client:
        yield client


def events(service: FakeSegmentService) -> list[str]:
    """What was sent in order: ``start``, frames' indexes, and objects that were prompted."""
    said = []
    for each in service.video_requests:
        kind = each.WhichOneof("event")
        if kind == "frame":
            said.append(str(each.frame.frame_index))
        elif kind == "prompt":
            how = "mask" if each.prompt.prompt.HasField("mask") else "box"
            said.append(f"{how} of {each.prompt.object_id} on {each.prompt.frame_index}")
        else:
            said.append(str(kind))
    return said


def test_each_object_is_said_on_the_first_frame_in_which_it_is_seen(
    service: FakeSegmentService, ask: Client, clip: Clip
) -> None:
    said = ask_clip(ask, ask.model_card(), clip, key="k")
    rest = [str(index) for index in range(5, FRAMES)]
    assert events(service) == [
        *("start", "0", "mask of 0 on 0", "mask of 7 on 0", "1", "2", "3", "4"),
        *("mask of 3 on 4", *rest),
    ]
    frames = said.value["frames"]
    assert list(map(int, frames)) == list(range(FRAMES))
    assert set(frames["0"]) == set(frames["3"]) == {"0", "7"}
    assert set(frames["4"]) == set(frames["11"]) == {"0", "3", "7"}
    assert Mask.from_coco(frames["9"]["3"]["counts"], (HEIGHT, WIDTH)) == LATE
    assert said.value["first"] == "mask"
    assert (said.name, said.key, said.cost.calls) == ("clip", "k", 1)
    assert said.cost.reply_bytes > 0
    assert jf(clip, frames, apart=False) == {0: (100, 100), 3: (100, 100), 7: (100, 100)}


def test_what_is_sent_are_the_files(service: FakeSegmentService, ask: Client, clip: Clip) -> None:
    ask_clip(ask, ask.model_card(), clip)
    sent = [each.frame.encoded for each in service.video_requests if each.HasField("frame")]
    assert sent == [file.read_bytes() for file in clip.frames]


def test_boxes_are_said_if_wanted_or_if_the_model_takes_no_masks(
    service: FakeSegmentService, ask: Client, clip: Clip
) -> None:
    assert ask_clip(ask, ask.model_card(), clip, first="box").value["first"] == "box"
    service.cards["follower"].prompt_kinds.remove(pb.PromptKind.PROMPT_KIND_MASK)
    assert ask_clip(ask, ask.model_card(), clip, first="mask").value["first"] == "box"
    prompts = [each for each in events(service) if " of " in each]
    assert prompts == ["box of 0 on 0", "box of 7 on 0", "box of 3 on 4"] * 2


def test_more_objects_than_a_session_takes_are_followed_in_several(
    service: FakeSegmentService, ask: Client, clip: Clip
) -> None:
    together = ask_clip(ask, ask.model_card(), clip)
    service.cards["follower"].limits.max_video_objects = 2
    apart = ask_clip(ask, ask.model_card(), clip)
    assert apart.value == together.value
    assert apart.cost.calls == 2


def test_a_lost_session_is_not_gone_on_with(
    service: FakeSegmentService, ask: Client, clip: Clip
) -> None:
    service.fail("SESSION_LOST", times=1, frame_index=6)
    with pytest.raises(SessionLostError):
        ask_clip(ask, ask.model_card(), clip)
    assert events(service).count("start") == 1
    assert len(ask_clip(ask, ask.model_card(), clip).value["frames"]) == FRAMES


def test_no_room_for_an_object_is_raised_and_not_counted_against_the_model(
    service: FakeSegmentService, ask: Client, clip: Clip
) -> None:
    service.video_started.max_objects = 2
    with pytest.raises(OverloadedError):
        ask_clip(ask, ask.model_card(), clip)


def test_a_frame_that_is_refused_is_raised(ask: Client, clip: Clip, tmp_path: Path) -> None:
    odd = tmp_path / "odd.jpg"
    Image.new("RGB", (WIDTH, HEIGHT + 1)).save(odd)
    frames = (*clip.frames[:5], odd, *clip.frames[6:])
    with pytest.raises(InvalidRequestError, match="expected"):
        ask_clip(ask, ask.model_card(), Clip("odd", frames, HEIGHT, WIDTH, LABELS))


def test_frames_of_another_size_than_their_labels_are_named(ask: Client, clip: Clip) -> None:
    labels = {0: {1: Mask.from_array(np.ones((30, 40), bool))}}
    with pytest.raises(ValueError, match=r"clip: expected frames of 30 x 40 pixels.*saw 32 x 40"):
        ask_clip(ask, ask.model_card(), Clip("clip", clip.frames, 30, 40, labels), first="box")
