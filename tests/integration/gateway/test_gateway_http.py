"""The gateway over HTTP: what each path answers, with real model services behind it."""

from __future__ import annotations

import asyncio
import hashlib
import json
from typing import Any

import numpy as np
import pytest
import structlog

from diptych import AsyncClient, Mask
from diptych.documents.results import model_document, outcome_document, result_document
from diptych.segment import v1 as pb
from diptych_runtime.release import RELEASE

RLE = Mask.from_crop(np.ones((5, 5), bool), 3, 3, (60, 80)).to_coco().decode()


def as_json(document: object) -> Any:
    return json.loads(json.dumps(document))


def events_of(text: str) -> list[tuple[str, Any]]:
    """Names and documents of the server-sent events that are whole."""
    found = []
    for block in text.split("\n\n")[:-1]:
        lines = dict(line.split(": ", 1) for line in block.splitlines())
        if "event" in lines:
            found.append((lines["event"], json.loads(lines["data"])))
    return found


async def test_models_are_the_documents_of_the_command_line(stage: Any) -> None:
    await stage.serve(await stage.model("one"), stage.dead_endpoint("two"))
    http = stage.http()
    answer = await http.get("/api/models")
    assert answer.status_code == 200
    assert answer.headers["content-type"] == "application/json"
    async with AsyncClient(stage.address) as client:
        known = [model_document(model) for model in await client.model_cards()]
    assert answer.json() == as_json(known)
    assert [m["error"] and m["error"]["reason"] for m in answer.json()] == [None, "MODEL_LOADING"]
    for document in answer.json():
        one = await http.get(f"/api/models/{document['model_id']}")
        assert one.json() == document


async def test_a_model_segments_as_over_grpc(stage: Any) -> None:
    await stage.serve(await stage.model("one"))
    answer = await stage.http().post("/api/segment", **stage.form(model="one"))
    assert answer.status_code == 200, answer.text
    async with AsyncClient(stage.address) as client:
        result = await client.segment(stage.picture, model="one")
    assert answer.json() == as_json(result_document(result))
    assert len(answer.json()["segments"]) == 1


async def test_models_are_compared_as_over_grpc(stage: Any) -> None:
    await stage.serve(
        await stage.model("one"), await stage.model("two"), stage.dead_endpoint("three")
    )
    answer = await stage.http().post("/api/compare", **stage.form())
    assert answer.status_code == 200, answer.text
    async with AsyncClient(stage.address) as client:
        compared = await client.compare(stage.picture)
    results, (pair,) = answer.json()["results"], answer.json()["agreements"]
    for mine, theirs in zip(results, compared.results, strict=True):
        assert mine["result"] == as_json(outcome_document(theirs))["result"]
        assert mine["elapsed_s"] > 0
    reasons = [r["error"] and r["error"]["reason"] for r in results]
    assert reasons == [None, None, "MODEL_LOADING"]
    assert (pair["model_id_a"], pair["model_id_b"], pair["mean_match_iou"]) == ("one", "two", 1.0)


async def test_options_reach_the_models(stage: Any) -> None:
    one = await stage.model("one", tasks=[stage.prompted])
    await stage.serve(one)
    options = {
        "models": ["one"],
        "prompts": [
            {"points": [[1, 2], [3.5, 4, False], [5, 6, 1]], "box": [1, 2, 30, 40]},
            {"mask": {"size": [60, 80], "counts": RLE}},
        ],
        "output": {"min_score": 0.25, "mask_encoding": "none", "category_ids": [1, 7]},
        "automatic": {"points_per_side": 8, "min_mask_region_area": 5},
        "timeout_s": 7.5,
    }
    answer = await stage.http().post("/api/compare", **stage.form(**options))
    assert answer.status_code == 200, answer.text
    (request,) = one.requests
    assert request.task == stage.prompted
    first, second = request.prompts
    on, off = pb.PointLabel.POINT_LABEL_FOREGROUND, pb.PointLabel.POINT_LABEL_BACKGROUND
    points = [(p.x_px, p.y_px, p.label) for p in first.points]
    assert points == [(1, 2, on), (3.5, 4, off), (5, 6, on)]
    assert (first.box.x_min_px, first.box.y_max_px) == (1, 40)
    assert second.mask.mask.coco_rle == RLE.encode()
    assert request.output.min_score == 0.25
    assert request.output.mask_encoding == pb.MaskEncoding.MASK_ENCODING_NONE
    assert list(request.output.category_ids) == [1, 7]
    assert request.automatic.points_per_side == 8
    assert request.automatic.min_mask_region_area_px == 5
    assert 0 < one.time_left_s[0] <= 7.5


async def test_a_digest_stands_for_a_picture_that_was_sent(stage: Any) -> None:
    one = await stage.model("one")
    await stage.serve(one)
    http = stage.http()
    digest = hashlib.sha256(stage.picture).hexdigest()
    by_digest = {"files": {"image_sha256": (None, digest)}, "data": {"options": '{"model":"one"}'}}
    missing = await http.post("/api/segment", **by_digest)
    assert (missing.status_code, missing.json()["reason"]) == (404, "IMAGE_NOT_HELD")
    first = await http.post("/api/segment", **stage.form(model="one"))
    second = await http.post("/api/segment", **by_digest)
    assert first.json()["image_sha256"] == digest
    assert second.json() == first.json()
    assert one.requests[-1].image.WhichOneof("source") == "sha256"
    one.images.clear()  # a replica that has lost it is sent the bytes by the gateway
    assert (await http.post("/api/segment", **by_digest)).status_code == 200
    assert one.requests[-1].image.encoded == stage.picture


async def test_results_are_streamed_as_they_come_and_the_agreements_last(stage: Any) -> None:
    slow, fast = await stage.model("slow"), await stage.model("fast")
    gate = asyncio.Event()

    async def wait(request: Any, context: Any) -> Any:
        await gate.wait()
        return await slow.find(request, context)

    slow.answer = wait
    await stage.serve(slow, fast)
    text = ""
    async with stage.http().stream("POST", "/api/compare/stream", **stage.form()) as answer:
        assert answer.headers["content-type"].startswith("text/event-stream")
        async for chunk in answer.aiter_text():
            text += chunk
            if len(events_of(text)) == 1:
                assert events_of(text)[0][1]["model_id"] == "fast"
                gate.set()
    assert [name for name, _ in events_of(text)] == ["outcome", "outcome", "agreements"]
    first, second, (pair,) = (document for _, document in events_of(text))
    assert (first["model_id"], second["model_id"]) == ("fast", "slow")
    assert (pair["model_id_a"], pair["model_id_b"]) == ("slow", "fast")
    whole = (await stage.http().post("/api/compare", **stage.form())).json()
    assert whole["agreements"] == [pair]
    assert first["result"] == whole["results"][1]["result"]


async def test_a_stream_without_news_says_that_it_lives(
    stage: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("diptych_gateway.http.events._QUIET_S", 0.01)
    one = await stage.model("one")
    gate = asyncio.Event()

    async def wait(request: Any, context: Any) -> Any:
        await gate.wait()
        return await one.find(request, context)

    one.answer = wait
    await stage.serve(one)
    text = ""
    async with stage.http().stream("POST", "/api/compare/stream", **stage.form()) as answer:
        async for chunk in answer.aiter_text():
            text += chunk
            if text.count(": still working") == 3:
                gate.set()
    assert [name for name, _ in events_of(text)] == ["outcome", "agreements"]


async def test_it_serves_without_any_model(stage: Any) -> None:
    await stage.serve(stage.dead_endpoint("one"), seen=False)
    http = stage.http()
    assert (await http.get("/healthz")).json() == {"status": "alive"}
    ready = await http.get("/readyz")
    assert (ready.status_code, ready.json()["reason"]) == (503, "MODEL_LOADING")
    assert ready.headers["retry-after"] == "1"
    page = await http.get("/")
    assert page.status_code == 200
    assert page.headers["content-type"].startswith("text/html")
    (model,) = (await http.get("/api/models")).json()
    assert (model["card"], model["error"]["reason"]) == (None, "MODEL_LOADING")
    answer = await http.post("/api/segment", **stage.form(model="one"))
    assert (answer.status_code, answer.json()["reason"]) == (503, "MODEL_LOADING")


async def test_it_is_ready_when_one_model_answers(stage: Any) -> None:
    await stage.serve(await stage.model("one"), stage.dead_endpoint("two"))
    answer = await stage.http().get("/readyz")
    assert (answer.status_code, answer.json()["models"]) == (200, ["one"])


@pytest.mark.parametrize("path", ["/", "/nothing.js", "/api/models", "/api/nothing", "/healthz"])
async def test_every_answer_is_strict_with_browsers(stage: Any, path: str) -> None:
    await stage.serve(await stage.model("one"))
    headers = (await stage.http().get(path)).headers
    rules = dict(rule.split(" ", 1) for rule in headers["content-security-policy"].split("; "))
    assert rules["default-src"] == "'none'"
    assert rules["script-src"] == rules["style-src"] == rules["connect-src"] == "'self'"
    assert rules["frame-ancestors"] == "'none'"
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["referrer-policy"] == "no-referrer"


async def test_no_http_without_a_port(stage: Any) -> None:
    await stage.serve(await stage.model("one"), http_port=None)
    assert stage.gateway.http is None
    assert stage.gateway.http_port is None


async def test_the_version_is_that_of_the_release_and_the_contract(stage: Any) -> None:
    await stage.serve(await stage.model("one"))
    answer = await stage.http().get("/version")
    assert answer.json() == {"version": RELEASE, "revision": "", "contract": "diptych.segment.v1"}


async def test_a_scrape_writes_no_line(stage: Any) -> None:
    await stage.serve(await stage.model("one"))
    http = stage.http()
    with structlog.testing.capture_logs() as lines:
        for _ in range(3):
            assert (await http.get("/metrics")).status_code == 200
        await http.get("/api/models")
        assert (await http.post("/metrics")).status_code == 405
    told = [(one["log_level"], one["method"], one.get("status")) for one in lines]
    info = [(method, code) for level, method, code in told if level == "info"]
    assert info == [("GET /api/models", 200), ("other /metrics", 405)]
    # Neither do the services that it asks.
    assert [level for level, method, _ in told if method == "GetModelStats"] == ["debug"] * 3
