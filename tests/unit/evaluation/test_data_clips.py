"""Clips as people have them: DAVIS's folders and SA-V's."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from drawn_dataset import write_masklets, write_sa_v, write_squares
from labelled_pictures import save
from PIL import Image

from diptych_eval.data.errors import DatasetError
from diptych_eval.data.opening import open_dataset


def relabel(file: Path, values: Any) -> None:
    Image.fromarray(values).save(file)


def label_files(root: Path) -> list[Path]:
    return sorted((root / "Annotations" / "c0").glob("*.png"))


def test_255_is_no_object_beside_others_and_the_object_where_it_is_alone(tmp_path: Path) -> None:
    root = write_squares(tmp_path)
    for file in label_files(root):
        values = np.array(Image.open(file))
        values[0] = 255
        relabel(file, values)
    dataset = open_dataset(root)
    assert dataset.clips[0].object_ids == (1, 2)
    assert any("no known object (255)" in line for line in dataset.warnings)
    for file in label_files(root):
        relabel(file, np.where(np.array(Image.open(file)) == 1, 255, 0).astype(np.uint8))
    dataset = open_dataset(root)
    assert dataset.clips[0].object_ids == (1,)
    assert dataset.clips[0].labels[0][1].area == 100
    assert any("as DAVIS 2016 has" in line for line in dataset.warnings)


def test_resolutions_and_lists_of_davis_are_followed(tmp_path: Path) -> None:
    root = write_squares(tmp_path, clips=2)
    for name in ("JPEGImages", "Annotations"):
        (root / name).rename(root / "480p")
        (root / name).mkdir()
        (root / "480p").rename(root / name / "480p")
    (root / "ImageSets" / "2017").mkdir(parents=True)
    (root / "ImageSets" / "2017" / "val.txt").write_text("c1\n")
    assert [each.name for each in open_dataset(root).clips] == ["c1"]
    (root / "ImageSets" / "2017" / "val.txt").write_text("c1\nc7\n")
    with pytest.raises(DatasetError, match="c7: expected labels of a listed clip"):
        open_dataset(root)


def test_frames_of_another_size_than_their_labels_stop(tmp_path: Path) -> None:
    root = write_squares(tmp_path)
    save(root / "JPEGImages" / "c0" / "00003.jpg", size=(72, 96))
    with pytest.raises(DatasetError, match=r"00003\.jpg.*the picture's 72 x 96, got 36 x 48"):
        open_dataset(root)


def test_one_clip_has_one_size(tmp_path: Path) -> None:
    root = write_squares(tmp_path)
    save(root / "JPEGImages" / "c0" / "00003.jpg", size=(72, 96))
    relabel(label_files(root)[3], np.ones((72, 96), np.uint8))
    with pytest.raises(DatasetError, match="one size in a clip, got 36 x 48 and 72 x 96"):
        open_dataset(root)


def test_labels_of_stored_pixels_are_turned_with_the_frames(tmp_path: Path) -> None:
    root = write_squares(tmp_path)
    for number in range(9):
        save(root / "JPEGImages/c0" / f"{number:05d}.jpg", size=(36, 48), orientation=6)
    dataset = open_dataset(root)
    clip = dataset.clips[0]
    assert (clip.height, clip.width) == (48, 36)
    assert clip.labels[0][1].size == (48, 36)
    assert any("turned alike" in line for line in dataset.warnings)


def test_what_can_not_be_followed_is_left_out_and_named(tmp_path: Path) -> None:
    root = write_squares(tmp_path, clips=2)
    for file in label_files(root)[1:]:
        file.unlink()
    dataset = open_dataset(root)
    assert [each.name for each in dataset.clips] == ["c1"]
    assert any("labelled in one frame only" in line for line in dataset.warnings)
    relabel(label_files(root)[0], np.zeros((36, 48), np.uint8))
    assert any("no labelled object" in line for line in open_dataset(root).warnings)
    for file in sorted((root / "Annotations" / "c1").iterdir()):
        file.unlink()
    with pytest.raises(DatasetError, match="a clip with objects in two frames"):
        open_dataset(root, format="davis")


def test_colours_strange_files_and_missing_frames_are_named(tmp_path: Path) -> None:
    root = write_squares(tmp_path, clips=2)
    files = label_files(root)
    Image.open(files[0]).convert("RGB").save(files[0])
    files[1].write_bytes(b"no")
    files[2].rename(files[2].with_name("00099.png"))
    for file in (root / "JPEGImages" / "c1").iterdir():
        file.unlink()
    (root / "JPEGImages" / "c1").rmdir()
    with pytest.raises(DatasetError) as caught:
        open_dataset(root)
    problems = [str(each) for each in getattr(caught.value, "problems", [])]
    for said in ("colours (mode RGB)", "a PNG of labels", "a frame of that name", "no such folder"):
        assert any(said in each for each in problems), problems


def test_classes_cannot_be_mapped_where_there_are_none(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="objects of clips have no class"):
        open_dataset(write_squares(tmp_path), mapping={"a": "b"})


def test_sa_v_has_one_object_in_a_png_and_numbers_for_names(tmp_path: Path) -> None:
    root = write_sa_v(write_squares(tmp_path / "davis"), tmp_path / "sa-v")
    (root / "Annotations_6fps/c0/001/00004.png").unlink()
    dataset = open_dataset(root)
    assert any("labelled for some objects only" in line for line in dataset.warnings)
    relabel(
        root / "Annotations_6fps/c0/001/00000.png",
        np.arange(36 * 48, dtype=np.uint8).reshape(36, 48),
    )
    with pytest.raises(DatasetError, match="expected one object, got 256 values"):
        open_dataset(root)
    (root / "Annotations_6fps/c0/001").rename(root / "Annotations_6fps/c0/one")
    with pytest.raises(DatasetError, match="a number as the name of an object"):
        open_dataset(root)


def test_sa_v_lists_choose_the_clips(tmp_path: Path) -> None:
    root = write_sa_v(write_squares(tmp_path / "davis", clips=2), tmp_path / "sa-v")
    (root / "sav_val.txt").write_text("c1\n")
    assert [each.name for each in open_dataset(root).clips] == ["c1"]


def test_masklets_want_the_frames_of_their_video(tmp_path: Path) -> None:
    root = write_masklets(write_squares(tmp_path / "davis"), tmp_path / "json")
    assert open_dataset(root / "c0_manual.json").clips == open_dataset(root).clips
    (root / "c0_auto.json").write_text((root / "c0_manual.json").read_text())
    assert any("automatic masklets" in line for line in open_dataset(root).warnings)
    frames = sorted((root / "c0").iterdir())
    for frame in frames[:4]:
        frame.unlink()
    with pytest.raises(DatasetError, match="expected 3 frames, or 9 to 16, got 5 frames"):
        open_dataset(root)
    for frame in frames[4:]:
        frame.unlink()
    (root / "c0.mp4").write_bytes(b"")
    with pytest.raises(DatasetError, match=r"take them out of the video: .*ffmpeg -i .*c0\.mp4"):
        open_dataset(root)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"masklet": []}, "masklet: expected a list of frames"),
        ({"masklet_id": ["a", 2]}, "a list of whole numbers"),
        ({"masklet_id": [1]}, r"masklet\[0\]: expected 1 objects"),
        ({"masklet": [[1, 2]] * 3}, "run lengths with size and counts"),
        ({"masklet": [[{"size": [36, 48], "counts": "zz"}] * 2] * 3}, "run lengths of 36 x 48"),
    ],
)
def test_broken_masklets_are_named(tmp_path: Path, change: dict[str, Any], said: str) -> None:
    root = write_masklets(write_squares(tmp_path / "davis"), tmp_path / "json")
    file = root / "c0_manual.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), **change}))
    with pytest.raises(DatasetError, match=said) as caught:
        open_dataset(root)
    assert "c0_manual.json" in str(caught.value)
