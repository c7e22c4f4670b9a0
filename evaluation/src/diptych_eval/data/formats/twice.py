"""Pictures that a data set lists more than once."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from ..building import FoundObject, FoundPicture
from ..errors import Findings


def one_entry_each(
    pictures: Iterable[FoundPicture], file: Path, findings: Findings
) -> list[FoundPicture]:
    """The pictures, each file once: entries that say the same, or nothing, are left out.

    Entries with different objects are a problem: whether they complete or contradict each other,
    only the one who labelled them knows.
    """
    made: dict[Path, FoundPicture] = {}
    names: dict[str, FoundPicture] = {}
    for each in pictures:
        key = each.path.resolve()
        before = made.get(key)
        if before is None:
            if each.name in names:
                got = f"{each.path} and {names[each.name].path}"
                findings.problem(file, each.name, "one picture of a name", got)
                continue
            made[key] = names[each.name] = each
            continue
        if not before.objects or not each.objects or _same(before.objects, each.objects):
            text = "Some pictures are listed twice; the entry with objects is read, once."
            findings.warn(text, before.name if before.name == each.name else each.name)
            made[key] = before if before.objects else each
        else:
            counts = f"two with {len(before.objects)} and {len(each.objects)} objects"
            findings.problem(file, each.name, "one entry a picture, or equal ones", counts)
    return list(made.values())


def _same(a: list[FoundObject], b: list[FoundObject]) -> bool:
    def keys(objects: list[FoundObject]) -> list[str]:
        return sorted(
            repr((o.category, o.box, o.crowd, o.keypoints, o.mask and o.mask.to_coco()))
            for o in objects
        )

    return keys(a) == keys(b)
