"""A picture as the body of a request, options in its query, and answers that are pictures."""

from __future__ import annotations

import asyncio
import hashlib
import io
from typing import Any

import httpx
import numpy as np
import pytest
from browser_page import grey_picture
from numpy.typing import NDArray
from PIL import Image
from starlette.requests import Request

from diptych import Mask
from diptych.limits import MAX_REQUEST_BYTES
from diptych.segment import v1 as pb
from diptych_gateway.http.options import read_segment
from diptych_gateway.http.pictures import drawing
from diptych_gateway.http.pictures.accept import wants_picture
from diptych_gateway.http.pictures.query import NAMES
from diptych_gateway.http.problems import RefusedError
from diptych_runtime.engine import Reason, ServiceError

JPEG = {"content-type": "image/jpeg"}
PNG = {"accept": "image/png", **JPEG}
PATHS = ("/api/segment", "/api/compare", "/api/compare/stream")


def scene() -> bytes:
    """A grey JPEG of the size that the models here answer about."""
    out = io.BytesIO()
    Image.new("RGB", (80, 60), (128, 128, 128)).save(out, "JPEG")
    return out.getvalue()


def pixels_of(answer: httpx.Response) -> NDArray[np.uint8]:
    assert answer.status_code == 200, answer.text
    assert answer.headers["content-type"] == "image/png"
    return np.asarray(Image.open(io.BytesIO(answer.content)))


def refused(answer: httpx.Response) -> tuple[int, str, str]:
    """Status, field and text of a problem."""
    document = answer.json()
    assert answer.headers["content-type"] == "application/problem+json", answer.text
    fields = [violation["field"] for violation in document["violations"]]
    return answer.status_code, fields[0] if fields else "", document["detail"]


async def test_a_bare_picture_is_asked_about_as_in_a_form(stage: Any) -> None:
    one = await stage.model("one")
    await stage.serve(one, await stage.model("two"))
    http, picture = stage.http(), grey_picture()
    for path, query in (("/api/segment", "?model=one"), ("/api/compare", "?models=two,one")):
        options = {"model": "one"} if path == "/api/segment" else {"models": ["two", "one"]}
        form = await http.post(path, **{**stage.form(**options), "files": {"image": picture}})
        for kind in ("image/jpeg", "image/png", "image/x-anything", "application/octet-stream"):
            bare = await http.post(path + query, content=picture, headers={"content-type": kind})
            assert bare.status_code == 200, bare.text
            assert stripped(bare.json()) == stripped(form.json())
    streamed = await http.post("/api/compare/stream", content=picture, headers=JPEG)
    assert streamed.text.count("event: outcome") == 2
    assert one.requests[-1].image.encoded == picture


def stripped(document: Any) -> Any:
    """Without what is another each time."""
    if isinstance(document, dict):
        new = ("elapsed_s", "request_id")
        return {name: stripped(value) for name, value in document.items() if name not in new}
    return [stripped(value) for value in document] if isinstance(document, list) else document


async def test_query_parameters_are_the_options_of_a_form(stage: Any) -> None:
    one = await stage.model("one", tasks=[stage.prompted, stage.instance])
    await stage.serve(one)
    http = stage.http()
    query = (
        "model=one&point=1,2&point=3.5,4,0&box=1,2,30,40&task=prompted-segmentation"
        "&min_score=0.25&category_ids=1,7&all_candidates=true&mask_encoding=png"
        "&points_per_side=8&use_m2m=0&timeout_s=7.5"
    )
    answer = await http.post(f"/api/segment?{query}", content=grey_picture(), headers=JPEG)
    assert answer.status_code == 200, answer.text
    (request,) = one.requests
    off = pb.PointLabel.POINT_LABEL_BACKGROUND
    first, second = request.prompts
    assert [(p.x_px, p.y_px, p.label == off) for p in first.points] == [
        (1, 2, False),
        (3.5, 4, True),
    ]
    assert (second.box.x_min_px, second.box.y_max_px) == (1, 40)
    assert request.output.min_score == 0.25
    assert list(request.output.category_ids) == [1, 7]
    assert request.output.all_candidates
    assert request.automatic.points_per_side == 8
    assert not request.automatic.use_m2m
    assert request.automatic.HasField("use_m2m")
    assert 0 < one.time_left_s[0] <= 7.5
    # Points that are all off the object correct the only box, as in the SDK.
    query = "model=one&point=3,4,0&box=1,2,30,40"
    await http.post(f"/api/segment?{query}", files={"image": grey_picture()})
    (prompt,) = one.requests[-1].prompts
    assert (len(prompt.points), prompt.box.x_max_px) == (1, 30)


BAD_QUERIES = [
    ("mdoel=one", "mdoel", "expected one of model, models, task"),
    ("model=one&model=two", "model", "expected once, got twice"),
    ("model=one&point=1", "point", "expected x,y or x,y,0, got '1'"),
    ("model=one&point=1,2,7", "point", "expected x,y or x,y,0"),
    ("model=one&point=1,x", "point", "expected x,y or x,y,0, got 'x'"),
    ("model=one&box=1,2,3", "box", "expected x_min,y_min,x_max,y_max, got '1,2,3'"),
    ("model=one&min_score=much", "min_score", "expected a number, got 'much'"),
    ("model=one&min_score=nan", "min_score", "expected a number, got 'nan'"),
    ("model=one&max_segments=1.5", "output.max_segments", "integer"),
    ("model=one&max_segments=" + "9" * 30, "options", "does not fit"),
    ("model=one&max_segments=²", "max_segments", "expected a number"),
    ("model=one&all_candidates=maybe", "all_candidates", "expected true or false"),
    ("model=one&task=dance", "task", ""),
    ("model=one&models=one", "models", ""),
    ("model=one&mask=x", "mask", "expected the index of one segment, from 0 on, got 'x'"),
    ("model=one&mask=0&mask=1", "mask", "expected the index of one segment"),
    ("model=one&mask=7", "mask", "expected an index below 1, the number of segments, got 7"),
]


async def test_what_a_query_cannot_say_is_named(stage: Any) -> None:
    await stage.serve(await stage.model("one", tasks=[stage.instance, stage.prompted]))
    http, picture = stage.http(), grey_picture()
    for query, field, text in BAD_QUERIES:
        answer = await http.post(f"/api/segment?{query}", content=picture, headers=JPEG)
        status, named, detail = refused(answer)
        assert (status, named) == (400, field), (query, detail)
        assert text in detail, query
    both = await http.post("/api/segment?model=one", **stage.form(model="one"))
    assert "in the form or as query parameters, got both" in refused(both)[2]
    for path in PATHS[1:]:
        answer = await http.post(f"{path}?mask=0", content=picture, headers=JPEG)
        assert refused(answer)[:2] == (400, "mask")


async def test_what_is_neither_a_form_nor_a_picture_is_told_what_to_say(stage: Any) -> None:
    await stage.serve(await stage.model("one"))
    http = stage.http()
    for kind in ("application/x-www-form-urlencoded", "text/plain", "application/json", ""):
        answer = await http.post(
            "/api/segment?model=one", content=grey_picture(), headers={"content-type": kind}
        )
        assert answer.status_code == 415
        assert "or a picture with its type, such as image/jpeg" in answer.json()["detail"]


async def test_a_bare_picture_has_the_bounds_of_a_form(stage: Any) -> None:
    one = await stage.model("one")
    await stage.serve(one)
    port = stage.gateway.http_port
    head = "POST /api/segment HTTP/1.1\r\nHost: x\r\nContent-Type: image/png\r\n"
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(f"{head}Content-Length: {MAX_REQUEST_BYTES + 1}\r\n\r\n".encode())
    assert b" 413 " in await reader.readline()
    writer.close()
    evil = {"origin": "https://evil.example", **JPEG}
    answer = await stage.http().post("/api/segment?model=one", content=b"x", headers=evil)
    assert (answer.status_code, answer.json()["reason"]) == (403, "ORIGIN_FOREIGN")
    assert one.requests == []


async def test_segments_are_drawn_over_the_picture(stage: Any) -> None:
    one = await stage.model("one")
    await stage.serve(one)
    http, picture = stage.http(), scene()
    for query in ("model=one", "model=one&mask_encoding=png"):
        drawn = pixels_of(await http.post(f"/api/segment?{query}", content=picture, headers=PNG))
        assert drawn.shape == (60, 80, 3)
        assert abs(drawn[50, 70].astype(int) - 128).max() < 4
        assert abs(drawn[25, 25].astype(int) - 128).max() > 20  # inside of the box 10, 10, 30, 30
    files = {"image": picture}
    form = {"files": files, "data": {"options": '{"model": "one"}'}}
    assert (
        pixels_of(await http.post("/api/segment", headers={"accept": "image/png"}, **form)) == drawn
    ).all()
    # By its digest the picture is drawn on as long as the gateway holds it.
    digest = {"image_sha256": (None, hashlib.sha256(picture).hexdigest())}
    form["files"] = digest
    again = await http.post("/api/segment", headers={"accept": "image/png"}, **form)
    assert (pixels_of(again) == drawn).all()


async def test_models_are_drawn_side_by_side(stage: Any) -> None:
    await stage.serve(
        await stage.model("one"), await stage.model("two"), stage.dead_endpoint("three")
    )
    answer = await stage.http().post("/api/compare", content=scene(), headers=PNG)
    drawn = pixels_of(answer)
    assert drawn.shape[0] > 60
    assert drawn.shape[1] > 3 * 80
    left, second, third = drawn[-60:, :80], drawn[-60:, 84:164], drawn[-60:, 168:248]
    assert (left == second).all()  # what matches has one colour
    assert (third[:2, :2] > 200).all()  # paled, with the error over it


async def test_one_mask_is_a_picture_of_its_own(stage: Any) -> None:
    one = await stage.model("one")
    one.boxes = [(10, 10, 30, 30), (40, 20, 70, 50)]
    await stage.serve(one)
    http = stage.http()
    for headers in (PNG, JPEG):
        answer = await http.post("/api/segment?model=one&mask=1", content=scene(), headers=headers)
        mask = pixels_of(answer)
        assert (mask.shape, sorted(np.unique(mask))) == ((60, 80), [0, 255])
        inside = Mask.from_png(answer.content)
        assert inside.box is not None
        assert inside.box.xyxy == (40, 20, 70, 50)


@pytest.mark.parametrize(
    ("accept", "kind"),
    [
        ("*/*", "application/json"),
        ("image/png", "image/png"),
        ("image/*", "image/png"),
        ("image/png, */*;q=0.1", "image/png"),
        ("application/json, image/png", "application/json"),
        ("application/json;q=0.5, image/png", "image/png"),
        ("image/png;q=0.5, application/json;q=0.6", "application/json"),
        ("image/png;q=0", "application/problem+json"),
        ("image/png;q=much", "application/problem+json"),
        ("text/html", "application/json"),
        ("image/avif,image/webp,*/*;q=0.8", "application/json"),
        ("image/jpeg", "application/problem+json"),
    ],
)
def test_accept_decides(accept: str, kind: str) -> None:
    request = Request({"type": "http", "headers": [(b"accept", accept.encode())]})
    if kind == "application/problem+json":
        with pytest.raises(RefusedError, match="expected application/json or image/png") as caught:
            wants_picture(request)
        assert caught.value.status == 406
    else:
        assert wants_picture(request) == (kind == "image/png")


async def test_drawing_is_bounded(stage: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    one = await stage.model("one")
    await stage.serve(one)
    http = stage.http()
    monkeypatch.setattr(drawing, "MOST_PX", 60 * 80 - 1)
    for path in ("/api/segment?model=one", "/api/compare"):
        answer = await http.post(path, content=scene(), headers=PNG)
        assert answer.status_code == 413
        assert "ask for application/json" in answer.json()["detail"]
    assert one.requests == []  # nobody worked for it
    monkeypatch.setattr(drawing, "MOST_PX", 60 * 80)
    monkeypatch.setattr(drawing, "MOST_MASK_PX", 399)
    answer = await http.post("/api/segment?model=one", content=scene(), headers=PNG)
    assert refused(answer)[0] == 413
    assert "at most 399 pixels together are drawn, got 400" in answer.json()["detail"]
    mask = await http.post("/api/segment?model=one&mask=0", content=scene(), headers=PNG)
    assert mask.status_code == 200


async def test_errors_of_a_model_are_problems_though_a_picture_was_wanted(stage: Any) -> None:
    one = await stage.model("one")
    await stage.serve(one)

    async def full(*_: Any) -> Any:
        raise ServiceError(Reason.QUEUE_FULL, "full", retry_after_s=2.0)

    one.answer = full
    http = stage.http()
    answer = await http.post("/api/segment?model=one", content=scene(), headers=PNG)
    assert (answer.status_code, answer.json()["reason"]) == (429, "QUEUE_FULL")
    one.answer = one.find
    broken = await http.post("/api/segment?model=one", content=b"nothing", headers=PNG)
    assert (broken.status_code, broken.json()["reason"]) == (400, "IMAGE_UNREADABLE")


async def test_the_process_that_decodes_ends_with_the_gateway(stage: Any) -> None:
    await stage.serve(await stage.model("one"))
    drawings = stage.gateway.http._api._drawings
    assert drawings._decoder is None  # none is started for nothing
    await stage.http().post("/api/segment?model=one", content=scene(), headers=PNG)
    process = drawings._decoder._child.process
    assert process.poll() is None
    await stage.gateway.stop()
    assert process.poll() is not None


def test_every_option_of_one_model_can_be_said_in_a_query() -> None:
    """Objects with masks cannot: those need a form."""
    options, _ = read_segment({"image": b"x", "options": b'{"model": "one"}'})
    kinds = type(options).model_fields
    below = {"output", "automatic", "prompts"}
    assert set(kinds) - below <= set(NAMES)
