"""A model in this process: what a runner does beyond the answers and refusals of a service."""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from fake_engine import (
    GATED,
    HUGE,
    LOST,
    NO_ANSWER,
    NO_MEMORY,
    RAISE,
    SLOW,
    WRONG,
    FakeEngine,
    create_broken,
    watermark,
)
from serving_helpers import picture, png

import diptych
from diptych import LowResLogits, Prompt, Task
from diptych.limits import MAX_REPLY_BYTES, MAX_REQUEST_BYTES
from diptych.wire.requests import make_options
from diptych.wire.serialized import segment_bytes
from diptych_runtime.engine import LoadError
from diptych_runtime.runner import Runner
from diptych_runtime.settings import RuntimeSettings, SettingsError


@pytest.fixture
def log(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """What the engine was called for, and in which thread, line by line."""
    monkeypatch.setenv("FAKE_LOG", str(tmp_path / "log"))
    return tmp_path / "log"


@pytest.fixture
def runner(log: Path) -> Iterator[Runner]:
    with Runner("fake_engine:create", RuntimeSettings()) as runner:
        yield runner


def test_it_answers_what_a_client_takes(runner: Runner) -> None:
    pixels = picture()
    result = runner.segment(pixels, points=[(10, 10)])
    (segment,) = result.segments
    assert segment.label == watermark(pixels)
    assert segment.mask is not None
    assert result.model_id == runner.model_card().id == "fake"
    assert result.timings.total_s >= result.timings.predict_s > 0
    assert runner.segment(png(pixels), task="object-detection").segments


def test_a_picture_is_encoded_once(runner: Runner, log: Path) -> None:
    hits = [
        runner.segment(picture(), points=[(x, 9)]).provenance[0].image_cache_hit for x in (5, 9)
    ]
    assert hits == [False, True]
    assert log.read_text().count("embed") == 1


def test_pictures_go_when_there_is_no_room_for_more(log: Path) -> None:
    with Runner("fake_engine:create", RuntimeSettings(cache_bytes=30_000)) as runner:
        for seed in (1, 2, 1):
            runner.segment(picture(seed=seed), points=[(5, 5)])
    assert log.read_text().count("embed") == 3


def test_callers_share_one_thread_of_the_model(runner: Runner, log: Path) -> None:
    answers: dict[int, str] = {}

    def ask(seed: int) -> None:
        answers[seed] = runner.segment(picture(seed=seed), points=[(5, 5)]).segments[0].label

    callers = [threading.Thread(target=ask, args=(seed,)) for seed in range(8)]
    for caller in callers:
        caller.start()
    for caller in callers:
        caller.join()
    assert answers == {seed: watermark(picture(seed=seed)) for seed in range(8)}
    assert len({line.split()[-1] for line in log.read_text().splitlines()}) == 1


@pytest.mark.parametrize(
    ("corner", "kind", "reason"),
    [
        (RAISE, diptych.ServerError, "MODEL_FAILED"),
        (NO_ANSWER, diptych.ServerError, "MODEL_FAILED"),
        (WRONG, diptych.ServerError, "MODEL_FAILED"),
        (NO_MEMORY, diptych.OverloadedError, "DEVICE_MEMORY"),
    ],
)
def test_a_fault_of_the_engine_is_that_of_a_service(
    runner: Runner, corner: tuple[int, int, int], kind: type[diptych.DiptychError], reason: str
) -> None:
    with pytest.raises(kind) as failed:
        runner.segment(picture(corner))
    assert failed.value.reason == reason
    assert "secret" not in str(failed.value)
    assert failed.value.__cause__ is not None  # here its caller may see it
    assert runner.segment(picture()).segments


def test_a_lost_device_is_lost_for_good(runner: Runner) -> None:
    for corner in (LOST, (0, 0, 0)):
        with pytest.raises(diptych.UnavailableError, match="only a new process") as failed:
            runner.segment(picture(corner))
        assert failed.value.reason == "ENGINE_LOST"


def test_a_timeout_stops_between_steps(runner: Runner) -> None:
    with pytest.raises(diptych.DeadlineExceededError):
        runner.segment(picture(SLOW), timeout=0.2)
    assert runner.segment(picture(), timeout=60).segments


def test_who_is_interrupted_stops_the_model(
    runner: Runner, log: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FAKE_GATE", str(tmp_path / "gate"))
    before = signal.signal(signal.SIGINT, signal.default_int_handler)  # parallel tests ignore it

    def interrupt() -> None:
        while "step" not in log.read_text():
            time.sleep(0.01)
        signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGINT)

    threading.Thread(target=interrupt).start()
    try:
        with pytest.raises(KeyboardInterrupt):
            runner.segment(picture(GATED), task=Task.INSTANCE_SEGMENTATION)
    finally:
        signal.signal(signal.SIGINT, before)
    assert runner.segment(picture()).segments  # the model is free again; the gate never opened


def test_what_no_client_sends_is_not_taken(runner: Runner) -> None:
    with pytest.raises(diptych.MessageTooLargeError, match="image: expected at most"):
        runner.segment(b"\xff\xd8\xff" + bytes(MAX_REQUEST_BYTES))
    logits = LowResLogits.from_numpy(np.zeros((1024, 1024)))
    with pytest.raises(diptych.MessageTooLargeError, match="request: expected at most"):
        runner.segment(picture(), prompts=[Prompt(mask=logits)] * 17)
    with pytest.raises(TypeError, match="image: expected a path"):
        runner.segment(7)  # type: ignore[arg-type]
    with pytest.raises(FileNotFoundError):
        runner.segment("no such file")


def test_no_reply_is_too_large_here(runner: Runner) -> None:
    assert len(runner.segment(picture(HUGE)).segments[0].label) == MAX_REPLY_BYTES


def test_bytes_that_are_no_request(runner: Runner) -> None:
    with pytest.raises(diptych.InvalidRequestError, match="request: expected the message"):
        runner.answer(b"\xff" * 9)
    assert runner.answer(segment_bytes(picture(), make_options(), "auto"))


def test_a_closed_runner_says_so(runner: Runner) -> None:
    runner.close()
    runner.close()
    with pytest.raises(RuntimeError, match="closed"):
        runner.segment(picture())


def test_what_cannot_be_loaded(monkeypatch: pytest.MonkeyPatch) -> None:
    before = threading.active_count()
    with pytest.raises(LoadError, match="weights 'nothing' are not here"):
        Runner(create_broken(), RuntimeSettings())
    monkeypatch.setenv("DIPTYCH_CACHE_BYTES", "much")
    with pytest.raises(SettingsError, match="DIPTYCH_CACHE_BYTES"):
        Runner(FakeEngine())
    assert threading.active_count() == before
