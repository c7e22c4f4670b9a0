"""The OpenAPI description says what the gateway answers: schemas, examples, every status."""

from __future__ import annotations

import asyncio
import hashlib
import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import jsonschema_rs
import numpy as np
import pytest
from browser_page import grey_picture, rectangle
from http_description import Description, Seen
from serving_helpers import eventually
from starlette.routing import Route

from diptych import LowResLogits, MaskEncoding, SegmentResult
from diptych._types.segment import Keypoint
from diptych.documents.results import result_document
from diptych.limits import MAX_REQUEST_BYTES
from diptych.testing import FakeSegmentService
from diptych_gateway.http.description.openapi import describe
from diptych_gateway.settings import Endpoint
from diptych_runtime.engine import Reason, ServiceError

READS = ("/api/models", "/api/cards", "/api/server", "/api/export", "/version")
EXPORT = "/api/export"
POSTS = ("/api/segment", "/api/compare", "/api/compare/stream")
ALL, ONLY_VIDEO = "diptych_for-everything", "diptych_only-video"


@pytest.fixture
def service() -> Iterator[FakeSegmentService]:
    """Two models with whole cards."""
    with FakeSegmentService(("one", "two"), gateway=False) as service:
        yield service


async def described(stage: Any) -> Description:
    return Description((await stage.http().get("/api/openapi.json")).json())


def form(**options: Any) -> dict[str, Any]:
    return {"files": {"image": grey_picture()}, "data": {"options": json.dumps(options)}}


def export(**more: Any) -> dict[str, Any]:
    answer = result_document(SegmentResult("one", (rectangle(20, 15, 40, 30),), (60, 80)))
    return {"json": {"format": "coco", "pictures": [{"name": "a", "answer": answer}], **more}}


def events_of(text: str) -> list[tuple[str, Any]]:
    lines = [line.partition(": ")[2] for line in text.splitlines() if line]
    return [(name, json.loads(data)) for name, data in zip(lines[::2], lines[1::2], strict=True)]


async def test_the_description_is_that_of_the_routes(stage: Any) -> None:
    await stage.serve(await stage.model("one"))
    description = await described(stage)
    assert description.document["openapi"].startswith("3.1")
    paths = {r.path for r in stage.gateway.http.routes if isinstance(r, Route)}
    assert set(description.document["paths"]) == paths - {"/api/{path:path}", "/api/docs"}
    schemas = description.document["components"]["schemas"]
    assert set(schemas["OutputOptions"]["properties"]) >= {"min_score", "mask_encoding"}
    for name, schema in schemas.items():
        jsonschema_rs.meta.validate(schema)
        description.check({"anyOf": [{"$ref": f"#/components/schemas/{name}"}, True]}, None)
    options = schemas["CompareOptions"]["properties"]
    assert {"task", "prompts", "output", "automatic", "models", "match_iou"} <= set(options)


async def test_examples_are_as_described(stage: Any) -> None:
    await stage.serve(await stage.model("one"))
    description = await described(stage)
    examples = [
        (media.get("schema", {"type": "string"}), media["example"])
        for _, _, operation in description.operations()
        for response in operation["responses"].values()
        for media in response["content"].values()
        if "example" in media
    ]
    assert len(examples) > 20
    for schema, example in examples:
        description.check(schema, example)
    media = description.content("POST", "/api/compare/stream", 200)["text/event-stream"]
    told = events_of(media["example"])
    assert [name for name, _ in told] == ["outcome"] * 3 + ["agreements"]
    for name, document in told:
        description.check(media["x-events"][name], document)


async def test_answers_are_as_described(stage: Any, service: FakeSegmentService) -> None:
    endpoints = [Endpoint(name, service.address) for name in ("one", "two")]
    await stage.serve(*endpoints, stage.dead_endpoint("three"), seen=False)
    await stage.until(lambda: stage.reachable() == {"one", "two"})
    http, description = stage.http(), await described(stage)
    box = [{"box": [10, 10, 30, 30]}]
    asked = [
        ("GET", "/healthz", {}),
        ("GET", "/readyz", {}),
        ("GET", "/api/models", {}),
        ("GET", "/api/models/one", {}),
        ("GET", "/api/models/three", {}),
        ("GET", "/api/models/four", {}),
        ("GET", "/api/cards", {}),
        ("GET", "/api/server", {}),
        ("GET", "/version", {}),
        ("GET", EXPORT, {}),
        ("POST", EXPORT, export()),
        ("POST", EXPORT, export(tusk=1)),
        ("POST", "/api/segment", form(model="one")),
        ("POST", "/api/segment", form(model="one", task="keypoint-detection")),
        ("POST", "/api/segment", form(model="one", task="object-detection")),
        ("POST", "/api/segment", form(model="one", prompts=box)),
        ("POST", "/api/segment", form(model="three")),
        ("POST", "/api/segment", form(model="one", tusk=1)),
        ("POST", "/api/compare", form()),
        ("POST", "/api/compare", form(models=["one", "two", "three", "four"], prompts=box)),
        ("POST", "/api/compare", form(models=["one", "one"])),
    ]
    statuses = set()
    for method, path, body in asked:
        answer = await http.request(method, path, **body)
        statuses.add(answer.status_code)
        content = description.content(method, path, answer.status_code)
        media = content[answer.headers["content-type"]]
        is_file = "content-disposition" in answer.headers
        description.check(media["schema"], answer.text if is_file else answer.json())
    assert statuses == {200, 400, 404, 503}
    streamed = await http.post("/api/compare/stream", **form(models=["one", "two", "three"]))
    media = description.content("POST", "/api/compare/stream", 200)["text/event-stream"]
    for name, document in events_of(streamed.text):
        description.check(media["x-events"][name], document)
    with pytest.raises(jsonschema_rs.ValidationError):
        description.check_named("Model", {**(await http.get("/api/models/one")).json(), "x": 1})


@pytest.mark.parametrize("encoding", MaskEncoding)
def test_a_segment_with_everything_is_as_described(encoding: MaskEncoding) -> None:
    segment = replace(
        rectangle(20, 15, 40, 30),
        keypoints=(Keypoint("nose", 30.0, 20.0, 4.5),),
        prompt_index=0,
        candidate_index=2,
        stability_score=0.9,
        source_iou=0.75,
        low_res_logits=LowResLogits.from_numpy(np.zeros((4, 4))),
    )
    bare = replace(segment, box=None, mask=None, keypoints=())
    document = result_document(SegmentResult("one", (segment, bare), (60, 80)), encoding)
    Description(describe([])).check_named("Result", json.loads(json.dumps(document)))
    properties = describe([])["components"]["schemas"]["Segment"]["properties"]
    assert {name for one in document["segments"] for name in one} == set(properties)


class Seeing:
    """Requests of which is kept what was answered where."""

    def __init__(self, stage: Any) -> None:
        self.stage = stage
        self.seen: Seen = set()
        self.description = Description({"paths": {}, "components": {"schemas": {}}})

    async def serve(self, *models: Any, **settings: Any) -> None:
        """A new gateway for these models."""
        if self.stage.gateway:
            await self.stage.gateway.stop()
        await self.stage.serve(*models, **settings)
        self.description = await described(self.stage)

    async def ask(self, method: str, path: str, **request: Any) -> int:
        answer = await self.stage.http().request(method, path, **request)
        self.note(method, path, answer.status_code)
        if answer.status_code >= 400:
            self.description.check_named("Problem", answer.json())
        return int(answer.status_code)

    def note(self, method: str, path: str, status: int) -> None:
        self.seen.add((method, self.description.path_of(path), status))

    async def ask_unfinished(self, path: str, announced: int) -> None:
        """Begin a form, or what else is wanted there, and never end it."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self.stage.gateway.http_port)
        kind = "Content-Type: multipart/form-data; boundary=b"
        kind = "Content-Type: application/json" if path == EXPORT else kind
        head = f"POST {path} HTTP/1.1\r\nHost: x\r\n{kind}\r\nContent-Length: {announced}\r\n\r\n"
        writer.write(f"{head}--b\r\n".encode())
        self.note("POST", path, int((await reader.readline()).split()[1]))
        writer.close()


def options_of(path: str, **options: Any) -> dict[str, Any]:
    """Options with the model that one of the paths wants."""
    return options | ({"model": "one"} if path == "/api/segment" else {})


async def test_every_status_of_the_description_is_seen_and_no_other(
    stage: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seeing = Seeing(stage)
    await _see_answers_and_refusals(seeing)
    await _see_what_is_late(seeing)
    await _see_faults(seeing, monkeypatch)
    await _see_tokens(seeing, tmp_path)
    await _see_the_end(seeing, monkeypatch)
    assert seeing.seen == seeing.description.documented()


async def _see_answers_and_refusals(seeing: Seeing) -> None:
    stage = seeing.stage
    await seeing.serve(stage.dead_endpoint("two"), seen=False)
    await seeing.ask("GET", "/readyz")
    one = await stage.model("one")
    await seeing.serve(one, stage.dead_endpoint("two"))
    for path in ("/healthz", "/readyz", "/metrics", "/api/openapi.json", *READS):
        await seeing.ask("GET", path)
    for model in ("one", "four"):
        await seeing.ask("GET", f"/api/models/{model}")
        await seeing.ask("POST", "/api/segment", **stage.form(model=model))
    await seeing.ask("POST", "/api/segment", **stage.form(model="two"))
    for path in POSTS:
        good = stage.form(**options_of(path))
        await seeing.ask("POST", path, **good)
        await seeing.ask("POST", path, headers={"Origin": "https://evil.example"}, **good)
        await seeing.ask("POST", path, **stage.form(tusk=1))
        await seeing.ask("POST", path, json={})
        if path != "/api/compare/stream":
            await seeing.ask("POST", path, headers={"Accept": "image/gif"}, **good)
        await seeing.ask_unfinished(path, MAX_REQUEST_BYTES + 1)
    await seeing.ask("POST", EXPORT, **export())
    await seeing.ask("POST", EXPORT, headers={"Origin": "https://evil.example"}, **export())
    await seeing.ask("POST", EXPORT, **export(tusk=1))
    await seeing.ask("POST", EXPORT, **stage.form())
    await seeing.ask_unfinished(EXPORT, MAX_REQUEST_BYTES + 1)
    for path in POSTS:
        task = stage.form(**options_of(path, task="video-segmentation"))
        if path != "/api/segment":
            await seeing.ask("POST", path, **task)
    for reason in (Reason.TASK_UNSUPPORTED, Reason.QUEUE_FULL):

        async def fail(*_: Any) -> Any:
            raise ServiceError(reason, "expected this, got that", retry_after_s=1.0)  # noqa: B023

        one.answer = fail
        await seeing.ask("POST", "/api/segment", **stage.form(model="one"))


async def _see_what_is_late(seeing: Seeing) -> None:
    await seeing.serve(await seeing.stage.model("one"), default_deadline_s=0.3)
    for path in (*POSTS, EXPORT):
        await seeing.ask_unfinished(path, 1000)


async def _see_faults(seeing: Seeing, monkeypatch: pytest.MonkeyPatch) -> None:
    stage = seeing.stage
    await seeing.serve(await stage.model("one"))

    def fail(*_: Any) -> Any:
        raise RuntimeError("a fault")

    with monkeypatch.context() as patch:
        for name in ("api.read_segment", "api.read_compare", "export.api.read_body"):
            patch.setattr(f"diptych_gateway.http.{name}", fail)
        for name in (
            "http.api.model_document",
            "http.api.read_known_model",
            "metrics.generate_latest",
        ):
            patch.setattr(f"diptych_gateway.{name}", fail)
        for path in (*READS[:2], "/api/models/one", "/metrics"):
            assert await seeing.ask("GET", path) == 500
        for path in POSTS:
            assert await seeing.ask("POST", path, **stage.form()) == 500
        assert await seeing.ask("POST", EXPORT, **export()) == 500


async def _see_tokens(seeing: Seeing, tmp_path: Path) -> None:
    hashed = {s: hashlib.sha256(s.encode()).hexdigest() for s in (ALL, ONLY_VIDEO)}
    text = f'[tokens.all]\nsha256 = "{hashed[ALL]}"\n[tokens.video]\nscopes = ["video"]\n'
    (tmp_path / "tokens.toml").write_text(f'{text}sha256 = "{hashed[ONLY_VIDEO]}"\n')
    await seeing.serve(await seeing.stage.model("one"), tokens_file=tmp_path / "tokens.toml")
    for path, method, operation in list(seeing.description.operations()):
        if operation["security"]:
            at = method.upper(), path.replace("{model_id}", "one")
            assert await seeing.ask(*at) == 401
            headers = {"Authorization": f"Bearer {ONLY_VIDEO}"}
            assert await seeing.ask(*at, headers=headers) == 403


async def _see_the_end(seeing: Seeing, monkeypatch: pytest.MonkeyPatch) -> None:
    stage = seeing.stage
    one = await stage.model("one")
    never = asyncio.Event()
    asked = []

    async def wait(*_: Any) -> Any:
        asked.append(1)
        await never.wait()

    one.answer = wait
    await seeing.serve(one)
    monkeypatch.setattr("diptych_gateway.metrics.ask_stats", wait)
    asking = [asyncio.create_task(seeing.ask("GET", path)) for path in ("/metrics", "/api/cards")]
    asking += [
        asyncio.create_task(seeing.ask("POST", path, **stage.form(**options_of(path))))
        for path in POSTS[:2]
    ]
    unfinished = [
        asyncio.create_task(seeing.ask_unfinished(path, 1000)) for path in (POSTS[2], EXPORT)
    ]
    calls = stage.gateway.http._guard.calls
    await eventually(lambda: len(asked) == 4 and len(calls._served) == 6)
    await stage.gateway.stop()
    stage.gateway = None
    assert await asyncio.gather(*asking) == [503] * 4
    await asyncio.gather(*unfinished)
