"""What is on screen, taken along: COCO files, a picture, and code that gets the same answers."""

from __future__ import annotations

import asyncio
import io
import json
import os
import sys
import zipfile
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from browser_page import Opened, answer, grey_picture, rectangle
from numpy.typing import NDArray
from PIL import Image
from playwright.async_api import Route, expect
from pycocotools.coco import COCO

from diptych import Mask, Segment
from diptych.testing import FakeSegmentService
from diptych_gateway.server import Gateway

Services = dict[str, FakeSegmentService]
NAMES = ["grey.png", "two words.png", 'it\'s $HOME `id` "x";\\,=.png', "-a\nb.png", "ünï 😀.png"]
BIN = Path(sys.executable).parent


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Where the pictures lie that code is about."""
    for name in NAMES:
        (tmp_path / name).write_bytes(grey_picture())
    return tmp_path


async def copied(opened: Opened, language: str) -> str:
    """The text that a button of the page offers."""
    await opened.page.get_by_role("button", name=f"Copy as {language}").click()
    box = opened.page.locator("#take-text")
    await expect(box).to_be_visible()
    return await box.input_value()


async def run(program: list[str], folder: Path) -> str:
    """What a program prints; it has to end well."""
    environment = {
        **os.environ,
        "PATH": f"{BIN}{os.pathsep}{os.environ['PATH']}",
        "NO_PROXY": "127.0.0.1",
        "DIPTYCH_ADDRESS": "127.0.0.1:1",
    }
    process = await asyncio.create_subprocess_exec(
        *program,
        cwd=folder,
        env=environment,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    out, errors = await asyncio.wait_for(process.communicate(), 60)
    assert process.returncode == 0, errors.decode()
    return out.decode()


async def legends(opened: Opened) -> list[list[str]]:
    """Model, label, score and area of everything on screen."""
    rows: list[list[str]] = await opened.page.evaluate(
        """() => [...document.querySelectorAll(".panel[data-model]")].flatMap((panel) =>
          [...panel.querySelectorAll(".legend button[aria-pressed]")].map((row) =>
            [panel.dataset.model, ...[".label", ".score", ".area"].map(
              (part) => row.querySelector(part).textContent)]))"""
    )
    return rows


def listed(results: list[dict[str, Any]]) -> list[list[str]]:
    """The same of the JSON that the command line and HTTP answer with."""
    return [
        [result["model_id"], s["label"], f"{s['score']:.2f}", f"{s['area']:,} px"]
        for result in results
        for s in result["result"]["segments"]
    ]


async def test_copied_code_gets_the_answers_that_are_on_screen(
    opened: Opened, services: Services, folder: Path
) -> None:
    answer(services["first"], rectangle(0, 0, 10, 10, label="a corner"), rectangle(20, 15, 40, 30))
    await opened.go()
    for name in NAMES:
        # Files are chosen by their content here, so that the name may be any.
        await opened.page.evaluate(
            """([name, bytes]) => {
              const data = new DataTransfer();
              data.items.add(new File([new Uint8Array(bytes)], name, {type: "image/png"}));
              const init = {bubbles: true, cancelable: true, dataTransfer: data};
              document.body.dispatchEvent(new DragEvent("drop", init));
            }""",
            [name, list(grey_picture())],
        )
        await expect(opened.page.locator("#picture-name")).to_contain_text(
            " ".join(name.split()), use_inner_text=False
        )
        await opened.expect_state("first", "done")
        await opened.expect_state("second", "done")
        shown = await legends(opened)
        assert len(shown) == 3
        code = await copied(opened, "Python")
        assert json.dumps(name, ensure_ascii=False) in code
        printed = (await run([sys.executable, "-c", code], folder)).splitlines()
        assert printed == [
            f"{model} {label} {float(score)} {area.removesuffix(' px').replace(',', '')}"
            for model, label, score, area in shown
        ]
        command = await run(["sh", "-c", await copied(opened, "command line")], folder)
        assert listed(json.loads(command)["results"]) == shown
        fetched = await run(["sh", "-c", await copied(opened, "curl")], folder)
        assert listed(json.loads(fetched)["results"]) == shown


PROMPTS = [
    {"points": [[10, 20, True], [30.5, 40, False]]},
    {"box": [1, 2, 30, 40]},
    {"points": [[50, 50]], "box": [40, 40, 60, 60]},
]


@pytest.mark.parametrize("count", [1, 2, 3])
async def test_prompts_are_in_the_code(
    opened: Opened, services: Services, gateway: Gateway, folder: Path, count: int
) -> None:
    await opened.go()
    texts = await opened.page.evaluate(
        """async ([prompts, address]) => {
          const { asCommand, asCurl, asPython } = await import("./js/take/snippets.js");
          const options = {task: "prompted-segmentation", models: ["first"], prompts};
          const question = {picture: {name: "grey.png"}, options};
          const url = new URL(".", location.href).href;
          const server = {url, address, tls: false, locked: false};
          return [asPython, asCommand, asCurl].map((write) => write(question, server));
        }""",
        [PROMPTS[:count], f"127.0.0.1:{gateway._grpc_port}"],
    )
    programs = [[sys.executable, "-c", texts[0]], *(["sh", "-c", text] for text in texts[1:])]
    for program in programs:
        await run(program, folder)
        request = services["first"].requests[-1]
        found = [
            (
                [(p.x_px, p.y_px, p.label) for p in prompt.points],
                (prompt.box.x_min_px, prompt.box.y_max_px) if prompt.HasField("box") else None,
            )
            for prompt in request.prompts
        ]
        assert (
            found
            == [
                ([(10, 20, 1), (30.5, 40, 2)], None),
                ([], (1, 40)),
                ([(50, 50, 1)], (40, 60)),
            ][:count]
        )


@pytest.mark.parametrize("share", [1.0, 0.5], ids=["short", "long"])
async def test_masks_are_in_the_code(
    opened: Opened, services: Services, gateway: Gateway, folder: Path, share: float
) -> None:
    """Long ones too: systems bound the length of a word of a command."""
    (folder / "large.png").write_bytes(grey_picture((300, 400)))
    mask = Mask.from_array(np.random.default_rng(5).random((300, 400)) < share)
    assert (len(mask.to_coco()) > 40_000) == (share < 1)
    await opened.go()
    texts = await opened.page.evaluate(
        """async ([counts, address]) => {
          const { asCommand, asCurl, asPython } = await import("./js/take/snippets.js");
          const mask = {size: [300, 400], counts};
          const prompts = [{points: [[10, 20, false]], mask}, {box: [1, 2, 30, 40], mask}];
          const options = {task: "prompted-segmentation", models: ["first"], prompts};
          const question = {picture: {name: "large.png"}, options};
          const url = new URL(".", location.href).href;
          const server = {url, address, tls: false, locked: false};
          return [asPython, asCommand, asCurl].map((write) => write(question, server));
        }""",
        [mask.to_coco().decode(), f"127.0.0.1:{gateway._grpc_port}"],
    )
    programs = [[sys.executable, "-c", texts[0]], *(["sh", "-c", text] for text in texts[1:])]
    for program in programs:
        await run(program, folder)
        pointed, boxed = services["first"].requests[-1].prompts
        for prompt in (pointed, boxed):
            assert Mask.from_coco(prompt.mask.mask.coco_rle, (300, 400)) == mask
        assert [(p.x_px, p.label) for p in pointed.points] == [(10, 2)]
        assert (boxed.box.x_min_px, boxed.box.y_max_px) == (1, 40)


async def test_a_token_is_never_in_the_code(opened: Opened) -> None:
    await opened.go()
    await opened.page.evaluate("sessionStorage.setItem('diptych-token', 'diptych_secret')")
    await opened.choose()
    await opened.expect_state("first", "done")
    for language in ("Python", "command line", "curl"):
        text = await copied(opened, language)
        assert "diptych_secret" not in text
        assert "DIPTYCH_TOKEN_FILE" in text


async def test_without_the_clipboard_the_text_is_selected(opened: Opened) -> None:
    await opened.page.add_init_script(
        "Object.defineProperty(navigator, 'clipboard', {value: undefined})"
    )
    await opened.go()
    await opened.choose()
    await opened.expect_state("first", "done")
    text = await copied(opened, "curl")
    await expect(opened.page.locator("#take-state")).to_contain_text("it is selected")
    assert await opened.page.evaluate("String(getSelection())") in (text, "")
    selected = await opened.page.evaluate(
        "(({selectionStart, selectionEnd}) => selectionEnd - selectionStart)"
        "(document.getElementById('take-text'))"
    )
    assert selected == len(text)


async def downloaded(opened: Opened, kind: str, *, of: str | None = None) -> tuple[str, bytes]:
    """One file in this format, of this model or of the one that is shown."""
    await opened.page.locator("#take-format").select_option(kind)
    if of:
        await opened.page.locator("#take-models").select_option(of)
    async with opened.page.expect_download() as waiting:
        await opened.page.locator("#take-save").click()
    download = await waiting.value
    return download.suggested_filename, Path(await download.path()).read_bytes()


def masks_in(path: Path) -> list[NDArray[np.bool_]]:
    """Of all annotations of a COCO file, in their order."""
    data = COCO(path)
    return [data.annToMask(one).astype(bool) for one in data.loadAnns(data.getAnnIds())]


async def test_a_coco_file_is_one_that_pycocotools_reads(
    opened: Opened, services: Services, tmp_path: Path
) -> None:
    answer(
        services["first"],
        rectangle(0, 0, 10, 10, label="corner"),
        rectangle(5, 5, 3, 3, label="gone"),
        rectangle(8, 8, 5, 5, label="doubtful", score=0.2),
        rectangle(20, 15, 40, 30),
    )
    await opened.go()
    await opened.choose(name="my.photo.png")
    for model in ("first", "second"):
        await opened.expect_state(model, "done")
    await opened.panel("first").locator(".legend button[aria-pressed]", has_text="gone").click()
    await opened.page.locator("#least-score").fill("50")
    await expect(opened.page.locator("#take")).to_contain_text("hidden or filtered is left out")
    name, content = await downloaded(opened, "coco", of="first")
    assert name == "my.photo-first.coco.json"
    path = tmp_path / name
    path.write_bytes(content)
    data = COCO(path)
    (image,) = data.loadImgs(data.getImgIds())
    assert (image["file_name"], image["width"], image["height"]) == ("my.photo.png", 80, 60)
    annotations = data.loadAnns(data.getAnnIds(imgIds=[image["id"]]))
    assert [data.loadCats([a["category_id"]])[0]["name"] for a in annotations] == [
        "corner",
        "thing",
    ]
    expected = np.zeros((60, 80), bool)
    expected[15:45, 20:60] = True
    assert np.array_equal(masks_in(path)[1], expected)
    assert annotations[1]["bbox"] == [20, 15, 40, 30]


async def test_each_model_has_a_file_of_its_own(opened: Opened) -> None:
    await opened.go()
    await opened.choose(name="a.png")
    for model in ("first", "second"):
        await opened.expect_state(model, "done")
    await opened.page.locator("#take-format").select_option("coco")
    found: list[str] = []
    opened.page.on("download", lambda download: found.append(download.suggested_filename))
    await opened.page.locator("#take-save").click()
    await expect(opened.page.locator("#take-state")).to_have_text(
        "Saved a-first.coco.json, a-second.coco.json."
    )
    assert found == ["a-first.coco.json", "a-second.coco.json"]


async def test_every_format_of_the_gateway_is_offered_and_written(opened: Opened) -> None:
    await opened.go()
    await opened.choose(name="a.png")
    for model in ("first", "second"):
        await opened.expect_state(model, "done")
    async with httpx.AsyncClient(base_url=opened.base, trust_env=False) as http:
        formats = (await http.get("/api/export")).json()
    own = ["Picture with masks (PNG)", "Cut-outs (PNG)"]
    options = opened.page.locator("#take-format option")
    await expect(options).to_have_count(len(own) + len(formats))
    offered = await options.all_inner_texts()
    assert sorted(offered) == sorted([*own, *(one["title"] for one in formats)])
    tolerance = opened.page.locator("#take-tolerance")
    for one in formats:
        name, content = await downloaded(opened, one["name"], of="second")
        assert name.startswith(f"a-second.{one['name']}."), name
        assert content
        await expect(opened.page.locator("#take-says")).to_have_text(one["says"])
        await expect(tolerance).to_be_visible(visible=one["polygons"])


async def test_what_cannot_be_written_is_said_in_a_sentence(opened: Opened) -> None:
    async def refuse(route: Route) -> None:
        if route.request.method == "GET":
            await route.continue_()
        else:
            detail = {"status": 413, "detail": "expected a body of at most 33554432 bytes"}
            await route.fulfill(status=413, json=detail)

    await opened.page.route("**/api/export", refuse)
    await opened.go()
    await opened.choose()
    await opened.expect_state("second", "done")
    await opened.page.locator("#take-format").select_option("coco")
    await opened.page.locator("#take-save").click()
    await expect(opened.page.locator("#take-state")).to_have_text(
        "This is more than one file holds. Save fewer pictures or objects at a time."
    )
    await expect(opened.page.locator("#take-save")).to_have_attribute("aria-disabled", "false")
    opened.errors.clear()  # the browser's own line about the status


async def test_objects_are_cut_out_with_their_own_pixels(
    opened: Opened, services: Services
) -> None:
    pixels = np.random.default_rng(3).integers(0, 256, (60, 80, 3), np.uint8)
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "PNG")
    ring = np.zeros((60, 80), bool)
    ring[10:40, 10:30] = True
    ring[20:30, 15:25] = False
    mask = Mask.from_array(ring)
    whole = Segment(score=0.9, box=mask.box, mask=mask, label="a/ring", area=mask.area)
    answer(services["first"], rectangle(50, 5, 20, 30, label="plate"), whole)
    await opened.go()
    await opened.choose(file.getvalue(), "dishes.png")
    for model in ("first", "second"):
        await opened.expect_state(model, "done")
    name, content = await downloaded(opened, "cut-outs", of="first")
    assert name == "dishes-cut-outs.zip"
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        assert archive.testzip() is None
        files = {name: archive.read(name) for name in archive.namelist()}
    assert list(files) == ["dishes-first-1-plate.png", "dishes-first-2-a_ring.png"]
    found = np.asarray(Image.open(io.BytesIO(files["dishes-first-2-a_ring.png"])).convert("RGBA"))
    inside = ring[10:40, 10:30]
    assert found.shape == (30, 20, 4)
    assert np.array_equal(found[..., 3] > 0, inside)
    assert np.array_equal(found[inside][:, :3], pixels[10:40, 10:30][inside])
    await opened.panel("first").locator(".legend button[aria-pressed]", has_text="plate").click()
    name, content = await downloaded(opened, "cut-outs")
    assert name == "dishes-first-2-a_ring.png"
    assert content == files[name]


DUMP = """
import json
rle = lambda s: {"size": list(s.mask.size), "counts": s.mask.to_coco().decode()}
print(json.dumps([[o.model_id, [rle(s) for s in o.result.segments]] for o in compared.results]))
"""


async def test_a_sample_is_saved_and_copied_code_gives_its_masks_where_it_lies(
    opened: Opened, services: Services, tmp_path: Path
) -> None:
    answer(services["first"], rectangle(0, 0, 10, 10), rectangle(30, 5, 11, 40))
    await opened.go("?sample=shapes")
    for model in ("first", "second"):
        await opened.expect_state(model, "done")
    async with opened.page.expect_download() as waiting:
        await opened.page.get_by_role("link", name="Save shapes.webp").click()
    await (await waiting.value).save_as(tmp_path / (await waiting.value).suggested_filename)
    shown = {}
    for model in ("first", "second"):
        name, content = await downloaded(opened, "coco", of=model)
        (tmp_path / name).write_bytes(content)
        shown[model] = masks_in(tmp_path / name)
    assert [len(masks) for masks in shown.values()] == [2, 1]
    python = await copied(opened, "Python")
    command = await copied(opened, "command line")
    curl = await copied(opened, "curl")
    found = [
        dict(
            json.loads(
                (await run([sys.executable, "-c", python + DUMP], tmp_path)).splitlines()[-1]
            )
        )
    ]
    for text in (command, curl):
        results = json.loads(await run(["sh", "-c", text], tmp_path))["results"]
        found.append(
            {r["model_id"]: [s["segmentation"] for s in r["result"]["segments"]] for r in results}
        )
    for answers in found:
        assert answers.keys() == shown.keys()
        for model, masks in shown.items():
            for one, rle in zip(masks, answers[model], strict=True):
                assert (
                    Mask.from_coco(rle["counts"], tuple(rle["size"])).iou(Mask.from_array(one)) == 1
                )


async def test_the_picture_shows_every_model_at_the_size_of_the_picture(
    opened: Opened, services: Services
) -> None:
    answer(services["second"], rectangle(0, 0, 10, 10))
    await opened.go()
    await opened.choose(grey_picture((300, 400)), "large.png")
    await opened.expect_state("first", "done")
    await opened.expect_state("second", "done")
    name, content = await downloaded(opened, "picture")
    assert name == "large-compared.png"
    drawn = np.asarray(Image.open(io.BytesIO(content)).convert("RGB")).astype(int)
    assert drawn.shape[1] == 2 * 400
    text = 12 if 400 // 32 < 12 else round(400 / 32)
    top = round(round(text * 1.5) * 1.5)

    def colored(x: int, y: int) -> bool:
        pixel = drawn[top + y, x]
        return bool(np.ptp(pixel) > 10)

    assert colored(40, 30)
    assert not colored(300, 200)
    assert colored(400 + 5, 5)
    assert not colored(400 + 40, 30)
    assert drawn[top + 250, 200].tolist() == [128, 128, 128]
    assert np.ptp(drawn[top + 300 :], axis=2).max() > 50  # the swatches of the legend


async def test_nothing_is_offered_before_there_is_an_answer(opened: Opened) -> None:
    await opened.go()
    await opened.expect_state("first", "off")
    await expect(opened.page.locator("#take")).to_be_hidden()
    await opened.choose()
    await opened.expect_state("first", "done")
    await expect(opened.page.locator("#take")).to_be_visible()
    await opened.page.locator("#to-models").click()
    await expect(opened.page.locator("#take")).to_be_hidden()
