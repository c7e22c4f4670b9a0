"""Many pictures: prompts of their own, and a server that has no room for all of them."""

from __future__ import annotations

import io
import threading
from itertools import repeat
from pathlib import Path
from typing import Any

import pytest

from diptych import (
    Box,
    Client,
    InvalidRequestError,
    OverloadedError,
    Prompt,
    UnavailableError,
    UnsupportedTaskError,
)
from diptych.testing import FakeCall, FakeSegmentService
from diptych.testing._failures import Failed, make_failure

FAR = Prompt(box=Box(0, 0, 9, 9))


def boxed(*widths: int) -> list[Prompt]:
    return [Prompt(box=Box(1, 2, 1 + width, 20)) for width in widths]


def test_each_picture_has_prompts_of_its_own(
    client: Any, service: FakeSegmentService, small_png: bytes
) -> None:
    each = (iter(boxed(*widths)) for widths in ([5], [6, 7], [8], [], [9]))
    items = list(client.segment_many([small_png] * 5, model="one", prompts_per_image=each))
    assert [item.index for item in items] == [0, 1, 2, 3, 4]
    found = [[s.box.xywh[2] for s in item.result.segments] for item in items if item.result]
    assert found == [[5], [6, 7], [8], [9]]
    assert isinstance(items[3].error, ValueError)
    assert str(items[3].error).startswith("prompts: expected at least one, got none")
    assert len(service.requests) == 4


def test_results_tell_which_picture_they_are_of(client: Any, small_png: bytes) -> None:
    items = list(client.segment_many([small_png, b"none", small_png], model="one"))
    assert [item.index for item in items] == [0, 1, 2]
    assert isinstance(items[1].error, InvalidRequestError)


@pytest.mark.parametrize(("entries", "got"), [(1, "1"), (3, "3")])
def test_a_wrong_number_of_entries_is_told_before_anything_is_sent(
    client: Any,
    service: FakeSegmentService,
    small_png: bytes,
    tmp_path: Path,
    entries: int,
    got: str,
) -> None:
    for name in ("a.png", "b.png"):
        (tmp_path / name).write_bytes(small_png)
    for images in ([small_png] * 2, tmp_path, str(tmp_path)):
        expected = f"prompts_per_image: expected an entry for each of 2 images, got {got}"
        with pytest.raises(ValueError, match=expected):
            client.segment_many(images, prompts_per_image=[[FAR]] * entries)
    assert service.requests == ()


@pytest.mark.parametrize(
    ("entries", "text"),
    [(1, "each of more than 1 images, got 1"), (3, "each of 2 images, got more")],
)
def test_or_where_one_of_both_ends(client: Any, small_png: bytes, entries: int, text: str) -> None:
    images = iter([small_png] * 2)
    with pytest.raises(ValueError, match=text):
        list(client.segment_many(images, model="one", prompts_per_image=[[FAR]] * entries))


def test_prompts_are_either_of_all_or_of_each(client: Any, small_png: bytes) -> None:
    with pytest.raises(ValueError, match="boxes: expected either this or prompts_per_image"):
        client.segment_many([small_png], boxes=[(0, 0, 1, 1)], prompts_per_image=[[FAR]])
    with pytest.raises(ValueError, match="task: expected one of"):
        client.segment_many([small_png], task="none", prompts_per_image=[[FAR]])


@pytest.mark.parametrize("reason", ["QUEUE_FULL", "RATE_LIMIT", "MODEL_LOADING"])
def test_what_has_no_room_is_asked_again(
    client: Any, service: FakeSegmentService, small_png: bytes, reason: str
) -> None:
    service.fail(reason, times=30, retry_after_s=0.01)
    items = list(client.segment_many([small_png] * 50, model="one", concurrency=8))
    assert [item.error for item in items] == [None] * 50
    assert [item.index for item in items] == [*range(50)]
    assert len(service.requests) == 80


def test_a_picture_is_read_once(client: Any, service: FakeSegmentService, small_png: bytes) -> None:
    class Pipe(io.BytesIO):
        def seek(self, *_: int) -> int:
            raise OSError("a pipe")

    service.fail("QUEUE_FULL", times=2, retry_after_s=0.01)
    (item,) = client.segment_many([Pipe(small_png)], model="one")
    assert item.error is None


@pytest.mark.parametrize(
    ("reason", "retry_after_s", "kind"),
    [
        ("QUEUE_FULL", None, OverloadedError),  # by one that cannot say when
        ("TASK_UNSUPPORTED", None, UnsupportedTaskError),
        ("PROMPT_INVALID", 0.01, InvalidRequestError),
    ],
)
def test_what_waiting_does_not_help_is_not_asked_again(
    client: Any,
    service: FakeSegmentService,
    small_png: bytes,
    reason: str,
    retry_after_s: float | None,
    kind: type[Exception],
) -> None:
    service.fail(reason, times=1, retry_after_s=retry_after_s)
    first, second = client.segment_many([small_png] * 2, model="one", concurrency=1)
    assert (type(first.error), second.error) == (kind, None)
    assert len(service.requests) == 2


def test_one_that_no_engine_survives_is_asked_three_times(
    client: Any, service: FakeSegmentService, small_png: bytes
) -> None:
    service.fail("ENGINE_LOST", retry_after_s=0.01)
    (item,) = client.segment_many([small_png], model="one")
    assert isinstance(item.error, UnavailableError)
    assert len(service.requests) == 3


def test_patience_is_for_all_and_ends(
    client: Any, service: FakeSegmentService, small_png: bytes
) -> None:
    service.fail("MODEL_LOADING", "still loading", retry_after_s=0.01)
    asked = {"model": "one", "concurrency": 2, "patience": 0.2}
    items = list(client.segment_many([small_png] * 20, **asked))
    assert [str(item.error) for item in items] == ["still loading"] * 20
    assert len(service.requests) > 22  # the first ones several times, the last ones once
    service.recover()
    assert all(item.result for item in client.segment_many([small_png] * 3, **asked))


def test_no_patience_asks_once(client: Any, service: FakeSegmentService, small_png: bytes) -> None:
    service.fail("QUEUE_FULL", retry_after_s=0.01)
    (item,) = client.segment_many([small_png], model="one", patience=0)
    assert isinstance(item.error, OverloadedError)
    assert len(service.requests) == 1


@pytest.mark.parametrize("patience", [-1, float("nan"), float("inf")])
def test_absurd_patience_is_refused(client: Any, small_png: bytes, patience: float) -> None:
    with pytest.raises(ValueError, match="patience: expected seconds from 0"):
        client.segment_many([small_png], patience=patience)


def test_fewer_are_asked_at_a_time_while_some_are_refused(
    client: Any, service: FakeSegmentService, small_png: bytes
) -> None:
    """The server has room for two; eight ask, and nobody fails."""
    lock, running, pause = threading.Lock(), 0, threading.Event()

    def answer(call: FakeCall) -> list[Any]:
        nonlocal running
        with lock:
            running += 1
            full = running > 2
        pause.wait(0.005)
        with lock:
            running -= 1
        if full:
            raise Failed(make_failure("QUEUE_FULL", "full", retry_after_s=0.02))
        return []

    pause = threading.Event()
    service.answer_with(answer)
    items = list(client.segment_many([small_png] * 60, model="one", concurrency=8))
    assert [item.error for item in items] == [None] * 60


def test_leaving_early_waits_for_nobody(
    client: Any, service: FakeSegmentService, small_png: bytes
) -> None:
    def answer(call: FakeCall) -> list[Any]:
        service.fail("QUEUE_FULL", retry_after_s=1000)
        return []

    service.answer_with(answer)
    items = client.segment_many(repeat(small_png), model="one", concurrency=1, patience=1000)
    assert next(items).result
    if isinstance(client, Client):  # the other sends while its loop runs
        service.wait_for_requests(2)
    items.close()
    left = [each for each in threading.enumerate() if each.name.startswith("diptych-many")]
    for thread in left:
        thread.join(20)
    assert not any(thread.is_alive() for thread in left)
