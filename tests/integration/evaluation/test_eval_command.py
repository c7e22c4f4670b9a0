"""``diptych eval`` as people run it."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml
from click.testing import CliRunner, Result
from judged import COARSE, GOOD, judged

from diptych.cli import main
from diptych.testing import FakeSegmentService

COUNT = 10
Judged = tuple[Path, FakeSegmentService]
TASKS = ("--task", "instances", "--bootstrap", "20")


@pytest.fixture
def stage(tmp_path: Path) -> Iterator[Judged]:
    with judged(tmp_path / "data", COUNT) as running:
        yield running


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path, str]:
    """A data set, results of a whole run, and what it printed; nothing listens any more."""
    folder = tmp_path_factory.mktemp("whole")
    with judged(folder / "data", COUNT) as (dataset, service):
        done = invoke(service, str(dataset), *TASKS, "--out", str(folder / "out"))
    assert done.exit_code == 0, done.output
    return dataset, folder / "out", done.stdout


def invoke(service: FakeSegmentService | None, *arguments: str) -> Result:
    address = ["--address", service.address] if service else []
    wide = {"COLUMNS": "200"}  # whatever the terminal of the tests is
    return CliRunner().invoke(main, ["eval", *arguments, *address], env=wide, prog_name="diptych")


def figures(out: Path) -> Any:
    """``metrics.json`` but for what answers cost."""
    document = json.loads((out / "metrics.json").read_text())
    for model in document["models"]:
        model["values"] = {k: v for k, v in model["values"].items() if not k.startswith("cost/")}
        model["tables"] = [table for table in model["tables"] if table["name"] != "cost"]
    return document


def test_a_table_a_verdict_and_files(whole: tuple[Path, Path, str]) -> None:
    _, out, printed = whole
    assert re.search(rf"figure +{GOOD} +{COARSE}", printed)
    assert re.search(r"segm/AP +1\.000 +0\.\d{3}", printed)
    assert re.search(rf"segm/AP +{COARSE} +{GOOD} +-0\.\d+ +\[-0\.\d+, -0\.\d+\]", printed)
    assert f"Report: {out / 'report.html'}" in printed
    there = {str(path.relative_to(out)) for path in out.rglob("*") if path.is_file()}
    assert there >= {
        *("metrics.json", "run.json", "report.html", "report.md", "per_picture.csv"),
        *("coco/truth.json", f"coco/{GOOD}/instances.json"),
        *(f"predictions/{model}/instances.jsonl" for model in (GOOD, COARSE)),
    }
    results = json.loads((out / "coco" / GOOD / "instances.json").read_text())
    assert {each["image_id"] for each in results} == set(range(1, COUNT + 1))
    run = json.loads((out / "run.json").read_text())
    assert run["options"]["seed"] == 0
    assert run["versions"]["diptych"]
    assert "ended" in run
    assert '"ended":' not in (out / "metrics.json").read_text()


SEGM = ("AP", "AP50", "AP75", "AP-small", "AP-medium", "AP-large")
SEGM += ("AR1", "AR10", "AR100", "AR-small", "AR-medium", "AR-large")
"""The twelve statistics of pycocotools, by our names."""


def test_results_in_coco_form_are_what_pycocotools_takes(whole: tuple[Path, Path, str]) -> None:
    from pycocotools.coco import COCO
    from pycocotools.cocoeval import COCOeval

    _, out, _ = whole
    truth = COCO(str(out / "coco" / "truth.json"))
    for model in (GOOD, COARSE):
        found = truth.loadRes(str(out / "coco" / model / "instances.json"))
        judge = COCOeval(truth, found, "segm")
        judge.evaluate()
        judge.accumulate()
        judge.summarize()
        (mine,) = (each for each in figures(out)["models"] if each["model_id"] == model)
        for name, stat in zip(SEGM, judge.stats, strict=True):
            # pycocotools says -1 where there is nothing of a size
            assert mine["values"][f"segm/{name}"]["value"] == (None if stat < 0 else stat), name


def test_one_seed_gives_one_result(stage: Judged, tmp_path: Path) -> None:
    dataset, service = stage
    for name, jobs in (("a", "1"), ("b", "4")):
        done = invoke(service, str(dataset), *TASKS, "--jobs", jobs, "--out", str(tmp_path / name))
        assert done.exit_code == 0, done.output
    assert figures(tmp_path / "a") == figures(tmp_path / "b")
    one, other = (tmp_path / name / "coco" / COARSE / "instances.json" for name in "ab")
    assert one.read_bytes() == other.read_bytes()


def test_a_run_that_was_killed_goes_on(stage: Judged, tmp_path: Path) -> None:
    dataset, service = stage
    service.delay_s = 0.03
    out, jobs = tmp_path / "out", 2
    arguments = [str(dataset), *TASKS, "--model", GOOD, "--jobs", str(jobs), "--out", str(out)]
    command = [sys.executable, "-m", "diptych.cli", "eval", *arguments]
    environment = {**os.environ, "DIPTYCH_ADDRESS": service.address}
    with subprocess.Popen(command, env=environment, stderr=subprocess.PIPE) as process:
        service.wait_for_requests(4, timeout=60)
        process.send_signal(signal.SIGKILL)
        process.wait(30)
    asked = len(service.requests)
    assert asked < COUNT
    file = out / "predictions" / GOOD / "instances.jsonl"
    with file.open("ab") as torn:
        torn.write(b'{"name":"01')
    service.delay_s = 0.0
    done = invoke(service, *arguments)
    assert done.exit_code == 0, done.output
    assert "the last line was cut off" in done.stderr
    # All but what was flushed: what was on its way when the process died is asked again.
    assert len(service.requests) <= COUNT + jobs
    other = invoke(service, *arguments[:-1], str(tmp_path / "other"))
    assert other.exit_code == 0
    assert figures(out) == figures(tmp_path / "other")


def test_a_floor_that_is_missed_is_an_error(stage: Judged, tmp_path: Path) -> None:
    dataset, service = stage
    given = [str(dataset), "--task", "instances", "--bootstrap", "0", "--limit", "4"]
    given += ["--out", str(tmp_path / "out")]
    floors = ["--fail-under", f"{GOOD}:segm/AP=0.99", "--fail-under", f"{COARSE}:segm/AP=0.95"]
    done = invoke(service, *given, *floors)
    assert done.exit_code == 1
    (line,) = (each for each in done.stderr.splitlines() if "segm/AP" in each)
    assert re.fullmatch(rf"diptych: {COARSE}: segm/AP is 0\.\d{{4}}, expected at least 0\.95", line)
    assert invoke(service, *given, *floors[:2]).exit_code == 0
    done = invoke(service, *given, "--fail-under", f"{GOOD}:segm/AB=1")
    assert done.exit_code == 1
    assert "has no figure 'segm/AB'" in done.stderr


def test_a_dry_run_asks_for_no_more_than_a_picture(stage: Judged, tmp_path: Path) -> None:
    dataset, service = stage
    out = tmp_path / "out"
    done = invoke(service, str(dataset), "--task", "instances", "--dry-run", "--out", str(out))
    assert done.exit_code == 0, done.output
    assert re.search(rf"{GOOD} +instances +{COUNT} +0 +{COUNT} +0\.0 +0 s", done.stdout)
    assert len(service.requests) <= 2
    assert not out.exists()


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["nowhere"], "'nowhere' does not exist"),
        (["DATA"], "Missing option '--out'"),
        (["DATA", "--out", "OUT", "--map", "a"], "expected NAME=MODEL-NAME, got 'a'"),
        (["DATA", "--out", "OUT", "--clicks", "1,0"], "such as 1,3,5, got '1,0'"),
        (["DATA", "--out", "OUT", "--fail-under", "segm/AP"], "expected MODEL:FIGURE=FLOOR"),
        (["DATA", "--out", "OUT", "--fail-under", "a:b=nan"], "expected MODEL:FIGURE=FLOOR"),
        (["DATA", "--out", "OUT", "--model", "x"], "model 'x': expected one of good, coarse"),
        (["DATA", "--out", "OUT", "--task", "keypoints"], "instances has labels for"),
        (["report", "OUT/.."], "metrics.json"),
    ],
)
def test_wrong_usage(stage: Judged, tmp_path: Path, arguments: list[str], said: str) -> None:
    dataset, service = stage
    places = {"DATA": str(dataset), "OUT": str(tmp_path / "out"), "OUT/..": str(tmp_path)}
    given = [places.get(each, each) for each in arguments]
    report = given[0] == "report"
    done = invoke(None if report else service, *given)
    assert done.exit_code == (1 if report else 2)
    assert said in " ".join(done.stderr.split())
    assert not service.requests


def test_nobody_there(stage: Judged, tmp_path: Path) -> None:
    arguments = ["eval", str(stage[0]), "--out", str(tmp_path / "out"), "--address", "127.0.0.1:9"]
    assert CliRunner().invoke(main, arguments).exit_code == 3


def test_check_says_what_is_there(stage: Judged) -> None:
    dataset, service = stage
    done = invoke(None, "check", str(dataset))
    assert done.exit_code == 0
    assert f"{COUNT} pictures, {3 * COUNT} objects, 2 classes" in done.stdout
    (dataset.parent / "images" / "003.png").unlink()
    done = invoke(None, "check", str(dataset))
    assert done.exit_code == 1
    assert "003.png" in done.stderr
    assert not service.requests


def test_the_report_is_written_again(whole: tuple[Path, Path, str]) -> None:
    _, out, printed = whole
    before = (out / "report.html").read_bytes()
    (out / "report.html").unlink()
    done = invoke(None, "report", str(out))
    assert done.exit_code == 0, done.output
    assert done.stdout == printed
    assert (out / "report.html").read_bytes() == before


def test_two_runs_are_compared(
    whole: tuple[Path, Path, str], stage: Judged, tmp_path: Path
) -> None:
    """The coarse model got better."""
    dataset, service = stage
    better = tmp_path / "better"
    good = service._answers[GOOD]
    service.answer_with(lambda call: good(replace(call, model_id=GOOD)), model=COARSE)
    arguments = [str(dataset), *TASKS, "--model", COARSE, "--out", str(better)]
    assert invoke(service, *arguments).exit_code == 0
    done = invoke(None, "compare", str(whole[1]), str(better), "--bootstrap", "20")
    assert done.exit_code == 0, done.output
    row = rf"segm/AP +{COARSE} in better +{COARSE} in out +\+0\.\d+ +\[\+0\.\d+, \+0\.\d+\]"
    assert re.search(row, done.stdout)
    assert not re.search(rf"segm/AP +{COARSE} in out +{GOOD} in out", done.stdout)
    limited = tmp_path / "limited"
    assert invoke(service, *arguments[:-1], str(limited), "--limit", "3").exit_code == 0
    done = invoke(None, "compare", str(whole[1]), str(limited))
    assert done.exit_code == 2
    assert "expected limit None, as in" in " ".join(done.stderr.split())


def test_a_card_is_yaml_for_hugging_face(whole: tuple[Path, Path, str]) -> None:
    done = invoke(None, "card", str(whole[1]), "--model", GOOD)
    assert done.exit_code == 0, done.output
    (entry,) = yaml.safe_load(done.stdout)["model-index"]
    assert entry["name"] == GOOD
    first = entry["results"][0]
    assert first["task"] == {"type": "image-segmentation"}
    assert {"type": "segm/AP", "name": "segm/AP", "value": 1.0} in first["metrics"]
    assert all({"type", "name"} <= each["dataset"].keys() for each in entry["results"])
    done = invoke(None, "card", str(whole[1]), "--model", "x")
    assert done.exit_code == 2
