"""Cards as Markdown: the table of all models, and a file for each, as Hugging Face has them."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from .._types.cards import KnownModel, Metric, ModelCard
from .._types.prompts import Task
from .._types.stats import ModelStats
from .card_rows import CardItem, CardRow, card_rows

_SPECIAL = re.compile(r"([\\`*_\[\]<>|#~!$&])")
_STARTS_A_BLOCK = re.compile(r"^(\d{1,9})([.)])|^([-+=])")
_MARKED = re.compile(r"(\*\*[^*]+\*\*|`[^`]+`)")
_LINKED = re.compile(r"https?://[^\s<>|]+")
# Not printable in YAML, or a line break there, though JSON leaves them as they are.
_NOT_YAML = re.compile("[\x7f-\x9f\u2028\u2029\ufeff\ufffe\uffff]")
_PIPELINES = {
    Task.INSTANCE_SEGMENTATION: "image-segmentation",
    Task.OBJECT_DETECTION: "object-detection",
    Task.KEYPOINT_DETECTION: "keypoint-detection",
    Task.PROMPTED_SEGMENTATION: "mask-generation",
    Task.VIDEO_SEGMENTATION: "image-segmentation",
}
# Identifiers that Hugging Face knows; it calls all others "other", with a name.
_LICENSES = frozenset(
    {"agpl-3.0", "apache-2.0", "bsd-2-clause", "bsd-3-clause", "cc-by-4.0", "cc-by-nc-4.0"}
    | {"cc-by-sa-4.0", "cc0-1.0", "gpl-3.0", "lgpl-3.0", "mit", "openrail", "unlicense"}
)


def cards_table(models: Sequence[KnownModel], stats: Mapping[str, ModelStats]) -> str:
    """The table that compares these models."""
    heads = [escape(model.model_id) for model in models]
    lines = [f"| | {' | '.join(heads)} |", f"|---|{'---|' * len(models)}"]
    group = ""
    for row in card_rows(models, stats):
        if row.group != group:
            group = row.group
            lines.append(f"| **{group}** |{' |' * len(models)}")
        cells = ["<br>".join(_item(item, row) for item in cell) or "-" for cell in row.cells]
        lines.append(f"| {escape(row.name)} | {' | '.join(cells)} |")
    return "\n".join(lines)


def card_file(model: KnownModel, stats: ModelStats | None) -> str:
    """``README.md`` of a model: metadata in YAML, then what the card says.

    Raises:
        ValueError: the card of this model was never seen.
    """
    card = model.card
    if card is None:
        raise ValueError(f"{model.model_id}: no card was seen; {model.error}")
    rows = card_rows([model], {model.model_id: stats} if stats else {})
    by_name = {row.name: row for row in rows}
    front = "\n".join(_yaml(_metadata(card)))
    sections = [
        f"---\n{front}\n---",
        f"# {escape(card.display_name)}",
        prose(card.overview),
        _section("Uses of the architecture", [by_name["Where it is used"]], bare=True),
        _section("Intended uses", [by_name["Intended uses"]], bare=True),
        _section("Bias, risks and limitations", [by_name["Limitations"]], bare=True),
        _start(model.model_id),
        *(
            _section(title, [row for row in rows if row.group in groups])
            for title, groups in (
                ("Model details", ("At a glance", "Model", "Weights", "Licences")),
                ("Tasks and features", ("Tasks", "Prompts", "Answers hold", "Classes", "Features")),
                ("Evaluation", ("Figures", "On this server")),
            )
        ),
        _section("References", [by_name["References"]], bare=True),
    ]
    return "\n\n".join(section for section in sections if section) + "\n"


def escape(text: str) -> str:
    """Any text on one line, so that Markdown and HTML leave it as it is."""
    line = _SPECIAL.sub(r"\\\1", " ".join(text.split()))
    return _STARTS_A_BLOCK.sub(lambda m: f"{m[1]}\\{m[2]}" if m[1] else f"\\{m[3]}", line)


def prose(text: str) -> str:
    """The little Markdown that cards use: paragraphs, bold and code; all else is text."""
    paragraphs = re.split(r"\n\s*\n", text)
    return "\n\n".join(_inline(paragraph) for paragraph in paragraphs if paragraph.strip())


def _inline(text: str) -> str:
    parts = []
    for part in _MARKED.split(" ".join(text.split())):
        if part.startswith("**") and len(part) > 4:
            parts.append(f"**{escape(part[2:-2])}**")
        elif part.startswith("`") and len(part) > 2:
            parts.append(part.replace("|", "\\|"))
        else:
            # Blanks at the ends part this from what is marked.
            left, right = part[: len(part) - len(part.lstrip())], part[len(part.rstrip()) :]
            parts.append(f"{left}{escape(part)}{right if part.strip() else ''}")
    return "".join(parts)


def _item(item: CardItem, row: CardRow) -> str:
    if row.kind == "prose":
        return prose(item.text).replace("\n\n", "<br><br>")
    shown = _link(item.url, item.text)
    digest = f" `sha256:{item.digest}`" if re.fullmatch("[0-9a-f]+", item.digest) else ""
    return f"{shown}{digest}{f' ({_with_links(item.note)})' if item.note else ''}"


def _link(url: str, text: str) -> str:
    if not _LINKED.fullmatch(url):
        return escape(text)
    return f"<{url}>" if url == text else f"[{escape(text)}](<{url}>)"


def _with_links(text: str) -> str:
    words = text.split()
    return " ".join(f"<{w}>" if _LINKED.fullmatch(w) else escape(w) for w in words)


def _section(title: str, rows: Iterable[CardRow], *, bare: bool = False) -> str:
    """Rows of one model as a list; ``bare`` leaves their names away. Empty if they say nothing."""
    lines = []
    for row in rows:
        items = [_item(item, row) for item in row.cells[0]]
        if bare:
            lines += [f"- {item}" for item in items]
        elif items:
            lines.append(f"- **{escape(row.name)}:** {'; '.join(items)}")
    return "\n".join([f"## {title}\n", *lines]) if lines else ""


def _start(model_id: str) -> str:
    call = f'client.segment("photo.jpg", model={json.dumps(model_id)})'
    code = f"from diptych import Client\n\nwith Client() as client:\n    print({call})"
    return f"## How to get started\n\n```python\n{code}\n```"


def _metadata(card: ModelCard) -> dict[str, Any]:
    license_id = card.licenses.weights.lower()
    licence = {"license": license_id} if license_id in _LICENSES else {"license": "other"}
    if licence["license"] == "other" and card.licenses.weights:
        licence["license_name"] = card.licenses.weights
    pipelines = list(dict.fromkeys(_PIPELINES[task] for task in card.tasks))
    main = "mask-generation" if "mask-generation" in pipelines and not card.categories else None
    found: dict[str, Any] = {
        **licence,
        "library_name": "diptych",
        **({"pipeline_tag": main or pipelines[0]} if pipelines else {}),
        "tags": list(dict.fromkeys([card.modality, *pipelines, *card.features])),
    }
    results = [_result(m, main or pipelines[0]) for m in card.metrics if pipelines and m.source]
    if results:
        found["model-index"] = [{"name": card.display_name, "results": results}]
    return found


def _result(metric: Metric, pipeline: str) -> dict[str, Any]:
    data = metric.dataset or "not stated"
    entry: dict[str, Any] = {
        "task": {"type": pipeline},
        "dataset": {"name": data, "type": re.sub(r"[^a-z0-9]+", "-", data.lower()).strip("-")},
        "metrics": [
            {"type": metric.name, "value": metric.value, "name": f"{metric.name} ({metric.unit})"}
        ],
    }
    if _LINKED.fullmatch(metric.source):
        entry["source"] = {"url": metric.source}
    return entry


def _yaml(value: Any, indent: str = "") -> list[str]:
    """Lines of YAML; texts are written as JSON writes them, which YAML reads alike."""
    if isinstance(value, dict):
        lines = []
        for key, entry in value.items():
            if isinstance(entry, (dict, list)):
                lines += [f"{indent}{key}:", *_yaml(entry, indent + "  ")]
            else:
                lines.append(f"{indent}{key}: {_scalar(entry)}")
        return lines
    lines = []
    for entry in value:
        if isinstance(entry, dict):
            first, *rest = _yaml(entry, indent + "  ")
            lines += [f"{indent}- {first.lstrip()}", *rest]
        else:
            lines.append(f"{indent}- {_scalar(entry)}")
    return lines


def _scalar(value: str | float) -> str:
    text = json.dumps(value, ensure_ascii=False)
    return _NOT_YAML.sub(lambda found: f"\\u{ord(found[0]):04x}", text)
