"""What a whole clip came to: objects, time, and how far models agree."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import combinations

from ..._drawing.video import object_name
from ...limits import SERVER_IDS
from .._tables import milliseconds, simple_table, stdout
from .follow import Settled, busy_seconds


@dataclass
class _Seen:
    label: str = ""
    frames: int = 0
    visible: int = 0


@dataclass
class _Model:
    frames: int = 0
    seconds: float = 0.0
    objects: dict[int, _Seen] = field(default_factory=dict)


class Summary:
    """Counts final answers as they come; keeps no masks."""

    def __init__(self) -> None:
        self._models: dict[str, _Model] = {}
        self._overlaps: dict[tuple[str, str, int], tuple[int, float]] = {}

    def add(self, answers: Sequence[tuple[str, Settled]]) -> None:
        """Counts what the models say of one frame."""
        for name, answer in answers:
            model = self._models.setdefault(name, _Model())
            if answer.result is None:
                continue
            model.frames += 1
            model.seconds += busy_seconds(answer.result)
            for found in answer.result.objects:
                seen = model.objects.setdefault(found.object_id, _Seen())
                seen.label = found.segment.label or seen.label
                seen.frames += 1
                seen.visible += found.segment.area > 0
        for (a, one), (b, other) in combinations(answers, 2):
            self._compare(a, one, b, other)

    def show(self) -> None:
        """Prints the tables to stdout; nothing if there was no frame."""
        if not self._models:
            return
        console = stdout()
        table = simple_table(
            *("model", "frames", "ms per frame", "object", "label", "visible"),
            right=["frames", "ms per frame", "visible"],
        )
        for name, model in self._models.items():
            mean = milliseconds(model.seconds / model.frames) if model.frames else "-"
            head = (name, str(model.frames), mean)
            for object_id, seen in model.objects.items() or [(None, _Seen())]:
                if object_id is None:
                    table.add_row(*head, "-", "-", "-")
                    continue
                share = f"{seen.visible / seen.frames:.0%} of {seen.frames}"
                table.add_row(*head, object_name(object_id), seen.label or "-", share)
                head = ("", "", "")
        console.print(table)
        if self._overlaps:
            self._show_overlaps()

    def _show_overlaps(self) -> None:
        table = simple_table(
            *("models", "object", "frames with both", "mean IoU"),
            right=["frames with both", "mean IoU"],
            title="Agreement",
        )
        for (a, b, object_id), (count, total) in self._overlaps.items():
            table.add_row(f"{a} / {b}", str(object_id), str(count), f"{total / count:.3f}")
        stdout().print(table)

    def _compare(self, a: str, one: Settled, b: str, other: Settled) -> None:
        if one.result is None or other.result is None:
            return
        theirs = {found.object_id: found.segment.mask for found in other.result.objects}
        for found in one.result.objects:
            mine, mask = found.segment.mask, theirs.get(found.object_id)
            # Ids that servers chose say nothing about each other.
            if found.object_id >= SERVER_IDS or not mine or not mask or mine.size != mask.size:
                continue
            if mine.area and mask.area:
                count, total = self._overlaps.get((a, b, found.object_id), (0, 0.0))
                key = (a, b, found.object_id)
                self._overlaps[key] = (count + 1, total + mine.iou(mask))
