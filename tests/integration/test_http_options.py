"""Every option of the OpenAPI description has an effect on an answer of a real model."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Iterator
from dataclasses import fields
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from PIL import Image
from stack import Stack

from diptych import AutomaticOptions, Client, Mask, MaskEncoding, OutputOptions, Point, Prompt

PICTURE = (Path(__file__).parents[1] / "assets" / "scenes" / "0.png").read_bytes()
LABELS = np.asarray(Image.open(Path(__file__).parents[1] / "assets" / "scenes" / "0-labels.png"))
OBJECT = Mask.from_array(LABELS == 1)
BEGIN = Mask.from_array(
    (LABELS == 1) & (np.arange(LABELS.shape[1]) < np.median(OBJECT.box.xyxy[::2]))
)
BOX = list(OBJECT.box.xyxy) if OBJECT.box else []
MIDDLE = [(BOX[0] + BOX[2]) / 2, (BOX[1] + BOX[3]) / 2]
RLE = {"size": list(BEGIN.size), "counts": BEGIN.to_coco().decode()}
PNG = base64.b64encode(BEGIN.to_png()).decode()
LOGITS = {"height": 64, "width": 64, "float16_le": base64.b64encode(bytes(64 * 64 * 2)).decode()}
SOME = base64.b64encode(np.tile(np.linspace(-9, 9, 64), 64).astype("<f2").tobytes()).decode()
Options = dict[str, Any]


def prompted(**prompt: Any) -> Options:
    return {"model": "sam-2", "prompts": [prompt]}


def grid(**automatic: Any) -> Options:
    plain = {"points_per_side": 8, "pred_iou_thresh": 0.5, "stability_score_thresh": 0.5}
    return {"model": "sam-2", "automatic": {**plain, **automatic}}


def output(base: Options, **output: Any) -> Options:
    return {**base, "output": output}


def automatic_names() -> set[str]:
    return {field.name for field in fields(AutomaticOptions)}


FOUND: Options = {"model": "mask-rcnn"}
POINTED = prompted(points=[MIDDLE])
REFINED = prompted(points=[MIDDLE], mask=LOGITS)
CROPS = {"crop_n_layers": 1, "crop_n_points_downscale_factor": 2}
EFFECTS: dict[str, tuple[Options, Options]] = {
    "model": (FOUND, {"model": "sam-2", "automatic": grid()["automatic"]}),
    "task": (FOUND, {**FOUND, "task": "object-detection"}),
    "prompts[].points[][]": (
        POINTED,
        prompted(points=[[*MIDDLE], [BOX[0] + 1, BOX[1] + 1, False]]),
    ),
    "prompts[].box": (POINTED, prompted(points=[MIDDLE], box=BOX)),
    "prompts[].mask.size": (prompted(mask=RLE), prompted(mask={**RLE, "size": [128, 512]})),
    "prompts[].mask.counts": (prompted(box=BOX), prompted(box=BOX, mask=RLE)),
    "prompts[].mask.png": (prompted(box=BOX), prompted(box=BOX, mask={"png": PNG})),
    "prompts[].mask.height": (REFINED, prompted(points=[MIDDLE], mask={**LOGITS, "height": 63})),
    "prompts[].mask.width": (REFINED, prompted(points=[MIDDLE], mask={**LOGITS, "width": 63})),
    "prompts[].mask.float16_le": (
        REFINED,
        prompted(points=[MIDDLE], mask={**LOGITS, "float16_le": SOME}),
    ),
    "output.min_score": (FOUND, output(FOUND, min_score=0.999_99)),
    "output.max_segments": (FOUND, output(FOUND, max_segments=1)),
    "output.mask_encoding": (FOUND, output(FOUND, mask_encoding="polygons")),
    "output.all_candidates": (POINTED, output(POINTED, all_candidates=True)),
    "output.low_res_logits": (POINTED, output(POINTED, low_res_logits=True)),
    "output.category_ids[]": (FOUND, output(FOUND, category_ids=[1])),
    "automatic.points_per_side": (grid(), grid(points_per_side=3)),
    "automatic.pred_iou_thresh": (grid(), grid(pred_iou_thresh=0.95)),
    "automatic.stability_score_thresh": (grid(), grid(stability_score_thresh=0.98)),
    "automatic.box_nms_thresh": (grid(), grid(box_nms_thresh=0.0)),
    "automatic.crop_n_layers": (grid(), grid(**CROPS)),
    "automatic.min_mask_region_area": (grid(), grid(min_mask_region_area=400)),
    "automatic.stability_score_offset": (grid(), grid(stability_score_offset=5.0)),
    "automatic.crop_nms_thresh": (grid(**CROPS), grid(**CROPS, crop_nms_thresh=0.0)),
    "automatic.crop_overlap_ratio": (grid(**CROPS), grid(**CROPS, crop_overlap_ratio=0.0)),
    "automatic.crop_n_points_downscale_factor": (
        grid(**CROPS),
        grid(crop_n_layers=1, crop_n_points_downscale_factor=4),
    ),
    "automatic.multimask_output": (grid(), grid(multimask_output=False)),
    "automatic.use_m2m": (grid(), grid(use_m2m=True)),
    "timeout_s": (FOUND, {**FOUND, "timeout_s": 1e-6}),
}
"""By option: what is asked without it or with another value, and what with it."""
COMPARED: dict[str, tuple[Options, Options]] = {
    "models[]": ({"models": ["mask-rcnn"]}, {"models": ["mask-rcnn", "sam-2"], **grid()}),
    "match_iou": (
        {"automatic": grid()["automatic"]},
        {"automatic": grid()["automatic"], "match_iou": 1.0},
    ),
}
COMPARED["models[]"][1].pop("model")


@pytest.fixture(scope="module")
def ask(stack: Stack) -> Iterator[Callable[..., tuple[int, Any]]]:
    """Status and answer to options; the same are asked once."""
    known: dict[str, tuple[int, Any]] = {}
    with httpx.Client(base_url=f"http://{stack.address('http')}", timeout=60) as client:

        def asked(options: Options, path: str = "/api/segment") -> tuple[int, Any]:
            text = json.dumps(options)
            if path + text not in known:
                form = {"files": {"image": PICTURE}, "data": {"options": text}}
                answer = client.post(path, **form)
                known[path + text] = answer.status_code, answer.json()
            return known[path + text]

        yield asked


@pytest.fixture(scope="module")
def description(stack: Stack) -> Any:
    return httpx.get(f"http://{stack.address('http')}/api/openapi.json").json()


def leaves(schema: Any, schemas: Any, path: str = "") -> Iterator[str]:
    """Names of all options below a schema; ``[]`` stands for any item of a list."""
    if "$ref" in schema:
        schema = schemas[schema["$ref"].rpartition("/")[2]]
    for one in [*schema.get("anyOf", ()), *schema.get("oneOf", ())]:
        yield from leaves(one, schemas, path)
    for name, option in schema.get("properties", {}).items():
        yield from leaves(option, schemas, f"{path}.{name}".lstrip("."))
    if schema.get("type") == "array" and "prefixItems" not in schema:
        yield from leaves(schema["items"], schemas, f"{path}[]")
    elif not {"properties", "anyOf", "oneOf"} & schema.keys() and schema.get("type") != "null":
        yield path


def test_every_option_of_the_description_is_tried(description: Any) -> None:
    schemas = description["components"]["schemas"]
    segment = set(leaves(schemas["SegmentOptions"], schemas))
    compare = set(leaves(schemas["CompareOptions"], schemas))
    assert segment == EFFECTS.keys()
    assert compare - segment == COMPARED.keys()
    assert segment - compare == {"model"}


def content(answer: tuple[int, Any]) -> Any:
    """What does not differ from one asking to the next."""
    status, document = answer
    return status, document.get("model_id"), document.get("segments"), document.get("detail")


@pytest.mark.parametrize("option", EFFECTS)
def test_an_option_of_one_model_has_an_effect(ask: Any, option: str) -> None:
    without, with_it = EFFECTS[option]
    before, after = ask(without), ask(with_it)
    assert before[0] == 200, before[1]
    assert content(before) != content(after)


@pytest.mark.parametrize("option", COMPARED)
def test_an_option_of_a_comparison_has_an_effect(ask: Any, option: str) -> None:
    without, with_it = COMPARED[option]
    (status, before), (_, after) = (ask(asked, "/api/compare") for asked in (without, with_it))
    assert status == 200
    models = [[one["model_id"] for one in answer["results"]] for answer in (before, after)]
    matches = [answer["agreements"] for answer in (before, after)]
    assert models[0] != models[1] or matches[0] != matches[1]


def mask_of(segmentation: Any) -> Mask:
    """The mask of a segment in whatever encoding."""
    if isinstance(segmentation, list):
        return Mask.from_polygons(segmentation, OBJECT.size)
    if "png" in segmentation:
        return Mask.from_png(base64.b64decode(segmentation["png"]))
    return Mask.from_coco(segmentation["counts"], segmentation["size"])


@pytest.mark.parametrize(
    "encoding", [encoding for encoding in MaskEncoding if encoding is not MaskEncoding.NONE]
)
@pytest.mark.parametrize("model", ["mask-rcnn", "sam-2"])
def test_every_encoding_is_of_the_same_mask(ask: Any, encoding: MaskEncoding, model: str) -> None:
    asked = {**prompted(box=BOX), "model": model}
    _, plain = ask(asked)
    _, encoded = ask(output(asked, mask_encoding=encoding.value))
    expected = [mask_of(segment.pop("segmentation")) for segment in copied(plain)]
    assert [mask_of(segment["segmentation"]) for segment in encoded["segments"]] == expected
    kind = {MaskEncoding.COCO_RLE: "counts", MaskEncoding.PNG: "png"}.get(encoding)
    assert all(kind in one["segmentation"] for one in encoded["segments"] if kind)
    for one, other in zip(copied(encoded), copied(plain), strict=True):
        assert {**one, "segmentation": 0} == {**other, "segmentation": 0}


def copied(document: Any) -> list[Any]:
    return [dict(segment) for segment in document["segments"]]


def test_a_comparison_has_the_encoding_too(stack: Stack, ask: Any) -> None:
    asked = {"prompts": [{"box": BOX}], "output": {"mask_encoding": "polygons"}}
    _, whole = ask(asked, "/api/compare")
    form = {"files": {"image": PICTURE}, "data": {"options": json.dumps(asked)}}
    address = f"http://{stack.address('http')}/api/compare/stream"
    streamed = httpx.post(address, timeout=60, **form).text
    events = [json.loads(line[6:]) for line in streamed.splitlines() if line[:6] == "data: "]
    outcomes = {event["model_id"]: event for event in events[:-1]}
    assert len(outcomes) == 2
    for outcome in whole["results"]:
        (segment,) = outcome["result"]["segments"]
        (same,) = outcomes[outcome["model_id"]]["result"]["segments"]
        assert isinstance(segment["segmentation"], list)
        assert segment["segmentation"] == same["segmentation"]


def test_without_masks_there_is_no_segmentation(ask: Any) -> None:
    _, document = ask(output(FOUND, mask_encoding="none"))
    assert document["segments"]
    assert not any("segmentation" in segment for segment in document["segments"])


def test_a_background_click_corrects_an_answer_as_over_grpc(stack: Stack, ask: Any) -> None:
    """Logits go out and come back in JSON, unchanged."""
    off = [BOX[0] + 3, MIDDLE[1], False]
    _, first = ask(output(prompted(box=BOX), low_res_logits=True))
    logits = first["segments"][0]["low_res_logits"]
    assert (logits["height"], logits["width"]) == (64, 64)
    status, corrected = ask(output(prompted(points=[off], mask=logits), low_res_logits=True))
    assert status == 200, corrected
    given = OutputOptions(low_res_logits=True)
    with Client(stack.address("gateway"), timeout=60) as client:
        (told,) = client.segment(PICTURE, model="sam-2", boxes=[BOX], output=given).segments
        again = Prompt(points=(Point(off[0], off[1], False),), mask=told.low_res_logits)
        (expected,) = client.segment(PICTURE, model="sam-2", prompts=[again], output=given).segments
    (segment,) = corrected["segments"]
    assert mask_of(segment["segmentation"]) == expected.mask != told.mask
    assert expected.low_res_logits is not None
    numbers = base64.b64decode(segment["low_res_logits"]["float16_le"])
    assert numbers == expected.low_res_logits.float16_le


@pytest.mark.parametrize(
    ("mask", "told"),
    [
        ({}, "prompts[0].mask: expected an object with one of counts, png and float16_le"),
        ({"png": PNG, **RLE}, "prompts[0].mask: expected an object with one of counts, png"),
        ("AAAA", "prompts[0].mask: expected an object with one of counts, png and float16_le"),
        ({"counts": RLE["counts"]}, "prompts[0].mask.size: Field required"),
        ({"png": PNG, "size": [1, 1]}, "prompts[0].mask.size: Extra inputs are not permitted"),
        (
            {**RLE, "size": [128, 512]},
            "prompts[0].mask: expected the size of the picture, 256 x 256, got 512 x 128",
        ),
        ({"png": "?"}, "prompts[0].mask: expected base64, got something else"),
        ({"png": "AAAA"}, "prompts[0].mask: expected a PNG"),
        ({**LOGITS, "width": 32}, "prompts[0].mask: expected 4096 bytes, got 8192"),
        ({**LOGITS, "height": 1, "width": 4096}, "prompts[0].mask: expected sides of 1 to 1024"),
        ({**LOGITS, "height": 2**40}, "options: a number does not fit"),
        ({**LOGITS, "float16_le": "AAAA"}, "prompts[0].mask: expected 8192 bytes, got 3"),
    ],
    ids=str,
)
def test_a_mask_that_is_none_is_told_by_its_field(ask: Any, mask: Any, told: str) -> None:
    status, problem = ask(prompted(points=[MIDDLE], mask=mask))
    assert (status, problem["detail"][: len(told)]) == (400, told)


def test_the_logits_of_twenty_objects_of_a_large_model_fit(ask: Any) -> None:
    """They are of another model here, which is told by one that has read them."""
    sides = 256
    numbers = base64.b64encode(bytes(2 * sides * sides)).decode()
    logits = {"height": sides, "width": sides, "float16_le": numbers}
    asked = {"model": "sam-2", "prompts": [{"mask": logits}] * 20}
    status, problem = ask(asked)
    assert (status, len(problem["violations"])) == (400, 20)
    assert problem["violations"][19] == {
        "field": "prompts[19].mask",
        "description": "expected 64 x 64, got 256 x 256",
    }


IGNORED: dict[str, tuple[Options, set[str]]] = {
    "mask-rcnn": (FOUND, {"all_candidates", "low_res_logits", *automatic_names()}),
    "mask-rcnn, prompted": (
        {"model": "mask-rcnn", "prompts": [{"box": BOX}]},
        {"min_score", "max_segments", "all_candidates", "low_res_logits", *automatic_names()},
    ),
    "sam-2": (grid(), {"all_candidates", "category_ids"}),
    "sam-2, prompted": (POINTED, {"min_score", "max_segments", "category_ids", *automatic_names()}),
    "sam-2, detection": (
        {**grid(), "task": "object-detection"},
        {"mask_encoding", "all_candidates", "category_ids"},
    ),
}
"""By model and task: what is asked, and which options of it change nothing."""
TELLS = ("ignore", "never dropped", "never left out")


@pytest.mark.parametrize("case", IGNORED)
def test_an_option_that_is_ignored_says_so(ask: Any, description: Any, case: str) -> None:
    asked, ignored = IGNORED[case]
    schemas = description["components"]["schemas"]
    silent = set()
    for option, (_, changed) in EFFECTS.items():
        group, _, name = option.removesuffix("[]").partition(".")
        if group not in ("output", "automatic"):
            continue
        value = {"category_ids": [1]}.get(name, changed[group][name])
        whole = {**asked, group: {**asked.get(group, {}), name: value}}
        if group == "automatic" and name.startswith("crop_") and "automatic" in asked:
            continue  # what they do is seen above, with crops
        if content(ask(asked)) == content(ask(whole)):
            silent.add(name)
            schema = schemas["OutputOptions" if group == "output" else "AutomaticOptions"]
            said = schema["properties"][name]["description"] + schema["description"]
            assert any(word in said for word in TELLS), option
    assert silent == ignored
