"""Cards as a table, as Markdown and as files that Hugging Face reads."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import pytest
import yaml
from click.testing import CliRunner, Result

from diptych import AnswerTime, KnownModel, Metric, ModelStats, Task, UnavailableError
from diptych._export.card_markdown import card_file, cards_table, escape
from diptych._export.card_rows import card_rows
from diptych.cli import main
from diptych.documents.cards import cards_document
from diptych.segment import v1 as pb
from diptych.testing import FakeSegmentService
from diptych.testing._replies import default_card
from diptych.wire.cards import read_card

# What pages that compare models open with, in the order that people know from them.
KNOWN_ROWS = [
    "Organisation",
    "Category",
    "Modality",
    "Release date",
    "Context window",
    "Parameters",
    "Licence",
    "Instance segmentation",
    "Keypoint detection",
    "Object detection",
    "Foundation vision",
]
# What the comparison is promised to hold besides, in this order.
PROMISED = [
    "The architecture",
    "The weights",
    "Answers take",
    "Memory",
    "Measured on",
    "Published figures",
    "Architecture",
    "Implementations state",
    "About the licences",
    "Prompted segmentation",
    "Video segmentation",
    "Point prompts",
    "Box prompts",
    "Mask prompts",
    "Text prompts",
    "Class labels",
    "Boxes",
    "Masks",
    "Keypoints",
    "Objects through video",
    "Class list",
    "Zero-shot",
    "Features",
    "Weights loaded",
    "Where it is used",
    "Intended uses",
    "Limitations",
]
HOSTILE = '"]: - {x}\u2028\u0085\ufeff 😀 \'--- # |`<b onclick="x">\\'
Run = Callable[..., Result]


def known(model_id: str = "one", **changes: Any) -> KnownModel:
    return KnownModel(model_id, replace(read_card(default_card(model_id)), **changes), None)


def stats(**changes: Any) -> ModelStats:
    nothing = dict.fromkeys(
        ["queue_length", "running_count", "session_count", "held_image_count", "held_bytes"], 0
    ) | dict.fromkeys(["image_cache_hit_count", "encoder_run_count", "engine_restart_count"], 0)
    return ModelStats(**{"outcomes": {"OK": 1234}, "stages": {}, **nothing, **changes})


def cells(models: list[KnownModel], told: Mapping[str, ModelStats]) -> dict[str, list[list[str]]]:
    return {
        row.name: [[item.text for item in cell] for cell in row.cells]
        for row in card_rows(models, told)
    }


def metadata(text: str) -> dict[str, Any]:
    _, front, _ = text.split("---\n", 2)
    found = yaml.safe_load(front)
    assert isinstance(found, dict)
    return found


def test_the_table_has_every_row_that_is_promised_in_order() -> None:
    names = [row.name for row in card_rows([known()], {})]
    assert names[: len(KNOWN_ROWS)] == KNOWN_ROWS
    assert [name for name in names if name in PROMISED] == PROMISED
    assert len(set(names)) == len(names)


def test_a_feature_is_no_fact_that_other_models_are_told_to_lack() -> None:
    found = cells([known("one", features=("instance masks", "telepathy")), known("two")], {})
    assert found["Features"] == [["instance masks", "telepathy"], ["deterministic"]]
    assert "instance masks" not in found
    assert found["Masks"] == [["yes"], ["yes"]]


@pytest.mark.parametrize(
    ("tasks", "labels", "held"),
    [
        ("PROMPTED_SEGMENTATION", False, {"Boxes", "Masks"}),
        ("INSTANCE_SEGMENTATION", True, {"Class labels", "Boxes", "Masks"}),
        ("OBJECT_DETECTION", True, {"Class labels", "Boxes"}),
        ("KEYPOINT_DETECTION", False, {"Boxes", "Keypoints"}),
        ("VIDEO_SEGMENTATION", False, {"Boxes", "Masks", "Objects through video"}),
    ],
)
def test_what_answers_hold_follows_from_tasks_also_for_servers_that_do_not_say_it(
    tasks: str, labels: bool, held: set[str]
) -> None:
    message = default_card("one")
    del message.tasks[:], message.output_kinds[:]
    message.tasks.append(pb.Task.Value(f"TASK_{tasks}"))
    if not labels:
        del message.categories[:]
    found = cells([KnownModel("one", read_card(message), None)], {})
    names = ("Class labels", "Boxes", "Masks", "Keypoints", "Objects through video")
    assert {name for name in names if found[name] == [["yes"]]} == held


def test_architecture_and_weights_are_told_apart() -> None:
    found = cells([known()], {})
    assert found["Architecture"] == [["Rectangle, published by Euclid"]]
    assert found["The architecture"] == [["Draws rectangles."]]
    assert found["Where it is used"] == [["Geometry."]]
    assert found["The weights"] == [["Nothing was trained."]]


def test_a_card_with_one_text_for_both_still_has_it() -> None:
    found = cells([known(architecture=None, weights_overview="", overview="Old card.")], {})
    assert found["The architecture"] == [["Old card."]]
    assert found["Architecture"] == found["The weights"] == found["Where it is used"] == [[]]


def test_each_licence_is_named_once_with_what_it_is_for() -> None:
    same = replace(read_card(default_card("x")).licenses, weights="MIT", code="MIT")
    (row,) = [r for r in card_rows([known(), known(licenses=same)], {}) if r.name == "Licence"]
    assert [[(item.text, item.note) for item in cell] for cell in row.cells] == [
        [("Apache-2.0", "code here"), ("CC0-1.0", "weights"), ("MIT", "publication")],
        [("MIT", "code here, weights, publication")],
    ]
    found = cells([known()], {})
    assert found["Implementations state"] == [["The ruler: MIT"]]
    assert found["About the licences"] == [["A rectangle is not licensed."]]


def test_parameters_are_counted_and_given_with_the_range_of_the_variants() -> None:
    (row,) = [row for row in card_rows([known()], {}) if row.name == "Parameters"]
    assert [(item.text, item.note) for item in row.cells[0]] == [
        ("1,000", "others to load: 2,000 to 2,000")
    ]


def test_measured_figures_say_on_what_they_were_measured() -> None:
    told = stats(
        answer_times=(
            AnswerTime(Task.PROMPTED_SEGMENTATION, False, 500, 0.25, 1.5),
            AnswerTime(Task.PROMPTED_SEGMENTATION, True, 1, 0.0042, 0.0042),
        ),
        counting_since=datetime(2026, 3, 4, 5, 6, tzinfo=timezone.utc),
        device="cpu Some Processor",
        engine_memory_bytes=600_000_000,
        engine_peak_memory_bytes=712_000_000,
        device_peak_memory_bytes=1_500_000_000,
    )
    found = cells([known()], {"one": told})
    assert found["Answers take"] == [
        [
            "prompted segmentation: p50 250 ms, p95 1,500 ms (the newest 500 answers)",
            "prompted segmentation, picture held: p50 4.2 ms, p95 4.2 ms (1 answer)",
        ]
    ]
    assert found["Memory"] == [["process: 600 MB, at most 712 MB", "GPU: at most 1,500 MB"]]
    assert found["Measured on"] == [
        ["cpu Some Processor; 1,234 requests answered since 2026-03-04 05:06 UTC"]
    ]


def test_nothing_measured_is_not_a_figure() -> None:
    found = cells([known()], {"one": stats(outcomes={})})
    assert found["Answers take"] == [["not measured: no picture was answered yet"]]
    assert found["Memory"] == [[]]
    assert cells([known()], {})["Answers take"] == [[]]


def test_a_figure_that_a_card_says_was_measured_here_is_not_a_published_one() -> None:
    here = Metric("frames a second", 12.5, "1/s", "960x540", "")
    found = cells([known(metrics=(here,))], {})
    assert found["Published figures"] == [[]]
    assert found["Answers take"] == [["frames a second: 12.5 1/s on 960x540"]]


def test_a_model_that_was_never_seen_has_a_status_and_nothing_else() -> None:
    gone = KnownModel("gone", None, UnavailableError("cannot be reached"))
    found = cells([known(), gone], {})
    assert [name for name, (_, second) in found.items() if second] == ["Status"]
    assert found["Status"][1] == ["cannot be reached"]
    table = cards_table([known(), gone], {}).splitlines()
    assert "| Organisation | Nobody | - |" in table
    heads = cards_document([known(), gone], {})["models"]
    assert heads == [
        {"model_id": "one", "name": "One", "problem": ""},
        {"model_id": "gone", "name": "gone", "problem": "cannot be reached"},
    ]
    with pytest.raises(ValueError, match="gone: no card was seen"):
        card_file(gone, None)


@pytest.mark.parametrize(
    ("text", "written"),
    [
        ("a|b <i>", "a\\|b \\<i\\>"),
        ("- item", "\\- item"),
        ("3. step", "3\\. step"),
        ("![x](y)", "\\!\\[x\\](y)"),
        ("two\nlines", "two lines"),
    ],
)
def test_text_stays_text_in_markdown(text: str, written: str) -> None:
    assert escape(text) == written


def test_a_card_file_is_one_that_hugging_face_reads() -> None:
    url = "https://example.org/paper"
    metrics = (Metric("mask AP", 37.9, "%", "COCO val2017", url), Metric("p50", 1.0, "ms", "", ""))
    text = card_file(known(metrics=metrics, features=("class labels",)), stats())
    found = metadata(text)
    assert (found["license"], found["library_name"]) == ("cc0-1.0", "diptych")
    assert found["pipeline_tag"] == "image-segmentation"
    assert found["tags"][0] == "vision"
    assert "class labels" in found["tags"]
    (entry,) = found["model-index"]
    (result,) = entry["results"]
    assert result["dataset"] == {"name": "COCO val2017", "type": "coco-val2017"}
    assert result["metrics"][0]["value"] == 37.9
    assert result["source"] == {"url": url}
    titles = [line[3:] for line in text.splitlines() if line.startswith("## ")]
    assert titles == [
        "Uses of the architecture",
        "Intended uses",
        "Bias, risks and limitations",
        "How to get started",
        "Model details",
        "Tasks and features",
        "Evaluation",
        "References",
    ]
    sha256 = default_card("one").weights[0].sha256.hex()
    assert f"`sha256:{sha256}`" in text


def test_a_class_agnostic_model_makes_masks_and_an_unknown_licence_is_named() -> None:
    card = known(
        categories=(), licenses=replace(read_card(default_card("x")).licenses, weights="Mine: 1")
    )
    found = metadata(card_file(card, None))
    assert found["pipeline_tag"] == "mask-generation"
    assert (found["license"], found["license_name"]) == ("other", "Mine: 1")


def test_no_text_of_a_card_breaks_its_file() -> None:
    card = known(
        display_name=HOSTILE,
        overview=f"{HOSTILE}\n\n---\n\n**bold** and `code | here`",
        features=(HOSTILE, "yes", "null", "1.5"),
        limitations=(HOSTILE,),
        references=("javascript:alert(1)",),
        metrics=(Metric(HOSTILE, 1.0, "%", HOSTILE, HOSTILE),),
    )
    text = card_file(card, None)
    found = metadata(text)
    assert found["tags"][-4:] == [HOSTILE, "yes", "null", "1.5"]
    assert found["model-index"][0]["name"] == HOSTILE
    assert "<b onclick" not in text.split("---\n", 2)[2].replace("\\<b onclick", "")
    assert "](<javascript" not in text
    assert "**bold** and `code \\| here`" in text


@pytest.fixture
def run(service: FakeSegmentService) -> Run:
    def invoke(*arguments: object) -> Result:
        environment = {"DIPTYCH_ADDRESS": service.address}
        return CliRunner().invoke(main, ["cards", *map(str, arguments)], env=environment)

    return invoke


def test_the_command_writes_a_file_for_each_model(
    run: Run, service: FakeSegmentService, tmp_path: Path
) -> None:
    done = run("--write", tmp_path / "new")
    assert done.exit_code == 0, done.stderr
    paths = [tmp_path / "new" / name / "README.md" for name in ("one", "two")]
    assert done.stdout.split() == [str(path) for path in paths]
    assert all(metadata(path.read_text())["license"] == "cc0-1.0" for path in paths)


def test_an_id_that_leads_out_of_the_folder_is_refused(
    service: FakeSegmentService, tmp_path: Path
) -> None:
    with FakeSegmentService(models=("../two",)) as hostile:
        arguments = ["cards", "--write", str(tmp_path / "in"), "--address", hostile.address]
        done = CliRunner().invoke(main, arguments)
    assert done.exit_code == 1
    assert "'../two' cannot be a folder's name" in done.stderr
    assert list(tmp_path.rglob("*.md")) == []


def test_a_model_service_has_a_table_of_its_own(run: Run, service: FakeSegmentService) -> None:
    json.loads(run("--json").stdout)
    with FakeSegmentService(models=("alone",), gateway=False) as alone:
        done = CliRunner().invoke(main, ["cards", "--address", alone.address])
    assert "reachable" in done.stdout
    assert "not measured: no picture was answered yet" in done.stdout


@pytest.mark.parametrize("columns", [80, 40, 200])
def test_no_line_of_the_table_is_wider_than_the_terminal(columns: int) -> None:
    long = "A sentence that goes on for longer than any terminal is wide, so that it has to wrap. "
    url = f"https://example.org/{'a' * 90}"

    def card(model_id: str) -> pb.ModelCard:
        made = default_card(model_id)
        made.architecture.overview = f"**Bold** {long * 3}\n\n{long}"
        made.limitations.append(long * 2)
        made.references.append(url)
        made.organization = long
        return made

    with FakeSegmentService(models=[f"a-model-with-a-name-{n}" for n in range(4)]) as many:
        for model_id in many.models:
            many.cards[model_id] = card(model_id)
        environment = {"DIPTYCH_ADDRESS": many.address, "COLUMNS": str(columns)}
        done = CliRunner().invoke(main, ["cards"], env=environment)
    assert done.exit_code == 0, done.stderr
    lines = done.stdout.splitlines()
    assert max(map(len, lines)) <= columns
    told = "".join("".join(lines).split())
    assert told.count("".join(f"Bold {long * 3}{long}".split())) == 4
    assert told.count(url) == 4
    assert told.count("Foundationvision") == {80: 2, 40: 4, 200: 1}[columns]


def test_rows_of_one_line_stand_close(service: FakeSegmentService) -> None:
    environment = {"DIPTYCH_ADDRESS": service.address, "COLUMNS": "80"}
    told = CliRunner().invoke(main, ["cards"], env=environment).stdout
    names = [line[:22].strip() for line in told.splitlines()]
    at = names.index("Category")
    assert names[at : at + 3] == ["Category", "Modality", "Release date"]
    below = names[names.index("Parameters") :]
    assert below[: below.index("Licence")][-1] == ""  # what took several lines ends with a gap
