"""The report as one HTML file that asks nobody for anything."""

from __future__ import annotations

import base64
import hashlib
import re
from pathlib import Path

from ..model import Dataset
from ..results import Figures
from . import provenance, sections, tables
from .gallery import Answers, Gallery
from .markup import Markup, join, short, tag
from .ranking import rankings

MOST_BYTES = 5_000_000
_LEAST_FOR_PICTURES = 200_000
_FOLDER = Path(__file__).parent
_SECTION = re.compile(r'<section id="([^"]+)"[^>]*><h2[^>]*>([^<]+)</h2>')


def html_page(figures: Figures, dataset: Dataset, answers: Answers) -> str:
    """Make ``report.html``; see ``write_report``.

    Raises ``ValueError`` if the figures alone need more than ``MOST_BYTES``.
    """
    style, script = ((_FOLDER / name).read_text() for name in ("style.css", "script.js"))
    before = [
        part
        for part in (
            sections.differences(figures),
            sections.values(figures),
            provenance.published(figures),
            sections.per_class(figures),
            sections.curves(figures),
            tables.tables(figures),
        )
        if part
    ]
    after = provenance.provenance(figures)
    text = join([*before, after, sections.head(figures)])
    room = MOST_BYTES - len(text.encode()) - len(style) - len(script) - 20_000
    if room < _LEAST_FOR_PICTURES:
        raise ValueError(f"report: the figures alone need {len(text.encode()):,} bytes")
    # Headings and texts of the pictures are not counted in their budget.
    gallery = Gallery(figures, dataset, answers, int(room * 0.9))
    pictures = gallery.draw(rankings(figures))
    body = _body(figures, before, pictures, after)
    return "<!doctype html>\n" + _document(figures, style, script, body) + "\n"


def _document(figures: Figures, style: str, script: str, body: Markup) -> Markup:
    policy = (
        f"default-src 'none'; img-src data:; style-src '{_hash(style)}'; "
        f"script-src '{_hash(script)}'; base-uri 'none'; form-action 'none'"
    )
    names = ", ".join(model.model_id for model in figures.models)
    return tag(
        "html",
        tag(
            "head",
            Markup('<meta charset="utf-8">'),
            Markup(f'<meta http-equiv="Content-Security-Policy" content="{policy}">'),
            Markup('<meta name="viewport" content="width=device-width, initial-scale=1">'),
            Markup('<meta name="color-scheme" content="light dark">'),
            Markup('<meta name="referrer" content="no-referrer">'),
            tag("title", short(f"Evaluation of {names} on {figures.dataset}")),
            tag("style", Markup(style)),
        ),
        tag("body", body, tag("script", Markup(script))),
        lang="en",
    )


def _body(figures: Figures, before: list[Markup], pictures: Markup, after: Markup) -> Markup:
    title = short(f"Evaluation on {figures.dataset}")
    found = _SECTION.findall(join([*before[:2], pictures, *before[2:], after]))
    links = [tag("li", tag("a", Markup(name), href=f"#{id}")) for id, name in found]
    toggle = tag("button", "Light or dark", type="button", id="theme", hidden=True)
    return join(
        [
            tag("header", tag("h1", title), toggle),
            tag("nav", tag("ul", links), aria_label="Contents"),
            tag("main", sections.head(figures), before[:2], pictures, before[2:], after),
            tag("footer", tag("p", "Made by diptych eval. All figures are in metrics.json.")),
        ]
    )


def _hash(text: str) -> str:
    digest = hashlib.sha256(text.encode()).digest()
    return f"sha256-{base64.b64encode(digest).decode('ascii')}"
