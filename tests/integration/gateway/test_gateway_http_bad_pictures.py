"""Files that are no pictures, or too large, over HTTP: which problem, and that the rest goes on.

The models here look at pictures as the services do.
"""

from __future__ import annotations

import json
from typing import Any

import pytest
from bad_pictures import heavy_picture, huge_picture, text_file
from browser_page import grey_picture

from diptych_runtime.worker.images import decode

LOOK = {"max_pixels": 50_000_000, "min_side": 16, "max_aspect_ratio": 20.0}
BAD = [
    (text_file(), 400, "IMAGE_UNREADABLE", "JPEG, PNG or WebP"),
    (b"", 400, "IMAGE_UNREADABLE", "0 bytes"),
    (huge_picture(), 413, "IMAGE_TOO_LARGE", "50000000"),
]
IDS = ["text", "empty", "80 million pixels"]


@pytest.fixture
async def http(stage: Any) -> Any:
    """A client of a gateway with two models that look at what they are sent."""
    models = [await stage.model(name) for name in ("one", "two")]
    for model in models:

        async def look(request: Any, context: Any, model: Any = model) -> Any:
            decode(request.image.encoded, **LOOK)  # type: ignore[arg-type]
            return await model.find(request, context)

        model.answer = look
    await stage.serve(*models)
    return stage.http()


def form(picture: bytes, **options: Any) -> dict[str, Any]:
    return {"files": {"image": ("p", picture)}, "data": {"options": json.dumps(options)}}


@pytest.mark.parametrize(("picture", "status", "reason", "said"), BAD, ids=IDS)
async def test_one_model_refuses_it(
    http: Any, picture: bytes, status: int, reason: str, said: str
) -> None:
    answer = await http.post("/api/segment", **form(picture, model="one"))
    problem = answer.json()
    assert (answer.status_code, problem["status"], problem["reason"]) == (status, status, reason)
    assert said in problem["detail"]
    assert problem["detail"].startswith("image: ")
    assert [violation["field"] for violation in problem["violations"]] == ["image"]


@pytest.mark.parametrize(("picture", "status", "reason", "said"), BAD, ids=IDS)
async def test_each_model_of_a_comparison_refuses_it_in_its_place(
    http: Any, picture: bytes, status: int, reason: str, said: str
) -> None:
    compared = (await http.post("/api/compare", **form(picture))).json()
    assert compared["agreements"] == []
    streamed = (await http.post("/api/compare/stream", **form(picture))).text
    blocks = [block.split("\ndata: ") for block in streamed.split("\n\n") if block]
    assert [name for name, _ in blocks] == ["event: outcome"] * 2 + ["event: agreements"]
    for outcome in [*compared["results"], *(json.loads(data) for _, data in blocks[:2])]:
        assert outcome["result"] is None
        assert (outcome["error"]["reason"], said in outcome["error"]["message"]) == (reason, True)
        assert [v["field"] for v in outcome["error"]["violations"]] == ["image"]
    good = (await http.post("/api/compare", **form(grey_picture()))).json()
    assert [outcome["error"] for outcome in good["results"]] == [None, None]


@pytest.mark.parametrize("path", ["/api/segment", "/api/compare", "/api/compare/stream"])
async def test_a_file_over_the_limit_of_a_message_is_answered_though_it_is_still_sent(
    http: Any, path: str
) -> None:
    answer = await http.post(path, **form(heavy_picture()))
    assert (answer.status_code, answer.json()["status"]) == (413, 413)
    assert "at most" in answer.json()["detail"]
    assert (await http.get("/healthz")).status_code == 200
