"""Answers as files: what the page and programs get at /api/export, and what they are refused."""

from __future__ import annotations

import asyncio
import base64
import io
import json
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from pycocotools.coco import COCO
from serving_helpers import eventually

from diptych import Mask, Segment, SegmentResult
from diptych.documents.results import result_document
from diptych.formats import FORMATS
from diptych.limits import MAX_REQUEST_BYTES
from diptych.segment import v1 as pb
from diptych_gateway.http.export import api, body

SIZE = (60, 80)
SQUARE = Mask.from_crop(np.ones((20, 20), bool), 10, 10, SIZE)


def answer(*masks: Mask, label: str = "", size: tuple[int, int] = SIZE) -> Any:
    segments = tuple(Segment(0.5, one.box, one, label, 0, one.area) for one in masks)
    return result_document(SegmentResult("one", segments, size))


def export(name: str, *answers: Any, **more: Any) -> dict[str, Any]:
    pictures = [{"name": f"{at}.jpg", "answer": each} for at, each in enumerate(answers)]
    return {"json": {"format": name, "pictures": pictures, **more}}


async def test_an_answer_becomes_a_file_of_each_format(stage: Any) -> None:
    one = await stage.model("one")
    one.more_of_card = pb.ModelCard(categories=[pb.Category(id=7, name="cat")])
    await stage.serve(one)
    http = stage.http()
    listed = (await http.get("/api/export")).json()
    assert [entry["name"] for entry in listed] == [*FORMATS]
    assert {"title", "extension", "says"} <= set(listed[0])
    found = (await http.post("/api/segment", **stage.form(model="one"))).json()
    for entry in listed:
        got = await http.post("/api/export", **export(entry["name"], found))
        assert got.status_code == 200, got.text
        assert got.headers["x-content-type-options"] == "nosniff"
        name = got.headers["content-disposition"].split('"')[1]
        assert name.startswith(f"0.{entry['name']}.")
        kind = name.rpartition(".")[2]
        media = {"zip": "application/zip", "json": "application/json", "xml": "application/xml"}
        assert got.headers["content-type"].partition(";")[0] == media.get(kind, "text/csv")
        if kind == "zip":
            assert zipfile.ZipFile(io.BytesIO(got.content)).testzip() is None


async def test_a_coco_file_of_two_pictures(stage: Any, tmp_path: Path) -> None:
    one = await stage.model("one")
    one.more_of_card = pb.ModelCard(categories=[pb.Category(id=7, name="cat")])
    await stage.serve(one)
    asked = export("coco", answer(SQUARE), answer(SQUARE, SQUARE.shifted(3, 3), label="dog"))
    got = await stage.http().post("/api/export", **asked)
    assert 'filename="diptych.coco.json"' in got.headers["content-disposition"]
    (tmp_path / "a.json").write_bytes(got.content)
    coco = COCO(tmp_path / "a.json")
    assert [one["file_name"] for one in coco.imgs.values()] == ["0.jpg", "1.jpg"]
    names = {number: one["name"] for number, one in coco.cats.items()}
    assert names == {0: "object", 7: "cat", 8: "dog"}
    assert (coco.annToMask(coco.anns[1]) == SQUARE.to_array()).all()


@pytest.mark.parametrize("encoding", ["coco-rle", "png", "polygons"])
async def test_masks_as_the_answer_has_them(stage: Any, encoding: str) -> None:
    """And a picture's name as it is on disk."""
    await stage.serve(await stage.model("one"))
    form = stage.form(model="one", output={"mask_encoding": encoding})
    found = (await stage.http().post("/api/segment", **form)).json()
    asked = export("masks", found)
    asked["json"]["pictures"][0] |= {"name": "Höhle/Büro.jpg", "width": 80, "height": 60}
    got = await stage.http().post("/api/export", **asked)
    assert "filename*=UTF-8''B%C3%BCro.masks.zip" in got.headers["content-disposition"]
    archive = zipfile.ZipFile(io.BytesIO(got.content))
    assert archive.namelist()[0] == "Höhle/Büro/001-object.png"
    pixels = np.asarray(Image.open(io.BytesIO(archive.read(archive.namelist()[0]))))
    assert np.array_equal(pixels > 0, Mask.from_crop(np.ones((20, 20)), 10, 10, SIZE).to_array())


def changed(path: str, value: Any) -> dict[str, Any]:
    """A good body with something else at a path."""
    asked: Any = json.loads(json.dumps(export("coco", answer(SQUARE))["json"]))
    at = asked
    *steps, last = [int(step) if step.isdecimal() else step for step in path.split("/")]
    for step in steps:
        at = at[step]
    at[last] = value
    return {"json": asked}


SEGMENT, FIRST = "pictures/0/answer/segments/0", "pictures[0].answer.segments[0]"
BROKEN = {
    "format": (changed("format", "cocoa"), "format", "expected one of coco"),
    "no format": (changed("format", None), "format", "valid string"),
    "more": (changed("colour", "red"), "colour", "not permitted"),
    "no pictures": (changed("pictures", []), "pictures", "at least 1"),
    "tolerance": (changed("tolerance", -1), "tolerance", "greater than or equal to 0"),
    "width": (changed("pictures/0/width", 81), "pictures[0].width", "expected that of the answer"),
    "score": (
        changed(f"{SEGMENT}/score", "high"),
        f"{FIRST}.score",
        "number",
    ),
    "label": (
        changed(f"{SEGMENT}/label", {"a": 1}),
        f"{FIRST}.label",
        "string",
    ),
    "bad counts": (
        changed(f"{SEGMENT}/segmentation/counts", "0"),
        FIRST,
        "expected a sum of 4800 pixels",
    ),
    "other size": (
        changed(f"{SEGMENT}/segmentation/size", [2**31, 2**31]),
        FIRST,
        "expected the picture's 80 x 60 pixels",
    ),
    "a PNG that is none": (
        changed(f"{SEGMENT}/segmentation", {"png": base64.b64encode(b"a" * 50).decode()}),
        FIRST,
        "expected a PNG",
    ),
    "half a keypoint": (
        changed(f"{SEGMENT}/keypoint_names", ["nose"]),
        FIRST,
        "",
    ),
    "a huge picture": (
        changed("pictures/0/answer/image_size", {"width": 100_000, "height": 100_000}),
        "pictures[0].answer.image_size",
        "expected at most 128000000 pixels",
    ),
    "no JSON": ({"content": b"{", "headers": {"content-type": "application/json"}}, "", "JSON"),
    "no text": ({"content": b"\xff", "headers": {"content-type": "application/json"}}, "", "JSON"),
}


@pytest.mark.parametrize("kind", BROKEN)
async def test_what_cannot_be_used_is_said(stage: Any, kind: str) -> None:
    await stage.serve(stage.dead_endpoint("one"))
    asked, field, text = BROKEN[kind]
    got = await stage.http().post("/api/export", **asked)
    assert got.status_code == 400, got.text
    problem = got.json()
    assert problem["reason"] == "OPTION_INVALID"
    assert problem["violations"][0]["field"] == field
    assert text in problem["detail"]


async def test_what_is_no_json_or_too_much(stage: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    await stage.serve(stage.dead_endpoint("one"))
    http = stage.http()
    assert (await http.post("/api/export", **stage.form())).status_code == 415
    assert (await http.post("/api/export", content=b"{}")).status_code == 415
    wrong = await http.delete("/api/export")
    assert (wrong.status_code, wrong.headers["allow"]) == (405, "GET, HEAD, POST")
    headers = {"content-type": "application/json"}
    large = await http.post("/api/export", content=bytes(MAX_REQUEST_BYTES + 1), headers=headers)
    assert large.status_code == 413

    async def pieces() -> Any:
        for _ in range(33):
            yield bytes(1024 * 1024)

    assert (await http.post("/api/export", content=pieces(), headers=headers)).status_code == 413
    monkeypatch.setattr(api, "MAX_REPLY_BYTES", 100)
    for name in FORMATS:
        got = await http.post("/api/export", **export(name, *[answer(SQUARE)] * 2))
        assert (got.status_code, got.json()["reason"]) == (413, "IMAGE_TOO_LARGE")
        assert "fewer pictures" in got.json()["detail"]


def lace(*, drawn: bool) -> dict[str, Any]:
    """A mask of a large picture in a few bytes."""
    size = (9000, 9000)
    whole = Mask.from_counts([0, 81_000_000], size).to_coco().decode()
    png = io.BytesIO()
    if drawn:
        Image.new("1", size, 1).save(png, "PNG", compress_level=9)
    segmentation = (
        {"png": base64.b64encode(png.getvalue()).decode()}
        if drawn
        else {"size": list(size), "counts": whole}
    )
    segment = {"score": 1, "segmentation": segmentation}
    return {
        "image_size": {"width": 9000, "height": 9000},
        "segments": [segment] * (50 if drawn else 1000),
    }


@pytest.mark.parametrize(
    "name", [name for name, entry in FORMATS.items() if entry.draws != "nothing"]
)
async def test_a_thousand_whole_masks_are_not_drawn(stage: Any, name: str) -> None:
    """81 million pixels a thousand times: kept as run lengths they are a few kilobytes."""
    await stage.serve(stage.dead_endpoint("one"))
    got = await stage.http().post("/api/export", **export(name, lace(drawn=False)))
    assert (got.status_code, got.json()["reason"]) == (413, "IMAGE_TOO_LARGE")
    assert "coco" in got.json()["detail"]


@pytest.mark.parametrize("name", [name for name in FORMATS if FORMATS[name].polygons])
async def test_outlines_of_noise_are_not_followed(stage: Any, name: str) -> None:
    """Some kilobytes of run lengths, in which every other pixel is a part or a hole."""
    await stage.serve(stage.dead_endpoint("one"))
    noise = Mask.from_array(np.random.default_rng(3).random((600, 600)) < 0.5)
    got = await stage.http().post("/api/export", **export(name, answer(noise, size=(600, 600))))
    assert (got.status_code, got.json()["reason"]) == (413, "IMAGE_TOO_LARGE")
    assert "outlines and holes" in got.json()["detail"]


async def test_run_lengths_of_a_thousand_whole_masks_are_kept(stage: Any) -> None:
    await stage.serve(stage.dead_endpoint("one"))
    http = stage.http()
    got = await http.post("/api/export", **export("coco", lace(drawn=False)))
    assert len(got.json()["annotations"]) == 1000
    drawn = await http.post("/api/export", **export("coco", lace(drawn=True)))
    assert (drawn.status_code, drawn.json()["reason"]) == (413, "IMAGE_TOO_LARGE")


def test_json_of_too_many_values_is_not_read() -> None:
    text = b'{"pictures":[' + b"0," * 2_000_000 + b"0]}"
    with pytest.raises(Exception, match="expected JSON with at most 1000000 ,"):
        body.read_body(text)
    names = {f"{number:x}": 1 for number in range(200_000)}
    with pytest.raises(Exception, match="Extra inputs are not permitted"):
        body.read_body(json.dumps(export("coco", answer())["json"] | names).encode())
    many = {"score": 1.0}
    asked = export("coco", *[{**answer(), "segments": [many] * 6_000}] * 2)["json"]
    with pytest.raises(Exception, match="expected at most 10000 segments"):
        body.read_body(json.dumps(asked).encode())


async def test_two_at_a_time_and_the_loop_goes_on(
    stage: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    await stage.serve(stage.dead_endpoint("one"))
    import threading

    inside, most, go = [], [], threading.Event()
    read = api.read_body

    def slow(text: bytes) -> Any:
        inside.append(1)
        most.append(len(inside))
        go.wait(20)
        inside.pop()
        return read(text)

    monkeypatch.setattr(api, "read_body", slow)
    http = stage.http()
    asking = [
        asyncio.create_task(http.post("/api/export", **export("coco", answer(SQUARE))))
        for _ in range(5)
    ]
    await eventually(lambda: len(inside) == 2)
    assert (await http.get("/healthz")).status_code == 200
    go.set()
    assert [got.status_code for got in await asyncio.gather(*asking)] == [200] * 5
    assert max(most) == 2
