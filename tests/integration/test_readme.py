"""Every command and every program of README, every example of ``--help`` and what ``docs/`` has
beside, against the real services with the demo weights; of each the result is looked at.

``photo.jpg`` is a drawn scene, scaled so that README's points and boxes are on its objects: what is
where in it is known to the pixel.
"""

from __future__ import annotations

import io
import json
import re
import shlex
import shutil
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, redirect_stdout
from dataclasses import dataclass
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from batches import rows_of
from click.testing import CliRunner
from documentation import ROOT, blocks, shell_lines
from looks import colored, is_box, look_at_figure, mask_of, rows
from numpy.typing import NDArray
from PIL import Image
from pycocotools.coco import COCO
from stack import Stack, running_stack

from diptych import (
    Client,
    Mask,
    OutputOptions,
    Segment,
    VideoWriter,
)
from diptych.cli import main
from diptych_gateway.__main__ import main as gateway
from diptych_runtime.main import ServiceSpec, run

pytestmark = pytest.mark.timeout(240)

SCENES = ROOT / "tests" / "assets" / "scenes"
MODELS = ("mask-rcnn", "sam-2", "mask-rcnn-sam-2")
SIZE = (500, 700)
PERSON, CROSS = (100, 100, 400, 350), (398, 330, 539, 426)
"""Where the objects of README's box and of its point are in ``photo.jpg``."""
CLIP_SIZE, CLIP_COUNT, SHORT_COUNT = (400, 480), 42, 12
Pixels = NDArray[np.uint8]


def photo() -> tuple[Pixels, NDArray[np.uint8]]:
    """The picture and its labels: scene 1, in which the person's box becomes README's."""
    scene = np.asarray(Image.open(SCENES / "1.png").convert("RGB"))
    labels = np.asarray(Image.open(SCENES / "1-labels.png"))
    left, top, right, bottom = 22, 28, 149, 179
    rows = (np.arange(SIZE[0]) + 0.5 - PERSON[1]) * (bottom - top) / (PERSON[3] - PERSON[1]) + top
    columns = (np.arange(SIZE[1]) + 0.5 - PERSON[0]) * (right - left) / (
        PERSON[2] - PERSON[0]
    ) + left
    chosen = np.ix_(rows.clip(0, 255).astype(int), columns.clip(0, 255).astype(int))
    return scene[chosen], labels[chosen]


def truth() -> dict[str, Mask]:
    """The objects of ``photo.jpg``; the classes that it has twice are numbered."""
    names = [one["class"] for one in json.loads((SCENES / "1.json").read_text())["objects"]]
    labels = photo()[1]
    return {f"{n}:{name}": Mask.from_array(labels == n) for n, name in enumerate(names, 1)}


def clip_frame(index: int) -> Pixels:
    """A square that moves to the left and covers (210, 350) at first; a bar that stays."""
    noise = np.random.default_rng(index).integers(0, 8, (*CLIP_SIZE, 1), dtype=np.uint8)
    pixels = np.full((*CLIP_SIZE, 3), (150, 155, 160), np.uint8) + noise
    pixels[310:390, 170 - index : 250 - index] = (210, 60, 50)
    pixels[80:260, 100:220] = (230, 200, 60)
    return pixels


def square(index: int) -> Mask:
    return Mask.from_crop(np.ones((80, 80)), 170 - index, 310, CLIP_SIZE)


BAR = Mask.from_crop(np.ones((180, 120)), 100, 80, CLIP_SIZE)


@dataclass(frozen=True)
class Place:
    """A folder with README's files, and services that answer."""

    folder: Path
    stack: Stack
    client: Client

    def run(self, line: str) -> str:
        """What a command prints; ``> FILE`` as a shell does it."""
        line, _, target = line.partition(" > ")
        program, *arguments = shlex.split(line)
        assert program == "diptych"
        # As wide as many terminals are: on narrower ones tables fold.
        environment = {"DIPTYCH_ADDRESS": self.stack.address("gateway"), "COLUMNS": "120"}
        done = CliRunner().invoke(main, arguments, env=environment)
        assert done.exit_code == 0, done.stderr
        assert re.fullmatch(r"(diptych: \d+ ok, 0 failed\n)?", done.stderr), done.stderr
        if target:
            (self.folder / target).write_text(done.stdout)
        return done.stdout

    @contextmanager
    def instead(self, name: str, other: str, wanted: bool = True) -> Iterator[None]:
        """While it is entered, one file or folder has the name of another."""
        names = (name, other) if wanted else ()
        self._swap(*names)
        try:
            yield
        finally:
            self._swap(*names)

    def _swap(self, *names: str) -> None:
        paths = [self.folder / name for name in names]
        for path in paths:
            path.rename(path.with_name(f"{path.name}.away"))
        for path, other in zip(paths, reversed(paths), strict=True):
            other.with_name(f"{other.name}.away").rename(path)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What the commands read, under the names that they use."""
    folder = tmp_path_factory.mktemp("readme")
    pixels, _ = photo()
    Image.fromarray(pixels).save(folder / "photo.jpg", quality=95)
    for name in ("photos", "frames", "shown"):
        (folder / name).mkdir()
    for number in (0, 3):
        Image.open(SCENES / f"{number}.png").convert("RGB").save(folder / f"photos/{number}.jpg")
    for number in range(3):
        moved = np.roll(pixels, 4 * number, axis=1)
        Image.fromarray(moved).save(folder / f"frames/{number}.jpg", quality=95)
        Image.fromarray(clip_frame(number)).save(folder / f"shown/{number}.png")
    for name, count in (("clip", CLIP_COUNT), ("short", SHORT_COUNT)):
        with VideoWriter(folder / f"{name}.mp4", fps=25) as writer:
            for index in range(count):
                writer.write(clip_frame(index))
    return folder


@pytest.fixture(scope="module")
def stack(model_services: Stack, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """The services as ``make up`` starts them."""
    folder = tmp_path_factory.mktemp("stack")
    with running_stack(model_services, folder, "mask-rcnn>sam-2") as running:
        yield running


@pytest.fixture
def place(folder: Path, stack: Stack, monkeypatch: pytest.MonkeyPatch) -> Iterator[Place]:
    monkeypatch.chdir(folder)
    address = stack.address("gateway")
    monkeypatch.setenv("DIPTYCH_ADDRESS", address)
    with Client(address, timeout=60) as client:
        yield Place(folder, stack, client)


def remove(out: Path) -> None:
    """What an earlier command of the same ``--out`` wrote: another does not overwrite it."""
    if out.is_dir():
        shutil.rmtree(out)
    out.unlink(missing_ok=True)


# How results are looked at.


def best(mask: Mask | None) -> tuple[str, float]:
    """The object of ``photo.jpg`` that a mask is, and how well it covers it."""
    assert mask is not None
    name, wanted = max(truth().items(), key=lambda item: item[1].iou(mask))
    return name.partition(":")[2], wanted.iou(mask)


# README's commands, each with what is looked at.


def health(place: Place, printed: str) -> None:
    address, *models = printed.splitlines()
    assert address == f"{place.client.address}: serving"
    assert [line for line in models if line.endswith("reachable")] == [
        f"  {model}: reachable" for model in MODELS
    ]
    replicas = [line.split() for line in models if line.startswith("    ")]
    assert [replica[:3:2] for replica in replicas] == [["1", "serving"]] * 2


def cards(place: Place, printed: str) -> None:
    text = " ".join(re.sub(r"[─│]", " ", printed).split())
    for model in place.client.model_cards():
        assert model.card is not None
        assert model.model_id in text
    for words in ("Organisation", "Parameters", "Licence", "demo"):
        assert words in text


def compared(place: Place, printed: str) -> None:
    image = place.folder / "photo.jpg"
    comparison = place.client.compare(image, task="instance-segmentation")
    titles = re.findall(r"^(\S+): (\d+) objects? in 700x500 px", printed, re.MULTILINE)
    assert titles == [(o.model_id, str(len(o.result.segments))) for o in comparison.results]
    found = rows(printed)
    assert len(found) == sum(int(count) for _, count in titles)
    for label in ("person", "ring", "cross", "ellipse"):
        assert label in {row["label"] for row in found}
    assert any(is_box(row["box"], PERSON, 8) and row["label"] == "-" for row in found)
    assert len(re.findall(r"^ *\S+ / \S+ +mask-iou", printed, re.MULTILINE)) == 3
    look_at_figure(place.folder / "side.png", comparison, image)


def pointed_at(place: Place, printed: str) -> None:
    document = json.loads(printed)
    assert document["source"] == "photo.jpg"
    (segment,) = document["segments"]
    assert is_box(segment["bbox"], CROSS, 5)
    name, iou = best(mask_of(segment))
    assert name == "cross"
    assert iou >= 0.85


def boxed(place: Place, printed: str) -> None:
    (row,) = rows(printed)
    assert (row["label"], row["score"] > 0.9) == ("person", True)
    assert is_box(row["box"], PERSON, 15)


def many(place: Place, printed: str) -> None:
    lines = printed.splitlines()
    assert len(lines) == 2
    for name, line in zip(("0.jpg", "3.jpg"), lines, strict=True):
        result = place.client.segment(f"photos/{name}", model="mask-rcnn")
        assert line.startswith(f"photos/{name}: mask-rcnn: {len(result.segments)} objects in 256")
        assert {"person", "ring"} <= {segment.label for segment in result.segments}
        look_at_figure(
            place.folder / f"results/{name}.segments.png", result, place.folder / "photos" / name
        )


def followed(place: Place, printed: str, boxes: list[tuple[float, ...]]) -> None:
    """Objects of the sample, which pass behind others: each is seen on most frames."""
    seen = re.findall(r"(\d) +- +(\d+)% of 48", printed)
    assert [number for number, _ in seen] == [str(n) for n in range(1, len(boxes) + 1)]
    shares = [int(share) / 100 for _, share in seen]
    assert min(shares) >= 0.6
    source = ROOT / "client/src/diptych/samples/clip.mp4"
    numbers = range(1, len(boxes) + 1)
    shown = [area for _, area in colored(place.folder / "followed.mp4", source, numbers)]
    sizes = np.array([area.sum() for area in shown])
    assert max(shares) - 0.1 <= np.mean(sizes > 50) <= min(1, sum(shares) + 0.1)
    around = np.zeros_like(shown[0])
    for left, top, right, bottom in np.array(boxes, int):
        ys, xs = np.nonzero(shown[0][top:bottom, left:right])
        assert np.ptp(ys) >= 0.7 * (bottom - top)
        assert np.ptp(xs) >= 0.7 * (right - left)
        around[top - 22 : bottom + 3, left - 3 : right + 3] = True  # its label is above it
    assert (shown[0] & ~around).sum() <= 0.05 * sizes[0]


def followed_two(place: Place, printed: str) -> None:
    followed(place, printed, [(161, 37, 208, 84), (165, 112, 228, 156)])


def followed_one(place: Place, printed: str) -> None:
    followed(place, printed, [(161, 37, 208, 84)])


def cards_in_markdown(place: Place, printed: str) -> None:
    head, rule, *body = printed.strip().splitlines()
    cells = [cell.strip() for cell in head.strip("|").split("|")]
    assert cells[1:] == [*MODELS]
    assert set(rule) <= set("|-: ")
    assert len(body) > 11
    assert {len(re.findall(r"(?<!\\)\|", line)) for line in (head, *body)} == {len(MODELS) + 2}


def cards_in_files(place: Place, printed: str) -> None:
    assert printed.split() == [f"cards/{model}/README.md" for model in MODELS]
    for known in place.client.model_cards():
        text = (place.folder / "cards" / known.model_id / "README.md").read_text()
        assert text.startswith("---\n")
        assert known.card is not None
        assert f"# {known.card.display_name}" in text


def cut_out(place: Place, printed: str) -> None:
    (row,) = rows(printed)
    assert is_box(row["box"], CROSS, 5)
    image = place.folder / "photo.jpg"
    points = [(500, 375), (520, 300, False)]
    result = place.client.segment(image, model="sam-2", points=points)
    assert best(result.segments[0].mask)[0] == "cross"
    look_at_figure(place.folder / "cut.png", result, image)


def with_body_points(place: Place, printed: str) -> None:
    (row,) = rows(printed)
    assert row["label"] == "person"
    assert is_box(row["box"], PERSON, 25)


def many_sure(place: Place, printed: str) -> None:
    counts = [int(count) for count in re.findall(r"mask-rcnn: (\d+) objects", printed)]
    for name, count in zip(("0.jpg", "3.jpg"), counts, strict=True):
        output = OutputOptions(min_score=0.7)
        result = place.client.segment(f"photos/{name}", model="mask-rcnn", output=output)
        assert count == len(result.segments)
        assert min(segment.score for segment in result.segments) >= 0.7
        figure = place.folder / f"results/{name}.segments.png"
        look_at_figure(figure, result, place.folder / "photos" / name)


def cascaded(place: Place, printed: str) -> None:
    found = {row["label"]: row for row in rows(printed)}
    for name in ("person", "ring", "cross", "ellipse"):
        boxes = [mask.box.xyxy for key, mask in truth().items() if name in key and mask.box]
        assert any(is_box(found[name]["box"], box, 25) for box in boxes), name
    assert "source IoU" in printed


COMMANDS: dict[str, Callable[[Place, str], None]] = {
    "diptych health": health,
    "diptych cards": cards,
    "diptych compare photo.jpg --task instance-segmentation --out side.png": compared,
    "diptych segment photo.jpg --model sam-2 --point 500,375 --json": pointed_at,
    "diptych segment photo.jpg --model mask-rcnn --box 100,100,400,350": boxed,
    "diptych segment photos --model mask-rcnn --out results": many,
    "diptych video sample --model sam-2 --box 0:161,37,208,84 --box 0:165,112,228,156 "
    "--out followed.mp4": followed_two,
}
# Of the pages of docs/, what shows something else than README.
DOCS_COMMANDS: dict[str, Callable[[Place, str], None]] = {
    "diptych cards --format markdown": cards_in_markdown,
    "diptych cards --write cards": cards_in_files,
    "diptych segment photo.jpg --model sam-2 --point 500,375 --point 520,300,0 --out cut.png": (
        cut_out
    ),
    "diptych segment photo.jpg --model mask-rcnn --task keypoint-detection": with_body_points,
    "diptych segment photos --model mask-rcnn --min-score 0.7 --out results": many_sure,
    "diptych segment photo.jpg --model mask-rcnn-sam-2": cascaded,
}
CURL = """curl -F image=@photo.jpg -F 'options={"model": "mask-rcnn"}' localhost:8080/api/segment"""
ELSEWHERE = {
    *("make demo", "make up", "source .venv/bin/activate", "make up WEIGHTS=official"),
    *("make demo WEIGHTS=official", "make demo WEIGHTS=official PICTURE=photo.jpg"),
}
"""CI runs ``make demo``; the services here are those of ``make up``. What WEIGHTS and PICTURE do is
tested in ``test_official_weights.py``."""


def test_every_command_of_readme_is_looked_at() -> None:
    assert set(shell_lines([ROOT / "README.md"])) == {*COMMANDS, CURL, *ELSEWHERE}


def test_commands_of_docs_are_there() -> None:
    assert set(DOCS_COMMANDS) <= set(shell_lines())


@pytest.mark.parametrize(
    "line", [*COMMANDS, *DOCS_COMMANDS], ids=lambda line: re.sub(r"\W+", "-", line)[8:50]
)
def test_commands(line: str, place: Place) -> None:
    for out in (after for word, after in pairwise(shlex.split(line)) if word == "--out"):
        remove(place.folder / out)
    (COMMANDS | DOCS_COMMANDS)[line](place, place.run(line))


def test_curl(place: Place) -> None:
    _, *arguments, address = shlex.split(CURL)
    parts = dict(after.split("=", 1) for word, after in pairwise(arguments) if word == "-F")
    files = {
        name: ("p", (place.folder / value[1:]).read_bytes()) if value[0] == "@" else (None, value)
        for name, value in parts.items()
    }
    url = f"http://127.0.0.1:{place.stack.ports['http']}/{address.partition('/')[2]}"
    answer = httpx.post(url, files=files, timeout=60, trust_env=False)
    assert answer.status_code == 200
    found = {best(mask_of(one)): one["label"] for one in answer.json()["segments"]}
    for name in ("person", "ring", "ellipse"):
        assert [label for (what, iou), label in found.items() if what == name and iou > 0.8] == [
            name
        ]


# README's programs.


def alone(place: Place, names: dict[str, Any], printed: str) -> None:
    found, first, mask, both = (names[name] for name in ("found", "first", "mask", "both"))
    labels = [best(segment.mask) for segment in found.segments if segment.label != "triangle"]
    assert [name for name, _ in labels] == [
        segment.label for segment in found.segments if segment.label != "triangle"
    ]
    assert best(first.segments[0].mask)[0] == "cross"
    assert mask.size == SIZE
    name, iou = best(mask)
    mask = mask.to_array()
    assert (name, iou >= 0.85, bool(mask[375, 500]), bool(mask[300, 520])) == (
        ("cross", True, True, False)
    )
    lines = printed.splitlines()
    hit = lines.index("True")
    assert len(lines[:hit]) == len(found.segments)
    for line, segment in zip(lines, found.segments, strict=False):
        assert line == f"{segment.label} {segment.score} {segment.box} {segment.area}"
    assert [line.split()[0] for line in lines[hit + 1 : hit + 4]] == [*MODELS]
    assert [int(line.split()[1]) for line in lines[hit + 1 : hit + 4]] == [
        len(outcome.result.segments) for outcome in both.results
    ]
    assert [line.split()[:2] for line in lines[hit + 4 :]] == [
        ["mask-rcnn", "sam-2"],
        ["mask-rcnn", "mask-rcnn-sam-2"],
        ["sam-2", "mask-rcnn-sam-2"],
    ]
    assert all(int(line.split()[2]) >= 3 for line in lines[hit + 4 :])
    assert all(0.7 < float(line.split()[3]) <= 1 for line in lines[hit + 4 :])


def in_frames(place: Place, names: dict[str, Any], printed: str) -> None:
    lines = [line.split() for line in printed.splitlines()]
    assert {(index, number) for index, number, _ in lines} == {(str(n), "1") for n in range(3)}
    assert all(float(presence) > 0.9 for *_, presence in lines)
    last: Segment = names["event"].objects[0].segment
    assert last.mask is not None
    moved = np.roll(photo()[1] == 5, 8, axis=1)
    assert last.mask.iou(Mask.from_array(moved)) >= 0.8


PROGRAMS = {"found.segments": alone, "session.track": in_frames}
README_PROGRAMS = [block for block, page in blocks("python") if page == "README.md"]


def test_every_program_of_readme_is_looked_at() -> None:
    assert len(README_PROGRAMS) == len(PROGRAMS)


@pytest.mark.parametrize(("mark", "program"), [*zip(PROGRAMS, README_PROGRAMS, strict=False)])
def test_programs(mark: str, program: str, place: Place) -> None:
    assert mark in program
    names: dict[str, Any] = {"__name__": "readme"}
    with redirect_stdout(io.StringIO()) as printed:
        exec(compile(program, "README.md", "exec"), names)
    PROGRAMS[mark](place, names, printed.getvalue())


# Examples of --help.


def corrected(place: Place, printed: str) -> None:
    assert re.search(r" 1 +- +100% of 42", printed)


def side_by_side_frames(place: Place, printed: str) -> None:
    assert len(re.findall(r"(\d) +\S+ +100% of 3", printed)) == 2
    shown = list(colored(place.folder / "side.mp4", place.folder / "frames", range(1, 2)))
    assert [index for index, _ in shown] == [0, 0, 1, 1, 2, 2]
    for _, area in shown:
        assert Mask.from_array(area).iou(BAR) >= 0.8


def both_ways(place: Place, printed: str) -> None:
    assert re.search(r" 1 +- +100% of 42", printed)
    shown = list(colored(place.folder / "all.mp4", place.folder / "clip.mp4", range(1, 2)))
    assert [index for index, _ in shown] == [*range(CLIP_COUNT)]
    for _, area in shown:
        assert (
            Mask.from_array(area).iou(BAR) >= 0.65
        )  # the demo weights drift, and the label is above it


def told(place: Place, printed: str) -> None:
    lines = [json.loads(line) for line in (place.folder / "masks.jsonl").read_text().splitlines()]
    assert [line["frame_index"] for line in lines] == [*range(SHORT_COUNT)]
    for line in lines:
        (found,) = line["objects"]
        assert mask_of(found).iou(square(line["frame_index"])) >= 0.9
        assert found["presence"] > 0.9


def kept(place: Place, printed: str) -> None:
    assert printed.startswith("found: 2 pictures, 2 answered, 0 failed; ")
    found = {row["path"]: row["segments"] for row in rows_of(place.folder / "found")}
    coco = COCO(place.folder / "found" / "_annotations.json")
    assert [one["file_name"] for one in coco.loadImgs([1, 2])] == ["0.jpg", "3.jpg"]
    for number, name in enumerate(("0.jpg", "3.jpg"), start=1):
        result = place.client.segment(f"photos/{name}", model="mask-rcnn")
        rows, annotations = found[f"photos/{name}"], coco.loadAnns(coco.getAnnIds([number]))
        assert {"person", "ring"} <= {row["label"] for row in rows}
        for row, one, segment in zip(rows, annotations, result.segments, strict=True):
            assert segment.mask is not None
            assert (row["label"], row["area"]) == (segment.label, segment.area)
            assert one["segmentation"] == row["rle"]
            assert (coco.annToMask(one) == segment.mask.to_array()).all()
            assert coco.loadCats([one["category_id"]])[0]["name"] == segment.label


def kept_in_shards(place: Place, printed: str) -> None:
    found = rows_of(place.folder / "shards")
    rest = place.run(
        "diptych batch photos/*.jpg --model sam-2 --box 10,10,90,90 --shard 1/2 --out shards"
    )
    assert [text.split()[1] for text in (printed, rest)] == [str(len(found)), str(2 - len(found))]
    rows = rows_of(place.folder / "shards")
    assert [row["path"] for row in rows] == ["photos/0.jpg", "photos/3.jpg"]
    for row in rows:
        (segment,) = row["segments"]
        result = place.client.segment(row["path"], model="sam-2", boxes=[(10, 10, 90, 90)])
        assert mask_of({"segmentation": segment["rle"]}) == result.segments[0].mask


def looked_at(place: Place, printed: str) -> None:
    """Demo weights are warned of; nothing has failed."""
    assert {"ok", "warning"} == {check["status"] for check in json.loads(printed)["checks"]}


EXAMPLES: dict[str, Callable[[Place, str], None]] = {
    "diptych video sample --model sam-2 --box 0:161,37,208,84 --out followed.mp4": followed_one,
    "diptych video clip.mp4 --model sam-2 --point 1@0:210,350 --point 1@40:250,300,0": corrected,
    "diptych video clip.mp4 --model sam-2 --box 40:100,80,220,260 --direction both "
    "--out all.mp4": both_ways,
    "diptych video frames --compare --box 0:100,80,220,260 --out side.mp4": side_by_side_frames,
    "diptych video clip.mp4 --model sam-2 --point 0:210,350 --json > masks.jsonl": told,
    "diptych batch photos --model mask-rcnn --coco --out found": kept,
    'diptych batch "photos/*.jpg" --model sam-2 --box 10,10,90,90 --shard 0/2 --out shards': (
        kept_in_shards
    ),
    "diptych doctor --json > doctor.json": looked_at,
}
OUT_OF_REACH = {
    "diptych video camera:0 --model mask-rcnn --track-all --show",
    "diptych video rtsp://host/stream --model mask-rcnn --track-all --duration 60 --out seen.mp4",
    "diptych doctor gateway.example:443 --ca ca.crt --token-file token",
}
"""Examples that want a camera or another machine: test_client_camera.py and test_client_doctor.py
have them."""


def test_every_example_of_help_is_looked_at(capsys: pytest.CaptureFixture[str]) -> None:
    for command in main.commands:
        text = CliRunner().invoke(main, [command, "--help"], terminal_width=200).stdout
        sys.stdout.write(text)
    service = ServiceSpec("a-model", 1, "none:create", official=(), converter="")
    for ask in (gateway, partial(run, service)):
        for words in (["--help"], ["token", "--help"], ["pull", "--help"]):
            with pytest.raises(SystemExit):
                ask(words)
    shown = re.findall(r"^ +(diptych\S* [a-z]+ \S* ?--.*)$", capsys.readouterr().out, re.MULTILINE)
    assert [line for line in shown if line not in OUT_OF_REACH] == [*EXAMPLES]
    assert set(shown) >= OUT_OF_REACH


@pytest.mark.parametrize("line", EXAMPLES, ids=lambda line: re.sub(r"\W+", "-", line)[14:60])
def test_examples_of_help(line: str, place: Place) -> None:
    for out in (after for word, after in pairwise(shlex.split(line)) if word == "--out"):
        remove(place.folder / out)
    with place.instead("frames", "shown"), place.instead("clip.mp4", "short.mp4", "--json" in line):
        EXAMPLES[line](place, place.run(line))
