"""The report's files: one that asks nobody, the same bytes each time, names that break nothing."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterator
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import pytest
from PIL import Image
from report_runs import Answers, answered, drawn_clip, drawn_run

from diptych_eval.model import Dataset
from diptych_eval.report import write_report
from diptych_eval.report.page import MOST_BYTES
from diptych_eval.results import Figures, ModelFigures, Refused, Value

Run = tuple[Figures, Dataset, Answers]
HOSTILE = "<script>alert(1)</script>\"><img src=x onerror=alert(1)>\x00\u202e'&|`*_[x](y)"
VOID = {"meta", "input", "br", "image", "line", "rect", "circle", "polyline"}


class Seen(HTMLParser):
    """What is in a document; fails where an element is not closed."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str]]] = []
        self.text = ""
        self._open: list[str] = []
        self.feed(text)
        self.close()
        assert self._open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, {key: value or "" for key, value in attrs}))
        if tag not in VOID:
            self._open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, {key: value or "" for key, value in attrs}))

    def handle_endtag(self, tag: str) -> None:
        assert self._open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self._open[-1:] not in (["script"], ["style"]):
            self.text += data

    def all(self, tag: str) -> Iterator[dict[str, str]]:
        return (attributes for name, attributes in self.elements if name == tag)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    return drawn_run(tmp_path_factory.mktemp("run"), pictures=4)


def written(out: Path, run: Run) -> str:
    out.mkdir(exist_ok=True)
    write_report(out, *run)
    return (out / "report.html").read_text()


def test_it_is_one_file_that_asks_nobody(tmp_path: Path, run: Run) -> None:
    text = written(tmp_path, run)
    seen = Seen(text)
    for tag, attributes in seen.elements:
        assert tag not in {"link", "iframe", "object", "embed", "base", "form", "video", "audio"}
        loads = {"src", "srcset", "href", "xlink:href", "poster", "data", "background", "action"}
        for name in loads & set(attributes):
            assert tag == "a" or attributes[name].startswith(("#", "data:image/webp;")), attributes
        assert not [name for name in attributes if name.startswith("on") or name == "style"]
    assert [u for u in re.findall(r"url\(([^)]*)\)", text) if not u.startswith("#")] == []
    assert "@import" not in text
    policy = next(e["content"] for e in seen.all("meta") if "content-security" in str(e).lower())
    assert policy.startswith("default-src 'none'; img-src data:; ")
    assert "unsafe" not in policy
    ids = [attributes["id"] for _, attributes in seen.elements if "id" in attributes]
    assert len(ids) == len(set(ids))
    assert {e["href"][1:] for e in seen.all("use")} <= set(ids)
    assert {e["href"][1:] for e in seen.all("a") if e["href"][0] == "#"} <= set(ids)


def test_the_same_input_gives_the_same_bytes(tmp_path: Path, run: Run) -> None:
    first, second = tmp_path / "1", tmp_path / "2"
    written(first, run)
    written(second, run)
    names = sorted(path.name for path in first.iterdir())
    assert names == ["per_picture.csv", "report.html", "report.md"]
    assert all((first / n).read_bytes() == (second / n).read_bytes() for n in names)


def test_hostile_names_are_text(tmp_path: Path, run: Run) -> None:
    figures, dataset, answers = run
    picture = replace(dataset.pictures[0], name=HOSTILE)
    categories = tuple(replace(each, name=f"{HOSTILE}{each.id}") for each in dataset.categories)
    model = figures.models[0]
    hostile = replace(
        model,
        model_id=HOSTILE,
        per_picture={"segm/PQ": {HOSTILE: 0.1}},
        per_class={each.name: {"segm/AP": Value(0.5)} for each in categories},
        notes=(HOSTILE,),
        tables=tuple(replace(t, name=f"{t.name} {HOSTILE}", note=HOSTILE) for t in model.tables),
        curves=tuple(replace(c, name=HOSTILE, x_label=HOSTILE) for c in model.curves),
    )
    bad = replace(
        figures,
        dataset=HOSTILE,
        models=(hostile, figures.models[1]),
        warnings=(HOSTILE,),
        refused=(Refused(HOSTILE, HOSTILE, HOSTILE, HOSTILE),),
        options={HOSTILE: HOSTILE},
        provenance={HOSTILE: {HOSTILE: HOSTILE}},
        published={HOSTILE: {HOSTILE: {"value": HOSTILE, "source": f"javascript:{HOSTILE}"}}},
    )
    shown = replace(dataset, pictures=(picture,), categories=categories)
    answer = answers["mask-rcnn"]["instances"][dataset.pictures[0].name]
    text = written(tmp_path, (bad, shown, {HOSTILE: {"instances": {HOSTILE: answer}}}))
    seen = Seen(text)
    assert len(list(seen.all("script"))) == 1
    assert list(seen.all("img")) == []
    assert not [e for e in seen.all("a") if e["href"].startswith("javascript:")]
    assert "<script>alert(1)</script>" in seen.text
    assert not set("\x00\u202e") & set(text)
    short = (tmp_path / "report.md").read_text()
    assert "<script" not in short.replace("\\<script", "")
    assert "](" not in short.replace("\\](", "")
    rows = list(csv.reader(io.StringIO((tmp_path / "per_picture.csv").read_text(), newline="")))
    assert {len(row) for row in rows} == {2 + len(rows[0][2:])}


def test_a_name_that_is_no_text_can_be_written(tmp_path: Path, run: Run) -> None:
    figures, dataset, _ = run
    model = ModelFigures("m", per_picture={"segm/PQ": {"bad\udcff.jpg": 0.5}})
    text = written(tmp_path, (replace(figures, models=(model,), differences=()), dataset, {}))
    assert "bad�.jpg" in text


def test_a_figure_that_is_none_says_why(tmp_path: Path, run: Run) -> None:
    seen = Seen(written(tmp_path, run))
    assert seen.text.count("nonea") == 4  # a cell of each model, with the letter of its reason
    for reason in ("the data set labels no key points", "no object of this class is labelled"):
        assert seen.text.count(f"a {reason}") == 1


def test_one_model_alone(tmp_path: Path, run: Run) -> None:
    figures, dataset, answers = run
    alone = replace(figures, models=figures.models[:1], differences=())
    seen = Seen(written(tmp_path, (alone, dataset, answers)))
    assert "one model alone, so nothing to compare with" in seen.text
    assert "Where the models differ most" not in seen.text
    assert "Where the model does worst" in seen.text


def test_no_picture_and_no_model(tmp_path: Path, run: Run) -> None:
    figures, dataset, _ = run
    empty = replace(dataset, pictures=())
    nothing = Figures(
        "x", "", 0, 0, (ModelFigures("m", {"segm/AP": Value(None, 0, "no picture")}),)
    )
    assert "Nothing was evaluated" in Seen(written(tmp_path, (nothing, empty, {}))).text
    assert "Nothing was evaluated" in (tmp_path / "report.md").read_text()
    none = replace(nothing, models=())
    assert "No model was evaluated" in Seen(written(tmp_path, (none, empty, {}))).text
    assert figures.models  # the run itself is as it was


def test_eight_models_and_eighty_classes_stay_small(tmp_path: Path) -> None:
    models = [f"model-{index}" for index in range(8)]
    classes = [f"class {index}" for index in range(80)]
    (tmp_path / "p").mkdir()
    run = drawn_run(tmp_path / "p", pictures=3, models=models, classes=classes)
    text = written(tmp_path, run)
    assert len(text.encode()) <= MOST_BYTES
    seen = Seen(text)
    assert "rows with less confusion" in seen.text
    assert sum(e.get("class") == "figures" for e in seen.all("table")) >= 7


def test_however_many_large_pictures_it_stays_small(
    tmp_path: Path, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("diptych_eval.report.page.MOST_BYTES", 400_000)
    figures, dataset, answers = run
    noise = Image.effect_noise((400, 300), 90).convert("RGB")
    noise.save(tmp_path / "noise.jpg")
    picture = replace(dataset.pictures[0], path=tmp_path / "noise.jpg", height=300, width=400)
    names = [f"{index:03}.jpg" for index in range(22)]
    many = tuple(replace(picture, name=name, truths=()) for name in names)
    ranked = {name: index / 22 for index, name in enumerate(names)}
    models = tuple(
        replace(m, per_picture={"segm/PQ": {n: v / (k + 1) for n, v in ranked.items()}})
        for k, m in enumerate(figures.models)
    )
    big = (replace(figures, models=models), replace(dataset, pictures=many), answers)
    text = written(tmp_path / "out", big)
    assert len(text.encode()) <= 400_000
    assert sum(1 for _ in Seen(text).all("image")) == 22


def test_pictures_are_drawn_with_truth_answers_and_a_wipe(tmp_path: Path, run: Run) -> None:
    dataset = run[1]
    seen = Seen(written(tmp_path, run))
    names = {truth.category_id for picture in dataset.pictures for truth in picture.truths}
    looks = [e["class"] for e in seen.all("path")]
    assert set(looks) <= {f"c{each}" for each in range(12)}
    assert len(set(looks)) == len({each % 12 for each in names})
    assert len(looks) == 3 * sum(len(each.truths) for each in dataset.pictures)
    assert sum(e.get("class") == "wipe" for e in seen.all("figure")) == len(dataset.pictures)
    assert len(list(seen.all("image"))) == len(dataset.pictures)


def test_key_points_are_dots_beside_the_outline(tmp_path: Path, run: Run) -> None:
    figures, dataset, _ = run
    truth = replace(dataset.pictures[0].truths[0], keypoints=(20.0, 30.0, 2.0, 0.0, 0.0, 0.0))
    bare = replace(truth, mask=None)
    shown = replace(dataset, pictures=(replace(dataset.pictures[0], truths=(truth, bare)),))
    both, dots = [e["d"] for e in Seen(written(tmp_path, (figures, shown, {}))).all("path")]
    assert dots == "M18.0 30.0h4"
    assert both.endswith(f"z{dots}")


def test_a_picture_that_is_gone_or_of_another_size_is_named(tmp_path: Path, run: Run) -> None:
    figures, dataset, answers = run
    gone = replace(dataset.pictures[0], path=tmp_path / "gone.png")
    other = replace(dataset.pictures[1], height=77)
    changed = replace(dataset, pictures=(gone, other, *dataset.pictures[2:]))
    seen = Seen(written(tmp_path, (figures, changed, answers)))
    assert "Cannot be shown: No such file or directory" in seen.text
    assert "Cannot be shown: expected 320 x 77 pixels, got 320 x 240" in seen.text


def test_a_turned_picture_is_shown_as_its_truth_is(tmp_path: Path, run: Run) -> None:
    figures, dataset, _ = run
    exif = Image.Exif()
    exif[0x0112] = 6  # a quarter to the right
    Image.open(dataset.pictures[0].path).save(tmp_path / "turned.jpg", exif=exif)
    upright = replace(dataset.pictures[0], path=tmp_path / "turned.jpg", height=320, width=240)
    stored = replace(upright, height=240, width=320)
    for picture, width in ((upright, "240"), (stored, "320")):
        shown = replace(dataset, pictures=(replace(picture, truths=()), *dataset.pictures[1:]))
        seen = Seen(written(tmp_path, (figures, shown, {})))
        widths = [e["width"] for e in seen.all("image")]
        assert widths.count(width) == (1 if width == "240" else 4)


def test_clips_show_the_frame_in_their_middle(tmp_path: Path, run: Run) -> None:
    figures, dataset, _ = run
    clip = drawn_clip(tmp_path)
    masks = {
        str(index): {
            str(key): {"size": list(mask.size), "counts": mask.to_coco().decode()}
            for key, mask in objects.items()
        }
        for index, objects in clip.labels.items()
    }
    models = tuple(
        ModelFigures(m.model_id, {"video/J&F": Value(v, 1)}, per_picture={"video/J&F": {"walk": v}})
        for m, v in zip(figures.models, (0.5, 0.7), strict=True)
    )
    answers = {m.model_id: {"video": {"walk": answered("walk", {"frames": masks})}} for m in models}
    clips = replace(dataset, pictures=(), clips=(clip,))
    followed = replace(figures, picture_count=0, models=models, differences=())
    seen = Seen(written(tmp_path, (followed, clips, answers)))
    assert "on this clip" in seen.text
    assert len(list(seen.all("path"))) == 3 * 2


def test_per_picture_csv_is_as_rfc_4180_says(tmp_path: Path, run: Run) -> None:
    figures, dataset, _ = run
    written(tmp_path, run)
    raw = (tmp_path / "per_picture.csv").read_bytes().decode()
    assert raw.count("\r\n") == raw.count("\n") == 1 + len(dataset.pictures) * len(figures.models)
    rows = list(csv.DictReader(io.StringIO(raw, newline="")))
    for row in rows:
        model = next(each for each in figures.models if each.model_id == row["model"])
        for figure, known in model.per_picture.items():
            assert float(row[figure]) == known[row["name"]]


def test_an_interrupted_report_leaves_the_earlier_one(
    tmp_path: Path, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = written(tmp_path, run)

    def full(*_: object) -> None:
        raise OSError("no space left")

    monkeypatch.setattr("diptych_eval.report.writing.os.replace", full)
    with pytest.raises(OSError, match="no space left"):
        write_report(tmp_path, replace(run[0], dataset="other"), *run[1:])
    assert (tmp_path / "report.html").read_text() == before
    assert len(list(tmp_path.iterdir())) == 3
