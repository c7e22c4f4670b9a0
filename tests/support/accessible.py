"""axe-core on an open page: what it finds, by rule."""

from __future__ import annotations

from importlib.resources import files

from playwright.async_api import Page

AXE = (files("axe_playwright_python") / "axe.min.js").read_text()


async def violations(page: Page) -> list[tuple[str, str]]:
    """Give each element that breaks a rule of axe-core, with the rule.

    Transitions are ended before: halfway, a colour is neither the one nor the other.
    """
    await page.evaluate("document.getAnimations().forEach((one) => one.finish())")
    await page.evaluate(AXE)
    found = await page.evaluate("axe.run()")
    return [(rule["id"], node["html"]) for rule in found["violations"] for node in rule["nodes"]]
