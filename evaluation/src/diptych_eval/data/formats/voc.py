"""Pascal VOC: masks of SegmentationObject and SegmentationClass, else boxes of Annotations."""

from __future__ import annotations

from pathlib import Path

from ...model import Category, Dataset
from ..building import FoundPicture, Reading, build_pictures
from ..clips import listed_names
from ..errors import DatasetError
from ..pictures import PictureFolder, decide_frame, read_header
from .voc_masks import Labelmap, read_labelmap, read_masks
from .voc_xml import Annotation, read_annotation

_LISTS = ("val.txt", "test.txt", "default.txt", "trainval.txt", "train.txt")


def read_voc(path: Path, reading: Reading) -> Dataset:
    """Read masks where there are any, else boxes; the pictures of ``ImageSets``' ``val.txt``.

    Raises:
        DatasetError: there are no labels.
    """
    root = year_of(path)
    masks, boxes = root / "SegmentationObject", root / "Annotations"
    use_masks = masks.is_dir() and any(masks.glob("*.png"))
    files = sorted(masks.glob("*.png") if use_masks else boxes.glob("*.xml"))
    if not files:
        expected = "SegmentationObject/*.png or Annotations/*.xml"
        raise DatasetError(root, "", expected, "neither")
    files = _listed(files, root, "Segmentation" if use_masks else "Main", reading)
    folder = PictureFolder([reading.images or root / "JPEGImages"], reading.findings)
    labelmap = read_labelmap(root, reading.findings) if use_masks else None
    pictures = []
    names: dict[str, None] = {}
    for file in files:
        try:
            annotation = _annotation(file if not use_masks else boxes / f"{file.stem}.xml")
            picture = _picture(file, folder, annotation, labelmap, reading)
        except DatasetError as error:
            reading.findings.add(error)
            continue
        if picture is not None:
            pictures.append(picture)
            names |= dict.fromkeys(each.category for each in picture.objects)
    known = labelmap.names if labelmap else {n: name for n, name in enumerate(sorted(names), 1)}
    return build_pictures(
        name=root.name,
        format="voc",
        root=root,
        categories=[Category(n, name) for n, name in enumerate(known.values(), 1)],
        pictures=pictures,
        reading=reading,
        semantic_names={0: "", **known} if labelmap else None,
    )


def year_of(path: Path) -> Path:
    """The folder itself, or the one year in a ``VOCdevkit``."""
    inside = [
        each
        for place in (path, path / "VOCdevkit")
        for each in place.glob("VOC2*")
        if each.is_dir()
    ]
    return inside[0] if len(inside) == 1 else path


def _listed(files: list[Path], root: Path, kind: str, reading: Reading) -> list[Path]:
    folder = root / "ImageSets" / kind
    names = listed_names(folder / each for each in _LISTS)
    if names is None:
        return files
    chosen = [each for each in files if each.stem in names]
    if len(chosen) < len(files):
        text = f"{folder} lists {len(chosen)} of {len(files)} labelled pictures; those are read."
        reading.findings.warn(text)
    missing = sorted(names - {each.stem for each in files})
    for name in missing:
        reading.findings.warn("Some pictures are listed but not labelled; left out.", name)
    return chosen


def _annotation(file: Path) -> Annotation | None:
    return read_annotation(file) if file.is_file() else None


def _picture(
    file: Path,
    folder: PictureFolder,
    annotation: Annotation | None,
    labelmap: Labelmap | None,
    reading: Reading,
) -> FoundPicture | None:
    path = folder.find_stem(file.stem)
    if path is None and annotation is not None and annotation.filename:
        path = folder.find(annotation.filename)
    if path is None:
        expected = f"a picture {file.stem} in {folder.folders}"
        raise DatasetError(file, "", expected, "none; --images says where they are")
    header = read_header(path)
    if labelmap is None:
        assert annotation is not None  # it is the file itself
        stated, objects, semantic = annotation.size, annotation.objects, None
    else:
        stated, objects, semantic = read_masks(file, annotation, labelmap, reading.findings)
    if annotation is not None:
        _say_difficult(annotation, path.name, reading)
    frame = decide_frame(
        header, stated, reading.findings, file=file, name=path.name, exif=reading.exif
    )
    if frame is None:
        return None
    return FoundPicture(path.name, path, frame, objects, semantic)


def _say_difficult(annotation: Annotation, name: str, reading: Reading) -> None:
    count = sum(each.crowd for each in annotation.objects)
    if count:
        text = "Some objects are difficult, which VOC ignores; they are read as crowds."
        reading.findings.warn(text, name, count=count)
