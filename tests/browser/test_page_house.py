"""What holds on every view: small, narrow, by keyboard, cards as they are, masks as they came."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable
from typing import Any

import httpx
import numpy as np
import pytest
from browser_page import Opened
from page_graph import PAGE, first_files
from playwright.async_api import expect

from diptych import Client, KnownModel, Mask
from diptych._export.card_rows import card_rows
from diptych.testing import FakeSegmentService

# Code without comments, of the first view and of all; and what a browser loads of all.
MAX_FIRST_BYTES, MAX_CODE_BYTES, MAX_LOADED_BYTES = 200_000, 400_000, 200_000
COMMENTS = re.compile(rb"/\*.*?\*/|^\s*//[^\n]*\n", re.DOTALL | re.MULTILINE)
MAX_MODULE_LINES = 250

# Rows whose cell is one text of the card.
PLAIN_ROWS = {
    "Organisation": "organization",
    "Category": "category",
    "Modality": "modality",
    "Release date": "release_date",
    "Weights made": "weights_date",
    "Tier": "tier",
}


async def test_the_page_is_small(opened: Opened) -> None:
    files = [p for p in PAGE.rglob("*") if p.is_file() and "samples" not in p.parts]
    code = {path: len(COMMENTS.sub(b"", path.read_bytes())) for path in files}
    assert sum(code.values()) <= MAX_CODE_BYTES
    assert sum(code[path] for path in first_files()) <= MAX_FIRST_BYTES
    loaded = 0
    async with httpx.AsyncClient(base_url=opened.base) as http:
        for path in files:
            async with http.stream("GET", f"/{path.relative_to(PAGE)}") as answer:
                assert answer.status_code == 200
                loaded += len(b"".join([part async for part in answer.aiter_raw()]))
    assert loaded <= MAX_LOADED_BYTES
    long = [p.name for p in files if len(p.read_text().splitlines()) > MAX_MODULE_LINES]
    assert [name for name in long if name.endswith(".js")] == []


@pytest.mark.parametrize(
    "query",
    [
        "",
        "?view=wipe",
        "?view=difference",
        "?view=prompt",
        "?view=video",
        "?view=models",
        "?view=report",
    ],
)
async def test_a_narrow_screen_needs_no_scrolling_sideways(opened: Opened, query: str) -> None:
    await opened.page.set_viewport_size({"width": 360, "height": 740})
    await opened.go(query)
    if query == "?view=models":
        await expect(opened.page.locator("table.cards")).to_be_visible()
    elif query == "?view=video":
        await opened.page.locator("#video-sample").click()
        await expect(opened.page.locator("#video-new")).to_be_enabled()
    elif query == "?view=report":
        await expect(opened.page.locator("#report-view")).to_be_visible()
    else:
        await opened.choose()
        await opened.expect_state("first", "idle" if query == "?view=prompt" else "done")
    assert await opened.page.evaluate("document.documentElement.scrollWidth") <= 360


async def test_the_keyboard_reaches_everything_and_does_it(opened: Opened) -> None:
    await opened.go()
    await opened.expect_state("first", "off")
    seen = []
    for _ in range(30):
        await opened.page.keyboard.press("Tab")
        seen.append(
            await opened.page.evaluate(
                "(({id, name, className, dataset}) => id || name || dataset.sample || className)"
                "(document.activeElement)"
            )
        )
        if seen[-1] == "figure":
            await opened.page.keyboard.press("Enter")
            await opened.expect_state("second", "done")
    expected = [
        "skip",
        "to-compare",
        "to-prompt",
        "to-video",
        "to-models",
        "to-report",
        "to-docs",
        "file",
        "figure",
        "task",
        "view",
        "opacity",
    ]
    expected += ["zoom-out", "zoom-fit", "zoom-in", "stage"]
    places = [seen.index(name) for name in expected]
    assert places == sorted(places)
    for _ in range(40):
        focused = opened.page.locator(".legend button:focus")
        if await focused.count():
            break
        await opened.page.keyboard.press("Tab")
    await opened.page.keyboard.press("Space")
    await expect(focused).to_have_attribute("aria-pressed", "false")


@pytest.mark.parametrize("query", ["", "?view=prompt&objects=40,30/20,20"])
async def test_every_control_has_a_name(opened: Opened, query: str) -> None:
    await opened.go(query)
    await opened.choose()
    await opened.expect_state("second", "done")
    for control in await opened.page.locator("button:visible, input:visible, canvas").all():
        name = await control.evaluate(
            "(e) => e.ariaLabel || e.textContent.trim() || e.title"
            " || [...(e.labels ?? [])].map((l) => l.textContent.trim()).join()"
            " || [...e.querySelectorAll('img')].map((i) => i.alt).join()"
        )
        assert name, await control.evaluate("(e) => e.outerHTML")


async def test_the_table_says_what_the_cards_say(opened: Opened) -> None:
    await opened.go("?view=models")
    await expect(opened.page.locator(".cards thead th")).to_have_count(2)
    async with httpx.AsyncClient(base_url=opened.base, trust_env=False) as client:
        models = (await client.get("/api/models")).json()
    for model in models:
        card = model["card"]
        cells = await cells_of(opened, model["model_id"])
        assert {name: cells[name] for name in PLAIN_ROWS} == {
            name: card[key] for name, key in PLAIN_ROWS.items()
        }
        assert cells["Context window"] == "not applicable"
        assert cells["Parameters"].startswith(f"{card['parameter_count']:,}")
        for licence in ("code", "weights", "published"):
            assert card["licenses"][licence] in cells["Licence"]
        assert cells["Instance segmentation"] == "yes"
        for feature in card["features"]:
            assert feature in cells["Features"]
        assert (cells["Masks"], cells["Mask prompts"], cells["Text prompts"]) == (
            "yes",
            "yes",
            "no",
        )
        assert card["weights"][0]["sha256"][:12] in cells["Weights loaded"]
        assert "mask AP: 1.5 % on none" in cells["Published figures"]
        assert "made up" in cells["Published figures"]
        assert cells["The architecture"] == card["architecture"]["overview"]
        assert cells["The weights"] == card["weights_overview"]
        for name, key in (("Intended uses", "intended_uses"), ("Limitations", "limitations")):
            assert all(text in cells[name] for text in card[key])


async def cells_of(opened: Opened, model_id: str) -> dict[str, str]:
    """The texts of one model's column by the names of the rows."""
    found: Any = await opened.page.evaluate(
        """(model) => Object.fromEntries(
          [...document.querySelectorAll(`td[data-model="${model}"]`)].flatMap((cell) => {
            const parts = [...cell.querySelectorAll("[data-row]")];
            return (parts.length ? parts : [cell]).map((part) =>
              [part.closest("[data-row]").dataset.row, part.textContent]);
          }))""",
        model_id,
    )
    assert isinstance(found, dict)
    return found


async def test_a_feature_of_one_model_is_no_fact_about_the_other(
    opened: Opened,
    services: dict[str, FakeSegmentService],
    see_cards: Callable[[], Awaitable[None]],
) -> None:
    services["first"].cards["first"].features.append("telepathy")
    await see_cards()
    await opened.go("?view=models")
    await expect(opened.page.locator(".cards thead th")).to_have_count(2)
    first, second = await cells_of(opened, "first"), await cells_of(opened, "second")
    assert "telepathy" in first["Features"]
    assert "telepathy" not in second["Features"]
    assert "telepathy" not in first.keys() | second.keys()


async def test_masks_are_read_as_the_client_wrote_them(opened: Opened) -> None:
    await opened.go()
    random = np.random.default_rng(7)
    shapes = [(1, 1), (1, 9), (9, 1), (37, 23), (64, 200)]
    masks = [random.random(shape) < share for shape in shapes for share in (0.0, 0.02, 0.5, 1.0)]
    rles = [
        {"size": list(mask.shape), "counts": Mask.from_array(mask).to_coco().decode()}
        for mask in masks
    ]
    decoded = await opened.page.evaluate(
        """async (rles) => {
          const { covers, decodeMask } = await import("./js/canvas/rle.js");
          return rles.map((rle) => {
            const mask = decodeMask(rle);
            const [height, width] = rle.size;
            return Array.from({length: height}, (_, y) =>
              Array.from({length: width}, (_, x) => covers(mask, x, y)));
          });
        }""",
        rles,
    )
    for mask, found in zip(masks, decoded, strict=True):
        assert np.array_equal(mask, np.array(found, bool))


@pytest.mark.parametrize("counts", ["", "1", "91", "P", "zz", "ooooooooo1", "0Z1"])
async def test_masks_that_do_not_fit_are_refused(opened: Opened, counts: str) -> None:
    await opened.go()
    said = await opened.page.evaluate(
        """async (counts) => {
          const { decodeMask } = await import("./js/canvas/rle.js");
          try { return `decoded ${decodeMask({size: [3, 4], counts}).width}`; }
          catch (error) { return error.name; }
        }""",
        counts,
    )
    assert said == "RangeError"


async def test_the_table_has_the_rows_of_the_command_line_and_what_was_measured(
    opened: Opened, services: dict[str, FakeSegmentService]
) -> None:
    await opened.go()
    await opened.choose()
    await opened.expect_state("second", "done")
    await opened.page.locator("#to-models").click()
    await expect(opened.page.locator(".cards thead th")).to_have_count(2)
    shown = await cells_of(opened, "first")
    first = services["first"]
    with Client(first.address) as client:
        rows = card_rows([KnownModel("first", client.model_card(), None)], {})
    assert list(shown) == [row.name for row in rows]
    assert shown["Answers take"].startswith("instance segmentation: p50 1,000 ms, p95 1,000 ms")
    assert shown["Measured on"] == "fake; 1 request answered"
    await opened.page.locator("#to-compare").click()
    await opened.choose(name="again.png")
    await expect(opened.page.locator("#picture-name")).to_contain_text("again.png")
    await opened.expect_state("first", "done")
    await opened.page.locator("#to-models").click()
    measured = opened.page.locator('td[data-model="first"] [data-row="Measured on"]')
    await expect(measured).to_have_text("fake; 2 requests answered")
