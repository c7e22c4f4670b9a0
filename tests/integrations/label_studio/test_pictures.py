"""Clicks and whole pictures, through Label Studio's own server."""

from __future__ import annotations

import base64
import io
from typing import Any

import numpy as np
import pytest
from label_studio_server import LabelStudio
from numpy.typing import NDArray
from PIL import Image
from stack import Stack
from task_scenes import CONFIG, SCENE, ask, brush_pixels, point, rectangle, stroke

from diptych import Box, Client, Mask, Point, Prompt, Task


@pytest.fixture(scope="module")
def connected(label_studio: LabelStudio, backend: str) -> tuple[int, int, int]:
    """A project with the scene, its task, and the backend in it."""
    project, task = label_studio.project(CONFIG, SCENE.file, "scene.png")
    return project, task, label_studio.connect(project, backend)


@pytest.fixture(scope="module")
def client(stack: Stack) -> Any:
    """The SDK, for what the masks are compared with."""
    with Client(stack.address("gateway"), timeout=60) as client:
        yield client


def only_mask(answer: Any) -> NDArray[np.bool_]:
    """The only region of an answer, as pixels."""
    (region,) = answer["data"]["result"]
    assert region["type"] == "brushlabels"
    assert region["value"]["brushlabels"] == ["Thing"]
    return brush_pixels(region)


def test_five_clicks_run_the_encoder_once(
    label_studio: LabelStudio, connected: tuple[int, int, int], client: Client
) -> None:
    _, task, backend = connected
    x, y = SCENE.middle
    clicks = [(x, y, True), (x + 3, y, True), (x, y + 3, True), (2, 2, False), (4, 2, False)]
    before = client.model_stats("sam-2")
    found = [
        only_mask(
            label_studio.click(backend, task, [point(*click) for click in clicks[: count + 1]])
        )
        for count in range(len(clicks))
    ]
    after = client.model_stats("sam-2")
    assert after.encoder_run_count - before.encoder_run_count <= 1
    assert sum(after.outcomes.values()) - sum(before.outcomes.values()) >= len(clicks)
    for count, mask in enumerate(found, start=1):
        points = tuple(Point(*click) for click in clicks[:count])
        answer = client.segment(SCENE.file, model="sam-2", prompts=[Prompt(points=points)])
        assert Mask.from_array(mask) == answer.segments[0].mask
    assert found[0].any()


@pytest.mark.parametrize("kind", ["box", "brush"])
def test_a_box_and_a_stroke_point_out_an_object(
    kind: str, label_studio: LabelStudio, connected: tuple[int, int, int], client: Client
) -> None:
    _, task, backend = connected
    box = Box(*SCENE.box)
    drawn = rectangle(box) if kind == "box" else stroke(SCENE.middle)
    found = Mask.from_array(only_mask(label_studio.click(backend, task, [drawn])))
    asked = client.segment(SCENE.file, model="sam-2", boxes=[box]).segments[0].mask
    assert asked is not None
    assert found == asked if kind == "box" else found.iou(asked) > 0.7


def test_whole_pictures_are_labelled_with_the_names_of_the_configuration(
    label_studio: LabelStudio, connected: tuple[int, int, int], client: Client
) -> None:
    project, task, _ = connected
    body = {"selectedItems": {"all": False, "included": [task]}, "filters": None}
    label_studio.ask(
        "POST", f"/api/dm/actions?id=retrieve_tasks_predictions&project={project}", json=body
    )
    (kept,) = label_studio.ask("GET", f"/api/predictions?task={task}")
    found = client.segment(
        SCENE.file, model="mask-rcnn-sam-2", task=Task.INSTANCE_SEGMENTATION
    ).segments
    wanted = [s.mask for s in found if s.label in ("ring", "triangle")]
    got = [Mask.from_array(brush_pixels(region)) for region in kept["result"]]
    assert got
    assert got == wanted
    assert {r["value"]["brushlabels"][0] for r in kept["result"]} == {"Round"}
    assert kept["model_version"].startswith("mask-rcnn-sam-2+sam-2@")


INLINE = "data:image/png;base64," + base64.b64encode(SCENE.file).decode()


@pytest.mark.parametrize(
    ("tag", "kind"), [("PolygonLabels", "polygon"), ("RectangleLabels", "rectangle")]
)
def test_polygons_and_boxes_where_the_configuration_wants_them(
    tag: str, kind: str, backend: str, client: Client
) -> None:
    config = CONFIG.replace("BrushLabels", tag)
    (answer,) = ask(backend, INLINE, config, [point(*SCENE.middle)]).json()["results"]
    mask = client.segment(SCENE.file, model="sam-2", points=[SCENE.middle]).segments[0].mask
    assert mask is not None
    assert {region["type"] for region in answer["result"]} == {f"{kind}labels"}
    height, width = SCENE.size
    if kind == "polygon":
        rings = [
            np.array(region["value"]["points"]) * (width / 100, height / 100)
            for region in answer["result"]
        ]
        assert Mask.from_polygons(rings, SCENE.size).iou(mask) > 0.9
    else:
        value = answer["result"][0]["value"]
        assert mask.box is not None
        assert [value["x"] * width / 100, value["width"] * width / 100] == pytest.approx(
            [mask.box.x_min, mask.box.x_max - mask.box.x_min]
        )


@pytest.mark.parametrize(
    ("image", "sentence"),
    [
        ("s3://bucket/a.png", "s3:// addresses are not read"),
        ("http://169.254.169.254/latest", "http://169.254.169.254:80 is not allowed"),
        ("file:///etc/passwd", "file:// addresses are not read"),
        ("data:image/png;base64,AAAA", "Diptych:"),
        (None, "Expected the address of a picture"),
        ("/data/upload/1/none.png", "Label Studio does not let|was answered with 404"),
    ],
)
def test_refusals_are_sentences_in_the_status_line(image: Any, sentence: str, backend: str) -> None:
    answer = ask(backend, image, CONFIG, [point(*SCENE.middle)])
    assert answer.is_error
    assert any(part in answer.reason_phrase for part in sentence.split("|")), answer.reason_phrase
    assert answer.json()["error"]


def test_a_click_says_what_is_wrong_through_the_server(
    label_studio: LabelStudio, connected: tuple[int, int, int]
) -> None:
    _, task, backend = connected
    answer = label_studio.click(backend, task, [point(*SCENE.middle, False)])
    assert "All points are negative" in answer["errors"][0]


def test_a_configuration_that_nothing_fits_is_refused_when_it_is_connected(
    label_studio: LabelStudio, backend: str
) -> None:
    choices = '<Choices name="c" toName="t"><Choice value="A"/><Choice value="B"/></Choices>'
    config = f'<View><Text name="t" value="$t"/>{choices}</View>'
    made = label_studio.ask(
        "POST", "/api/projects", json={"title": "a text", "label_config": config}
    )
    with pytest.raises(AssertionError, match="Expected an Image or Video tag"):
        label_studio.connect(made["id"], backend)


def test_a_brush_that_claims_gigabytes_is_refused(backend: str) -> None:
    drawn = stroke(SCENE.middle)
    drawn["value"]["rle"][:4] = [255, 255, 255, 255]
    answer = ask(backend, INLINE, CONFIG, [drawn])
    assert answer.status_code == 400
    assert "brush as large as the picture" in answer.reason_phrase


def test_a_picture_of_another_size_than_the_browser_shows(backend: str) -> None:
    out = io.BytesIO()
    Image.new("RGB", (50, 40)).save(out, "PNG")
    other = "data:image/png;base64," + base64.b64encode(out.getvalue()).decode()
    answer = ask(backend, other, CONFIG, [point(10, 10)])
    assert answer.status_code == 422
    assert "50x40" in answer.reason_phrase
