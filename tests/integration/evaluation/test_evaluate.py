"""A whole run in Python: against a real server, with models that know the answers."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from judged import BLIND, COARSE, GOOD, judged, make_service

from diptych import (
    AsyncClient,
    AuthenticationError,
    Client,
    KnownModel,
    Provenance,
    Segment,
    UnavailableError,
)
from diptych.testing import FakeCall, FakeSegmentService, _servicers
from diptych.testing._failures import Failed, make_failure
from diptych_eval import Run, evaluate, open_dataset
from diptych_eval.asking.watching import Watcher
from diptych_gateway.server import Gateway
from diptych_gateway.settings import Endpoint, Settings

COUNT = 8
Judged = tuple[Path, FakeSegmentService]


@pytest.fixture
def stage(tmp_path: Path) -> Iterator[Judged]:
    with judged(tmp_path / "data", COUNT) as running:
        yield running


def run(stage: Judged, out: Path, **options: Any) -> Run:
    dataset, service = stage
    options = {"tasks": ["instances"], "bootstrap": 0, **options}
    with Client(service.address) as client:
        return evaluate(client, open_dataset(dataset), out=out, **options)


def without_times(path: Path) -> Any:
    """``metrics.json`` but for what answers cost."""
    document = json.loads(path.read_text())
    for model in document["models"]:
        model["values"] = {k: v for k, v in model["values"].items() if not k.startswith("cost/")}
        model["tables"] = [table for table in model["tables"] if table["name"] != "cost"]
    return document


def test_the_better_model_is_better(stage: Judged, tmp_path: Path) -> None:
    found = run(stage, tmp_path / "out", bootstrap=50)
    assert found.models == (GOOD, COARSE)
    assert found[GOOD].segm.ap.value == pytest.approx(1.0)
    assert found[COARSE].segm.ap.value < 0.9
    assert set(found[GOOD].per_class) == {"thing", "other"}
    assert found[GOOD].per_class["thing"].segm.ap.value == pytest.approx(1.0)
    difference = found.difference(COARSE, GOOD).ap
    assert difference.value == pytest.approx(1.0 - found[COARSE].segm.ap.value)
    assert difference.ci[0] > 0
    assert found.difference(GOOD, COARSE).segm.ap.ci == (-difference.high, -difference.low)
    worst = found.worst(COARSE, 3)
    assert len(worst) == 3
    assert worst[0].value <= worst[1].value <= worst[2].value
    again = Run.load(tmp_path / "out")
    assert again.figures == found.figures
    assert again.save_html().read_bytes() == (tmp_path / "out" / "report.html").read_bytes()


class Stops(Watcher):
    """Ends the run after so many answers."""

    def __init__(self, after: int) -> None:
        self.left = after

    def advanced(self) -> None:
        self.left -= 1
        if not self.left:
            raise KeyboardInterrupt


class Listens(Watcher):
    """Remembers what it is told."""

    def __init__(self) -> None:
        self.lines: list[str] = []
        self.total = self.count = 0

    def planned(self, calls: int) -> None:
        self.total = calls

    def advanced(self) -> None:
        self.count += 1

    def said(self, line: str) -> None:
        self.lines.append(line)


def settled(service: FakeSegmentService) -> int:
    """How many requests came, once what was on its way when a run was stopped is there, too."""
    while True:
        before = len(service.requests)
        time.sleep(0.5)
        if len(service.requests) == before:
            return before


def test_a_run_goes_on_where_it_ended(stage: Judged, tmp_path: Path) -> None:
    whole, stopped = tmp_path / "whole", tmp_path / "stopped"
    run(stage, whole, models=[GOOD])
    service = stage[1]
    before = len(service.requests)
    assert before == COUNT
    with pytest.raises(KeyboardInterrupt):
        run(stage, stopped, models=[GOOD], watcher=Stops(3), jobs=2)
    file = stopped / "predictions" / GOOD / "instances.jsonl"
    kept = len(file.read_text().splitlines())
    assert kept >= 3
    before = settled(service)
    watcher = Listens()
    run(stage, stopped, models=[GOOD], watcher=watcher)
    assert len(service.requests) - before == COUNT - kept
    assert watcher.total == watcher.count == COUNT
    assert without_times(stopped / "metrics.json") == without_times(whole / "metrics.json")
    assert [json.loads(line)["name"] for line in file.read_text().splitlines()] == [
        f"{number:03d}.png" for number in range(COUNT)
    ]


def test_a_run_that_is_whole_asks_once_to_know_who_answers(stage: Judged, tmp_path: Path) -> None:
    run(stage, tmp_path / "out", models=[GOOD])
    before = len(stage[1].requests)
    run(stage, tmp_path / "out", models=[GOOD])
    assert len(stage[1].requests) - before == 1


def test_other_weights_pictures_and_options_are_asked_again(
    stage: Judged, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    dataset, service = stage
    out = tmp_path / "out"
    run(stage, out, models=[GOOD])
    # One picture that is another one now.
    before = len(service.requests)
    picture = dataset.parent / "images" / "003.png"
    picture.write_bytes((dataset.parent / "images" / "004.png").read_bytes())
    run(stage, out, models=[GOOD])
    assert len(service.requests) - before == 1
    # Classes that no longer count.
    before = len(service.requests)
    run(stage, out, models=[GOOD], class_agnostic=True)
    assert len(service.requests) - before == COUNT
    # A model of other weights.
    monkeypatch.setattr(_servicers, "Provenance", _fine_tuned)
    before, watcher = len(service.requests), Listens()
    run(stage, out, models=[GOOD], class_agnostic=True, watcher=watcher)
    assert len(service.requests) - before == COUNT
    assert any("of other weights" in line for line in watcher.lines)
    assert Run.load(out).figures.provenance[GOOD]["weights"] == "fine-tuned"


def _fine_tuned(**fields: Any) -> Provenance:
    return Provenance(**{**fields, "weights": "fine-tuned", "weights_sha256": "ab" * 32})


def test_a_refused_picture_leaves_the_figures_of_all_models(stage: Judged, tmp_path: Path) -> None:
    dataset, service = stage
    broken = (dataset.parent / "images" / "005.png").read_bytes()
    answer = service._answers[COARSE]

    def refuse(call: FakeCall) -> Sequence[Segment]:
        if call.image == broken:
            raise Failed(make_failure("IMAGE_SHAPE", "image: too long for this model"))
        return answer(call)

    service.answer_with(refuse, model=COARSE)
    found = run(stage, tmp_path / "out").figures
    assert [(each.name, each.model_id, each.task) for each in found.refused] == [
        ("005.png", COARSE, "instances")
    ]
    assert "too long for this model" in found.refused[0].error
    assert found.picture_count == COUNT - 1
    assert all("005.png" not in names for m in found.models for names in m.per_picture.values())
    # Asked again once the reason is gone; the others are not.
    service.answer_with(answer, model=COARSE)
    before = len(service.requests)
    found = run(stage, tmp_path / "out").figures
    assert not found.refused
    assert found.picture_count == COUNT
    assert len(service.requests) - before == 2  # and one, to know who answers of the other model


def test_a_model_that_refuses_what_it_answered_ends_the_run(stage: Judged, tmp_path: Path) -> None:
    out = tmp_path / "out"
    run(stage, out, models=[GOOD])
    before = (out / "predictions" / GOOD / "instances.jsonl").read_text()
    stage[1].fail("MODEL_FAILED")
    with pytest.raises(ValueError, match="it refuses what it has answered before: told to fail"):
        run(stage, out, models=[GOOD])
    assert (out / "predictions" / GOOD / "instances.jsonl").read_text() == before


def test_a_server_without_room_is_waited_for(stage: Judged, tmp_path: Path) -> None:
    stage[1].fail("RATE_LIMIT", times=5, retry_after_s=0.01)
    assert run(stage, tmp_path / "out").figures.picture_count == COUNT


def test_patience_ends(stage: Judged, tmp_path: Path) -> None:
    stage[1].fail("MODEL_LOADING", retry_after_s=0.01)
    watcher = Listens()
    with pytest.raises(UnavailableError):
        run(stage, tmp_path / "out", patience=0.05, watcher=watcher)
    assert len(watcher.lines) == 1
    assert not (tmp_path / "out" / "metrics.json").exists()


def test_what_no_picture_is_to_blame_for_ends_the_run(stage: Judged, tmp_path: Path) -> None:
    stage[1].fail("TOKEN_SCOPE")
    with pytest.raises(AuthenticationError):
        run(stage, tmp_path / "out")


def test_a_model_without_classes_is_compared_without_them(tmp_path: Path) -> None:
    with judged(tmp_path / "data", 4, GOOD, BLIND) as stage:
        found = run(stage, tmp_path / "out", bootstrap=5)
    assert "segm/AP" in found[GOOD].figures
    assert "segm/AP" not in found[BLIND].figures
    assert found[BLIND].agnostic.ar100.value == found[GOOD].agnostic.ar100.value == 1.0
    text = (tmp_path / "out" / "predictions" / BLIND / "instances.jsonl").read_text()
    assert '"category_id":0' in text
    assert found.difference(GOOD, BLIND).agnostic.ar100.value == 0.0


def test_what_cannot_be_asked_is_said(stage: Judged, tmp_path: Path) -> None:
    out = tmp_path / "out"
    with pytest.raises(ValueError, match="model 'goood': expected one of good, coarse"):
        run(stage, out, models=["goood"])
    with pytest.raises(ValueError, match="task keypoints: instances has labels for"):
        run(stage, out, tasks=["keypoints"])
    stage[1].cards[GOOD].categories[0].name = "thingy"
    with pytest.raises(ValueError, match="'thing', perhaps --map 'thing=thingy'"):
        run(stage, out, models=[GOOD])
    assert run(stage, out, models=[COARSE], mapping={}, limit=3).figures.picture_count == 3


async def test_a_gateway_that_is_restarted_loses_nothing(stage: Any, tmp_path: Path) -> None:
    """The real one, before a fake model."""
    dataset, _ = stage
    models = make_service(dataset, GOOD)
    models._gateway = False
    models.delay_s = 0.05
    settings = {"http_port": 0, "drain_s": 0.0}
    with models:
        endpoints = (Endpoint(GOOD, models.address),)
        gateway = Gateway(Settings(models=endpoints, port=0, **settings))
        port = await gateway.start()
        while not any(known.card for known in await _cards(port)):
            await asyncio.sleep(0.05)
        asked = asyncio.to_thread(
            _evaluate, f"127.0.0.1:{port}", dataset, tmp_path / "out", patience=60.0
        )
        running = asyncio.create_task(asked)
        await asyncio.to_thread(models.wait_for_requests, 4)
        await gateway.stop()
        await asyncio.sleep(0.3)
        gateway = Gateway(Settings(models=endpoints, port=port, **settings))
        await gateway.start()
        try:
            found = await running
        finally:
            await gateway.stop()
    assert not found.figures.refused
    assert found.figures.picture_count == COUNT
    # What was on its way when the gateway ended is asked again, nothing else.
    assert len(models.requests) <= COUNT + 2


async def _cards(port: int) -> tuple[KnownModel, ...]:
    async with AsyncClient(f"127.0.0.1:{port}") as client:
        return await client.model_cards()


def _evaluate(address: str, dataset: Path, out: Path, **options: Any) -> Run:
    with Client(address) as client:
        return evaluate(
            client, open_dataset(dataset), tasks=["instances"], out=out, bootstrap=0, **options
        )
