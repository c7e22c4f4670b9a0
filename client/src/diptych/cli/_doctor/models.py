"""Each model: whether it can be reached, what is loaded, and whether it answers."""

from __future__ import annotations

import io
import random
import time
from collections.abc import Iterator, Mapping

from PIL import Image

from ... import (
    DiptychError,
    KnownModel,
    ModelCard,
    ModelStats,
    PromptKind,
    Task,
)
from .._exits import describe
from .case import Case
from .findings import Finding, failed, ok, warning
from .server import advice

_DIGEST_SHOWN = 12
_SIDE_PX = 64


def check_model(model: KnownModel, stats: ModelStats | None) -> Iterator[Finding]:
    """What is loaded and where, and what whoever runs it should look at."""
    name = f"model {model.model_id}"
    if model.error is not None:
        yield failed(name, describe(model.error), advice(model.error), **_facts(model, stats))
        return
    yield ok(name, "; ".join(_said(model, stats)), **_facts(model, stats))
    down = [f"{one.name} ({describe(one.error)})" for one in model.replicas if one.error]
    if down:
        text = f"replicas that do not serve: {', '.join(down)}"
        yield warning(name, text, "look at their logs")
    for text in model.warnings:
        yield warning(name, text, "look at its replicas with diptych health")
    if model.card is not None and _is_demo(model.card):
        text = "these are demo weights: what they say of photographs means nothing"
        yield warning(
            name, text, "for photographs: make up WEIGHTS=official, or own weights (docs/models.md)"
        )
    if stats is not None and stats.engine_restart_count:
        text = f"its engine was started again {stats.engine_restart_count} times"
        yield warning(name, text, "look for the reason in the service's log")


def check_answer(case: Case, model: KnownModel) -> Iterator[Finding]:
    """Whether a model segments a small picture that it has never seen."""
    name = f"answer {model.model_id}"
    card = model.card
    points = [(_SIDE_PX // 2, _SIDE_PX // 2)] if card and _takes_points(card) else None
    begun = time.monotonic()
    try:
        with case.client() as client:
            found = client.segment(_picture(), model=model.model_id, points=points)
    except DiptychError as error:
        yield failed(name, describe(error), advice(error))
        return
    took_ms = round((time.monotonic() - begun) * 1000)
    software = [*dict.fromkeys(each.software for each in found.provenance if each.software)]
    devices = [*dict.fromkeys(f"{each.device} {each.dtype}" for each in found.provenance)]
    text = f"answered after {took_ms} ms on {' and '.join(devices) or 'a device not told'}"
    text += f", with {'; '.join(software)}" if software else ""
    yield ok(name, text, ms=took_ms, software=software, devices=devices)


def _said(model: KnownModel, stats: ModelStats | None) -> Iterator[str]:
    listed = [replica for replica in model.replicas if not replica.leaving]
    serving = sum(not replica.error for replica in listed)
    yield "reachable" if len(listed) < 2 else f"reachable, {serving} of {len(listed)} replicas"
    if model.card is not None:
        for each in model.card.weights:
            yield f"weights {each.name} (sha256 {each.sha256[:_DIGEST_SHOWN]})"
        yield f"tier {model.card.tier}"
    if stats is None:
        return
    yield f"device {stats.device}" if stats.device else "device not told"
    memory = _memory(stats)
    yield f"memory taken: {memory}; free memory is not told" if memory else "memory not told"


def _memory(stats: ModelStats) -> str:
    amounts: Mapping[str, int] = {
        "engine": stats.engine_memory_bytes,
        "engine at most": stats.engine_peak_memory_bytes,
        "device at most": stats.device_peak_memory_bytes,
        "held features": stats.held_bytes,
    }
    return ", ".join(f"{what} {count / 1e6:,.0f} MB" for what, count in amounts.items() if count)


def _facts(model: KnownModel, stats: ModelStats | None) -> dict[str, object]:
    card = model.card
    facts: dict[str, object] = {"model_id": model.model_id, "reachable": model.error is None}
    if card is not None:
        facts["weights"] = [{"name": w.name, "sha256": w.sha256} for w in card.weights]
        facts |= {"tier": card.tier, "demo_weights": _is_demo(card)}
    if stats is not None:
        facts |= {
            "device": stats.device,
            "engine_memory_bytes": stats.engine_memory_bytes,
            "device_peak_memory_bytes": stats.device_peak_memory_bytes,
            "held_bytes": stats.held_bytes,
        }
    return facts


def _is_demo(card: ModelCard) -> bool:
    return any(each.name in ("demo", "keypoint-demo") for each in card.weights)


def _takes_points(card: ModelCard) -> bool:
    return Task.PROMPTED_SEGMENTATION in card.tasks and PromptKind.POINT in card.prompt_kinds


def _picture() -> bytes:
    """A square on a ground of other colours each time, so that nothing of it is held."""
    ground, square = (tuple(random.choices(range(256), k=3)) for _ in range(2))
    image = Image.new("RGB", (_SIDE_PX, _SIDE_PX), ground)
    image.paste(square, (16, 16, 48, 48))
    buffer = io.BytesIO()
    image.save(buffer, "PNG")
    return buffer.getvalue()
