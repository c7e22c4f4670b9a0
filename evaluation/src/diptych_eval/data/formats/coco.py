"""COCO: a json with images, annotations and categories; and SA-1B's json files, one a picture."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ...model import Category, Dataset
from ..building import FoundPicture, Reading, build_pictures
from ..errors import DatasetError
from ..files import read_object
from ..geometry import numbers, short
from ..pictures import PictureFolder, as_posix, decide_frame, read_header
from .coco_objects import read_annotation
from .twice import one_entry_each

SA_1B_CLASS = "object"
"""What the objects of a data set without classes are called."""
_LISTS = ("images", "annotations", "categories")


@dataclass
class _Pictures:
    """Pictures by the ids of the file."""

    by_id: dict[str, FoundPicture] = field(default_factory=dict)
    refused: set[str] = field(default_factory=set)
    """Ids of pictures that have a problem, which is not said again for each object."""


def read_coco(path: Path, reading: Reading) -> Dataset:
    """Read a COCO json, or the one in a folder; or a folder of SA-1B's.

    Raises:
        DatasetError: there is no such file, or it is broken as a whole.
    """
    file = path if path.is_file() else find_json(path)
    if file is None:
        file, document = path, _sa_1b(path)
    else:
        document = read_object(file, "an object with images, annotations and categories")
        if "image" in document and "images" not in document:
            document = _joined([(file, document)])
    for key in _LISTS:
        value = document.get(key)
        if not isinstance(value, list):
            got = "no such key" if key not in document else short(value)
            raise DatasetError(file, key, "a list", got)
    categories = _categories(document["categories"], file, reading)
    pictures = _pictures(document["images"], file, reading)
    _annotations(document["annotations"], categories, pictures, file, reading)
    return build_pictures(
        name=file.stem,
        format="coco",
        root=file.parent if file.is_file() else file,
        categories=list(categories.values()),
        pictures=one_entry_each(pictures.by_id.values(), file, reading.findings),
        reading=reading,
    )


def find_json(folder: Path) -> Path | None:
    """The one COCO json in a folder or its ``annotations``; ``None`` if there is none.

    Raises:
        DatasetError: there are several.
    """
    for place in (folder, folder / "annotations"):
        found = [each for each in sorted(place.glob("*.json")) if looks_like_coco(each)]
        if len(found) > 1:
            names = ", ".join(each.name for each in found)
            raise DatasetError(place, "", "one COCO json; name the one that is meant", names)
        if found:
            return found[0]
    return None


def looks_like_coco(file: Path) -> bool:
    """Whether a json seems to hold COCO's lists, by its first and last bytes."""
    with file.open("rb") as opened:
        text = opened.read(100_000)
        opened.seek(0, 2)
        opened.seek(max(opened.tell() - 100_000, 0))
        text += opened.read()
    return b'"images"' in text and (b'"annotations"' in text or b'"categories"' in text)


def looks_like_sa_1b(file: Path) -> bool:
    """Whether a json seems to be one picture's of SA-1B."""
    with file.open("rb") as opened:
        text = opened.read(100_000)
    return b'"image"' in text and b'"segmentation"' in text and b'"images"' not in text


def _sa_1b(folder: Path) -> dict[str, Any]:
    files = [each for each in sorted(folder.glob("*.json")) if looks_like_sa_1b(each)]
    if not files:
        raise DatasetError(folder, "", "a COCO json here or in annotations/", "none")
    return _joined([(each, read_object(each, "an object")) for each in files])


def _joined(documents: list[tuple[Path, dict[str, Any]]]) -> dict[str, Any]:
    images, annotations = [], []
    for number, (file, document) in enumerate(documents, 1):
        image, objects = document.get("image"), document.get("annotations")
        if not isinstance(image, dict) or not isinstance(objects, list):
            raise DatasetError(file, "", "an image and a list of annotations", short(document))
        images.append({**image, "id": number})
        for each in objects:
            if not isinstance(each, dict):
                raise DatasetError(file, "annotations", "objects", short(each))
            annotations.append({"iscrowd": 0, **each, "image_id": number, "category_id": 1})
    categories = [{"id": 1, "name": SA_1B_CLASS}]
    return {"images": images, "annotations": annotations, "categories": categories}


def _entries(values: list[Any], what: str, file: Path, reading: Reading) -> Iterator[Any]:
    for index, value in enumerate(values):
        if isinstance(value, dict):
            yield value
        else:
            reading.findings.problem(file, f"{what}[{index}]", "an object", short(value))


def _key(value: Any) -> str:
    """An id as a key: 7, 7.0 and "7" are one, since tools write all three."""
    integral = isinstance(value, float) and value.is_integer()
    return str(int(value) if integral else value)


def _categories(values: list[Any], file: Path, reading: Reading) -> dict[str, Category]:
    found: dict[str, Category] = {}
    for index, each in enumerate(_entries(values, "categories", file, reading)):
        name, place = each.get("name"), f"categories[{index}]"
        if not isinstance(name, str) or not name.strip() or each.get("id") is None:
            reading.findings.problem(file, place, "an id and a name", short(each))
            continue
        points = each.get("keypoints") or []
        if not (isinstance(points, list) and all(isinstance(point, str) for point in points)):
            reading.findings.problem(file, f"{place}, keypoints", "a list of names", short(points))
            continue
        key = _key(each["id"])
        if key in found and found[key].name != name:
            got = f"{each['id']} for {found[key].name!r} and {name!r}"
            reading.findings.problem(file, place, "an id of its own", got)
        found.setdefault(key, Category(len(found) + 1, name, tuple(points)))
    return found


def _pictures(values: list[Any], file: Path, reading: Reading) -> _Pictures:
    made = _Pictures()
    folder = PictureFolder(_folders(file, reading), reading.findings)
    missing: list[str] = []
    for index, each in enumerate(_entries(values, "images", file, reading)):
        name, key = each.get("file_name"), _key(each.get("id"))
        if not isinstance(name, str) or not name or each.get("id") is None:
            reading.findings.problem(file, f"images[{index}]", "an id and a file_name", short(each))
            made.refused.add(key)
            continue
        if key in made.by_id or key in made.refused:
            before = made.by_id.get(key)
            if before is None or before.name != as_posix(name):
                got = f"id {each['id']} of {before.name if before else 'another'} too"
                reading.findings.problem(file, f"images[{index}], {name}", "its own id", got)
            else:
                text = "Some pictures are listed twice with the same id; read once."
                reading.findings.warn(text, name)
            continue
        path = folder.find(name)
        picture = None
        if path is None:
            missing.append(name)
        else:
            picture = _picture(each, name, path, file, reading)
        if picture is None:
            made.refused.add(key)
        else:
            made.by_id[key] = picture
    if missing:
        some = ", ".join(each[:100] for each in missing[:3]) + (" …" if len(missing) > 3 else "")
        got = f"{len(missing)} missing in {folder.folders}: {some}; --images says where they are"
        reading.findings.problem(file, "images", f"{len(values)} picture files", got)
    return made


def _picture(
    entry: Mapping[str, Any], name: str, path: Path, file: Path, reading: Reading
) -> FoundPicture | None:
    stated: tuple[int, int] | None = None
    sides = [entry.get("height"), entry.get("width")]
    if None in sides:
        text = "Some pictures have no height and width in the json; those of the files are taken."
        reading.findings.warn(text, name)
    else:
        try:
            height, width = numbers(sides)
            stated = int(height), int(width)
        except ValueError as error:
            expected, _, got = str(error).partition(", got ")
            reading.findings.problem(file, f"{name}, height and width", expected, got)
            return None
    try:
        header = read_header(path)
    except DatasetError as error:
        reading.findings.add(error)
        return None
    frame = decide_frame(header, stated, reading.findings, file=file, name=name, exif=reading.exif)
    return None if frame is None else FoundPicture(as_posix(name), path, frame)


def _folders(file: Path, reading: Reading) -> list[Path]:
    """Where pictures are looked for: in ``--images``, else in the usual places beside the json."""
    if reading.images is not None:
        return [reading.images]
    here = file.parent if file.is_file() else file
    above = here.parent if here.name == "annotations" else here
    split = re.sub(r"^(instances|person_keypoints|captions|panoptic)_|\.coco$", "", file.stem)
    places = [above / "images", above / "images" / split, above / split, here, above]
    return [each for each in dict.fromkeys(places) if each.is_dir()]


def _annotations(
    values: list[Any],
    categories: Mapping[str, Category],
    pictures: _Pictures,
    file: Path,
    reading: Reading,
) -> None:
    findings = reading.findings
    seen: set[str] = set()
    for index, each in enumerate(_entries(values, "annotations", file, reading)):
        values[index] = None  # 20,000 polygons as Python numbers are 100 MB
        label = f"annotation {each['id']}" if "id" in each else f"annotations[{index}]"
        _say_id(each, seen, label, reading)
        key, category_key = _key(each.get("image_id")), _key(each.get("category_id"))
        if key in pictures.refused:
            continue
        picture = pictures.by_id.get(key)
        if picture is None:
            text = "Some objects are of pictures that the json does not list; left out."
            findings.warn(text, f"{label} of picture {each.get('image_id')!r}")
            continue
        category = categories.get(category_key)
        if category is None:
            known = ", ".join(categories) or "none"
            got = repr(each.get("category_id"))
            findings.problem(file, f"{label}, category_id", f"one of {known}", got)
            continue
        found = read_annotation(each, label, category, picture, file, findings)
        if found is not None:
            picture.objects.append(found)


def _say_id(entry: Mapping[str, Any], seen: set[str], label: str, reading: Reading) -> None:
    number = entry.get("id")
    if number is None:
        reading.findings.warn("Some objects have no id; numbered anew.", label)
        return
    if number == 0 and not isinstance(number, bool):
        reading.findings.warn(
            "An object has the id 0, which pycocotools takes for not found; all are numbered anew.",
            label,
        )
    key = _key(number)
    if key in seen:
        text = "Some objects have an id that another one has; all are read and numbered anew."
        reading.findings.warn(text, label)
    seen.add(key)
