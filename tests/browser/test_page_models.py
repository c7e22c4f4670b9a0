"""The table of the models: what is open, what is folded, what stays in sight."""

from __future__ import annotations

from typing import Any

import pytest
from browser_page import Opened
from playwright.async_api import Route, expect

GROUPS = "#cards .group button"
MANY = 8


async def opened_groups(opened: Opened) -> list[str]:
    await expect(opened.page.locator(GROUPS).first).to_be_visible()
    names: list[str] = await opened.page.locator(f"{GROUPS}[aria-expanded=true]").all_inner_texts()
    return [name.capitalize() for name in names]


async def test_the_familiar_rows_and_overviews_come_first_and_the_rest_is_folded(
    opened: Opened,
) -> None:
    await opened.go("?view=models")
    assert await opened_groups(opened) == ["At a glance", "Overview", "Figures"]
    rows = opened.page.locator("#cards [data-row]:visible")
    assert await rows.evaluate_all("rows => rows.slice(0, 13).map((row) => row.dataset.row)") == [
        "Organisation",
        "Category",
        "Modality",
        "Release date",
        "Context window",
        "Parameters",
        "Licence",
        "Instance segmentation",
        "Keypoint detection",
        "Object detection",
        "Foundation vision",
        "The architecture",
        "The weights",
    ]
    tasks = opened.page.locator(GROUPS, has_text="Tasks")
    await tasks.press("Enter")
    await opened.page.locator(GROUPS, has_text="At a glance").click()
    wanted = ["Overview", "Figures", "Tasks"]
    assert await opened_groups(opened) == wanted
    await opened.page.reload()
    assert await opened_groups(opened) == wanted
    await expect(opened.page.locator('[data-row="Video segmentation"]')).to_be_visible()
    await opened.page.locator("#cards-all").click()
    assert len(await opened_groups(opened)) == await opened.page.locator(GROUPS).count()
    await opened.page.locator("#cards-all").click()
    assert await opened_groups(opened) == []


async def test_what_was_measured_here_stands_beside_what_was_published(opened: Opened) -> None:
    await opened.page.set_viewport_size({"width": 1440, "height": 900})
    await opened.go()
    await opened.choose()
    await opened.expect_state("second", "done")
    await opened.page.locator("#to-models").click()
    cell = opened.page.locator('td[data-model="first"]:has([data-row="Published figures"])')
    published, here = (
        cell.locator(f'[data-row="{name}"]') for name in ("Published figures", "Answers take")
    )
    await expect(published).to_contain_text("Source: made up")
    await expect(here).to_contain_text("p50 1,000 ms")
    sides = [await part.locator("xpath=..").bounding_box() for part in (here, published)]
    left, right = sides
    assert left
    assert right
    assert left["x"] + left["width"] <= right["x"]
    assert left["y"] == right["y"]


async def test_only_rows_in_which_models_differ(opened: Opened) -> None:
    await opened.go("?view=models")
    same = opened.page.locator('[data-row="Category"]')
    await expect(same).to_be_visible()
    await opened.page.get_by_label("Only rows that differ").check()
    await expect(same).to_be_hidden()
    await expect(opened.page.locator(GROUPS, has_text="Overview")).to_be_hidden()
    await opened.page.reload()
    await expect(opened.page.get_by_label("Only rows that differ")).to_be_checked()
    await expect(opened.page.locator(".cards thead th")).to_have_count(2)
    await expect(same).to_be_hidden()


@pytest.mark.parametrize("width", [360, 1440])
async def test_eight_models_keep_their_names_and_those_of_the_rows_in_sight(
    opened: Opened, width: int
) -> None:
    async def many(route: Route) -> None:
        answered = await route.fetch()
        table: Any = await answered.json()
        head = table["models"][0]
        table["models"] = [{**head, "model_id": f"m{number}"} for number in range(MANY)]
        for row in table["rows"]:
            row["cells"] = row["cells"][:1] * MANY
        await route.fulfill(json=table)

    await opened.page.route("**/api/cards", many)
    await opened.page.set_viewport_size({"width": width, "height": 740})
    await opened.go("?view=models")
    await expect(opened.page.locator(".cards thead th")).to_have_count(MANY)
    await opened.page.locator("#cards-all").click()
    await opened.page.locator("#cards").scroll_into_view_if_needed()
    places = await opened.page.evaluate(
        """() => {
          const box = document.getElementById("cards");
          box.scrollTop = 600;
          box.scrollLeft = box.querySelector('[data-model="m5"]').offsetLeft - 130;
          const edges = (element) => element.getBoundingClientRect().toJSON();
          const rows = [...box.querySelectorAll("th[scope=row]")].map(edges);
          return [edges(box), edges(box.querySelector('thead [data-model="m5"]')), ...rows];
        }"""
    )
    box, head, *rows = places
    assert abs(head["top"] - box["top"]) <= 2
    assert box["left"] < head["left"] < head["right"] <= box["right"] + 2
    assert all(abs(row["left"] - box["left"]) <= 2 for row in rows if row["width"])
    assert await opened.page.evaluate("document.documentElement.scrollWidth") <= width
