"""The command line: output, files and exit codes."""

from __future__ import annotations

import base64
import contextlib
import json
import os
import pty
import re
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner, Result
from interruptible import COMMAND
from PIL import Image

from diptych import Mask, ServingStatus
from diptych.cli import main
from diptych.segment import v1 as pb
from diptych.testing import FakeSegmentService

Run = Callable[..., Result]


@pytest.fixture
def run(service: FakeSegmentService) -> Run:
    def invoke(*arguments: object) -> Result:
        environment = {"DIPTYCH_ADDRESS": service.address}
        return CliRunner().invoke(main, [str(each) for each in arguments], env=environment)

    return invoke


@pytest.fixture
def photo(tmp_path: Path, small_png: bytes) -> Path:
    path = tmp_path / "photo.png"
    path.write_bytes(small_png)
    return path


@pytest.fixture
def folder(tmp_path: Path, small_png: bytes) -> Path:
    path = tmp_path / "album"
    path.mkdir()
    for name in ("a.png", "b.jpg", "c.png"):
        (path / name).write_bytes(small_png)
    return path


def test_segment_prints_a_table(run: Run, photo: Path) -> None:
    done = run("segment", photo, "--model", "one")
    assert done.exit_code == 0
    assert "one: 1 object in 60x40 px" in done.stdout
    row = next(line for line in done.stdout.splitlines() if "rectangle" in line)
    assert row.split() == ["0", "rectangle", "0.900", "15", "10", "30", "20", "600"]


def test_segment_sends_prompts_and_options(
    run: Run, photo: Path, service: FakeSegmentService, tmp_path: Path
) -> None:
    guess = tmp_path / "guess.png"
    guess.write_bytes(Mask.from_array(np.eye(40, 60)).to_png())
    done = run(
        *("segment", photo, "--model", "one", "--point", "5,6", "--point", "7,8.5,0"),
        *("--box", "1,2,30,20", "--box", "0,0,5,5", "--mask", guess),
        *("--min-score", "0.25", "--max-segments", "3", "--all-candidates"),
    )
    assert done.exit_code == 0
    (request,) = service.requests
    by_mask, by_points, box_a, _ = request.prompts
    assert request.task == pb.Task.TASK_PROMPTED_SEGMENTATION
    assert by_mask.mask.mask.coco_rle == Mask.from_array(np.eye(40, 60)).to_coco()
    assert [(p.x_px, p.y_px, p.label) for p in by_points.points] == [(5, 6, 1), (7, 8.5, 2)]
    assert box_a.box.x_max_px == 30
    assert (request.output.min_score, request.output.max_segments) == (0.25, 3)
    assert request.output.all_candidates
    assert "prompt" in done.stdout


PROMPTS = [
    {"points": [[7, 8, False], [9, 9]], "mask": {"size": [40, 60], "counts": ""}},
    {"box": [1, 2, 30, 20]},
    {"mask": {"png": base64.b64encode(Mask.from_array(np.eye(40, 60)).to_png()).decode()}},
    {"mask": {"height": 2, "width": 1, "float16_le": "AAAAAA=="}, "points": [[5.5, 6]]},
]
PROMPTS[0]["mask"]["counts"] = Mask.from_array(np.eye(40, 60)).to_coco().decode()  # type: ignore[index]


def test_prompts_come_as_json_from_a_file_or_a_pipe(
    run: Run, photo: Path, service: FakeSegmentService, tmp_path: Path
) -> None:
    """Several objects, and what belongs together: points and box of one are no other's."""
    path = tmp_path / "prompts.json"
    path.write_text(json.dumps(PROMPTS))
    assert run("segment", photo, "--model", "one", "--prompts", path).exit_code == 0
    environment = {"DIPTYCH_ADDRESS": service.address}
    piped = CliRunner().invoke(
        main,
        ["compare", str(photo), "--prompts", "-"],
        env=environment,
        input=json.dumps(PROMPTS),
    )
    assert piped.exit_code == 0
    for request in service.requests:
        corrected, boxed, drawn, refined = request.prompts
        assert [(p.x_px, p.y_px, p.label) for p in corrected.points] == [(7, 8, 2), (9, 9, 1)]
        sent = Mask.from_coco(corrected.mask.mask.coco_rle, (40, 60))
        assert np.array_equal(sent.to_array(), np.eye(40, 60, dtype=bool))
        assert (boxed.box.x_min_px, boxed.box.y_max_px) == (1, 20)
        assert Mask.from_png(drawn.mask.mask.png) == sent
        assert refined.mask.low_res_logits.height == 2


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("{}", "prompts: expected a list"),
        ("[]", "prompts: expected a list"),
        ("[1]", "prompts[0]: expected an object"),
        ('[{"box": [1, 2, 3, 4]}, {"pionts": []}]', "prompts[1]: expected an object"),
        ('[{"points": [[1]]}]', "prompts[0]: "),
        ('[{"box": [1, 2]}]', "prompts[0]: "),
        ('[{"mask": {"size": [4, 4]}}]', "prompts[0]: mask: expected one with 'float16_le'"),
        ('[{"mask": {"size": [4, 4], "counts": "?"}}]', "prompts[0]: "),
    ],
)
def test_prompts_that_are_none_are_named(run: Run, photo: Path, text: str, said: str) -> None:
    path = photo.with_name("prompts.json")
    path.write_text(text)
    done = run("segment", photo, "--prompts", path)
    assert done.exit_code == 2
    assert said in " ".join(done.stderr.split())


@pytest.mark.parametrize(
    ("given", "points"),
    [
        (["--box", "1,2,30,20", "--point", "7,8,0"], [(7, 8, 2)]),
        (["--mask", "GUESS", "--point", "7,8,0", "--point", "9,9,0"], [(7, 8, 2), (9, 9, 2)]),
        (
            ["--one-object", "--mask", "GUESS", "--point", "7,8", "--box", "1,2,30,20"],
            [(7, 8, 1)],
        ),
    ],
    ids=["box", "mask", "all of them"],
)
def test_segment_corrects_a_box_or_a_mask(
    run: Run,
    photo: Path,
    service: FakeSegmentService,
    tmp_path: Path,
    given: list[str],
    points: list[tuple[int, int, int]],
) -> None:
    guess = tmp_path / "guess.png"
    guess.write_bytes(Mask.from_array(np.eye(40, 60)).to_png())
    named = [str(guess) if part == "GUESS" else part for part in given]
    assert run("segment", photo, "--model", "one", *named).exit_code == 0
    (prompt,) = service.requests[0].prompts
    assert [(p.x_px, p.y_px, p.label) for p in prompt.points] == points
    assert prompt.HasField("box") == ("--box" in given)
    assert prompt.HasField("mask") == ("--mask" in given)


def test_segment_json_is_one_document(run: Run, photo: Path) -> None:
    done = run("segment", photo, "--model", "one", "--point", "30,20", "--json")
    document = json.loads(done.stdout)
    (segment,) = document["segments"]
    assert document["source"] == str(photo)
    assert document["image_size"] == {"height": 40, "width": 60}
    assert document["timings"]["encode_s"] == pytest.approx(0.002)
    assert document["provenance"][0]["device"] == "cpu"
    assert segment["bbox"] == [15, 10, 30, 20]
    assert segment["prompt_index"] == 0
    rle = segment["segmentation"]
    assert Mask.from_coco(rle["counts"], tuple(rle["size"])).area == segment["area"] == 600


def test_segment_many_json_lines(run: Run, folder: Path, photo: Path) -> None:
    (folder / "b.jpg").write_bytes(b"broken")
    done = run("segment", folder, photo, "--model", "one", "--json", "--jobs", "2")
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    assert done.exit_code == 1
    assert [Path(line["source"]).name for line in lines] == ["a.png", "b.jpg", "c.png", "photo.png"]
    assert lines[1]["error"]["type"] == "InvalidRequestError"
    assert lines[1]["error"]["reason"] == "IMAGE_UNREADABLE"
    assert lines[2]["segments"]
    assert "b.jpg" in done.stderr


def test_segment_many_waits_for_room(run: Run, folder: Path, service: FakeSegmentService) -> None:
    service.fail("QUEUE_FULL", times=6, retry_after_s=0.01)
    assert run("segment", folder, "--model", "one").exit_code == 0
    service.fail("QUEUE_FULL", times=6, retry_after_s=0.01)
    assert run("segment", folder, "--model", "one", "--patience", 0).exit_code == 3


def test_segment_many_prints_a_line_each(run: Run, folder: Path) -> None:
    done = run("segment", folder, "--model", "one")
    assert done.exit_code == 0
    assert len(done.stdout.splitlines()) == 3
    assert done.stderr == "diptych: 3 ok, 0 failed\n"


def test_segment_out(run: Run, photo: Path, folder: Path, tmp_path: Path) -> None:
    assert run("segment", photo, "--model", "one", "--out", tmp_path / "x.png").exit_code == 0
    assert Image.open(tmp_path / "x.png").width > 400
    (folder / "a.jpg").write_bytes((folder / "a.png").read_bytes())
    figures = tmp_path / "new" / "figures"
    assert run("segment", folder, "--model", "one", "--out", figures).exit_code == 0
    assert sorted(path.name for path in figures.iterdir()) == [
        "a.jpg.segments.png",
        "a.png.segments.png",
        "b.jpg.segments.png",
        "c.png.segments.png",
    ]


def test_compare(run: Run, photo: Path, tmp_path: Path) -> None:
    out = tmp_path / "side.png"
    done = run("compare", photo, "--task", "instance-segmentation", "--out", out)
    assert done.exit_code == 0
    assert "one: 1 object" in done.stdout
    assert "two: 1 object" in done.stdout
    agreement = next(line for line in done.stdout.splitlines() if "one / two" in line)
    assert agreement.split()[-6:] == ["mask-iou", "1", "0", "0", "1.000", "1.000"]
    header = next(line for line in done.stdout.splitlines() if "queue" in line)
    assert header.split()[1:7] == ["queue", "decode", "encode", "predict", "postprocess", "total"]
    assert Image.open(out).width > 800


def test_compare_json(run: Run, photo: Path, service: FakeSegmentService) -> None:
    service.fail("MODEL_LOADING", model="two", retry_after_s=2)
    done = run("compare", photo, "--model", "two", "--model", "one", "--json")
    document = json.loads(done.stdout)
    two, one = document["results"]
    assert done.exit_code == 1
    assert (two["model_id"], two["result"]) == ("two", None)
    assert two["error"]["code"] == "UNAVAILABLE"
    assert two["error"]["retry_after_s"] == 2
    assert one["error"] is None
    assert one["result"]["segments"]
    assert document["agreements"] == []
    assert "two: told to fail (MODEL_LOADING" in done.stderr


def test_compare_fails_when_all_models_do(
    run: Run, photo: Path, service: FakeSegmentService
) -> None:
    service.fail("MODEL_LOADING")
    assert run("compare", photo).exit_code == 3
    service.fail("TASK_UNSUPPORTED", model="one")
    assert run("compare", photo).exit_code == 1
    service.fail("TASK_UNSUPPORTED", model="two")
    assert run("compare", photo, "--json").exit_code == 4


def test_no_table_of_a_comparison_cuts_a_name_on_a_narrow_terminal(photo: Path) -> None:
    names = ("a-detector", "a-segmenter", "a-detector-a-segmenter")
    with FakeSegmentService(models=names) as three:
        environment = {"DIPTYCH_ADDRESS": three.address, "COLUMNS": "80"}
        done = CliRunner().invoke(main, ["compare", str(photo)], env=environment)
    assert done.exit_code == 0, done.stderr
    lines = done.stdout.splitlines()
    assert max(map(len, lines)) <= 80
    assert "…" not in done.stdout


def test_cards(run: Run, service: FakeSegmentService) -> None:
    service.cards["two"].overview = "[bold]|"
    service.cards["two"].organization = "A [red]|B"
    table, markdown = run("cards"), run("cards", "--format", "markdown")
    assert table.exit_code == markdown.exit_code == 0
    for row in (
        "Organisation",
        "Context window",
        "Parameters",
        "Licence",
        "The weights",
    ):
        assert row in table.stdout
    assert "A [red]|B" in table.stdout
    assert "mask AP: 1.5 % on none (Source: made up)" in table.stdout
    assert "| Organisation | Nobody | A \\[red\\]\\|B |" in markdown.stdout.splitlines()
    unescaped = [re.findall(r"(?<!\\)\|", line) for line in markdown.stdout.splitlines()]
    assert {len(bars) for bars in unescaped} == {4}
    first, _ = json.loads(run("cards", "--json").stdout)
    assert first["card"]["licenses"]["weights"] == "CC0-1.0"
    assert first["card"]["tasks"][0] == "instance-segmentation"
    assert first["error"] is None


def test_health(run: Run, service: FakeSegmentService) -> None:
    assert run("health").exit_code == 0
    document = json.loads(run("health", "--json").stdout)
    assert document["status"] == "serving"
    assert [model["model_id"] for model in document["models"]] == ["one", "two"]
    service.health[""] = ServingStatus.NOT_SERVING
    done = run("health")
    assert done.exit_code == 3
    assert done.stdout == f"{service.address}: not-serving\n"


def test_health_of_the_server_alone(run: Run, service: FakeSegmentService) -> None:
    done = run("health", "--server-only")
    assert (done.exit_code, done.stdout) == (0, f"{service.address}: serving\n")
    service.health[""] = ServingStatus.NOT_SERVING
    assert run("health", "--server-only").exit_code == 3


def test_model_service_without_gateway(run: Run, photo: Path) -> None:
    with FakeSegmentService(gateway=False) as alone:
        at = ("--address", alone.address)
        assert run("segment", photo, *at).exit_code == 0
        assert "Nobody" in run("cards", *at).stdout
        assert run("health", *at).stdout.splitlines()[1] == "  fake-model: reachable"
        assert run("compare", photo, *at).exit_code == 4


@pytest.mark.parametrize(
    ("reason", "code"),
    [
        ("MODEL_FAILED", 1),
        ("MODEL_LOADING", 3),
        ("QUEUE_FULL", 3),
        ("IMAGE_UNREADABLE", 4),
        ("PROMPT_INVALID", 4),
        ("TASK_UNSUPPORTED", 4),
        ("TOKEN_MISSING", 4),
        ("DEADLINE", 5),
    ],
)
def test_exit_codes(
    run: Run, photo: Path, folder: Path, service: FakeSegmentService, reason: str, code: int
) -> None:
    service.fail(reason, "two\nlines", retry_after_s=3)
    one = run("segment", photo, "--model", "one")
    many = run("segment", folder, "--model", "one", "--patience", 0)
    assert (one.exit_code, many.exit_code) == (code, code)
    assert one.stdout == ""
    (line,) = one.stderr.splitlines()
    assert line.startswith(f"diptych: two lines ({reason}, request fake-")
    assert line.endswith("retry after 3 s)")
    *each, closing = many.stderr.splitlines()
    assert (len(each), closing) == (3, "diptych: 0 ok, 3 failed")


def test_unreachable_server(run: Run, photo: Path) -> None:
    with FakeSegmentService() as gone:
        address = gone.address
    for command in (["segment", photo], ["compare", photo], ["cards"], ["health"]):
        done = run(*command, "--address", address)
        assert done.exit_code == 3
        assert done.stderr.startswith(f"diptych: {address}: no server answers there")
        assert len(done.stderr.splitlines()) == 1


def test_deadline(run: Run, photo: Path, service: FakeSegmentService) -> None:
    service.delay_s = 30
    done = run("segment", photo, "--model", "one", "--timeout", "0.1")
    assert done.exit_code == 5
    assert "no answer within 0.1 s" in done.stderr


@pytest.mark.parametrize(
    "arguments",
    [
        ["--point", "nan,3"],
        ["--point", "1"],
        ["--point", "1,2,7"],
        ["--point", "a,b"],
        ["--box", "1,2,3"],
        ["--box", "5,5,5,9"],
        ["--box", "9,5,5,inf"],
        ["--min-score", "nan"],
        ["--min-score", "1.5"],
        ["--max-segments", "0"],
        ["--timeout", "0"],
        ["--timeout", "inf"],
        ["--jobs", "0"],
        ["--task", "dig"],
        ["--address", "http://localhost:50051"],
        ["--out", "picture.txt"],
        ["--out", "no/such/folder/x.png"],
        ["--mask", __file__],
        ["--prompts", __file__],
        ["--prompts", "no-such-file.json"],
        ["--one-object", "--box", "1,2,30,20", "--box", "0,0,5,5"],
    ],
)
def test_wrong_usage(
    run: Run, photo: Path, service: FakeSegmentService, arguments: list[str]
) -> None:
    done = run("segment", photo, *arguments)
    assert done.exit_code == 2
    assert "Error:" in done.stderr
    assert service.requests == ()


def test_wrong_paths(run: Run, photo: Path, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    assert run("segment", tmp_path / "missing.png").exit_code == 2
    assert run("segment", tmp_path / "empty").exit_code == 2
    assert run("segment", photo, "--out", photo).exit_code == 2
    assert run("segment", tmp_path, photo, "--out", photo).exit_code == 2


def test_help_names_the_exit_codes(run: Run) -> None:
    done = run("--help")
    assert done.exit_code == 0
    for line in ("  3  server not reachable", "  5  no answer in time", "130  interrupted"):
        assert line in done.stdout


def test_process_prints_json_and_loads_no_figures(service: FakeSegmentService, photo: Path) -> None:
    script = (
        "import sys, diptych.cli\n"
        f"try: diptych.cli.main(['segment', {str(photo)!r}, '--model', 'one', '--json'])\n"
        "finally: print('matplotlib' in sys.modules, file=sys.stderr)"
    )
    environment = {**os.environ, "DIPTYCH_ADDRESS": service.address}
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, env=environment, timeout=60
    )
    assert done.returncode == 0
    assert json.loads(done.stdout)["model_id"] == "one"
    assert done.stderr == "False\n"


def test_progress_bar_keeps_out_of_the_output(service: FakeSegmentService, folder: Path) -> None:
    terminal, other_end = pty.openpty()
    command = [sys.executable, "-m", "diptych.cli", "segment", str(folder), "--model", "one"]
    done = subprocess.run(
        [*command, "--json", "--address", service.address],
        stdout=subprocess.PIPE,
        stderr=other_end,
        env={**os.environ, "TERM": "xterm"},
        timeout=60,
    )
    os.close(other_end)
    shown = b""
    with contextlib.suppress(OSError):  # Linux says EIO at the end of a terminal
        while part := os.read(terminal, 4096):
            shown += part
    os.close(terminal)
    assert done.returncode == 0
    assert [json.loads(line)["model_id"] for line in done.stdout.splitlines()] == ["one"] * 3
    assert b"Segmenting" in shown
    assert b"model_id" not in shown


@pytest.mark.parametrize("many", [False, True])
def test_interrupt_ends_quietly(
    service: FakeSegmentService, photo: Path, folder: Path, many: bool
) -> None:
    service.delay_s = 60
    command = [*COMMAND, "segment", str(folder if many else photo)]
    process = subprocess.Popen(
        [*command, "--model", "one", "--address", service.address],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        service.wait_for_requests(1, timeout=60)
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=60)
    finally:
        process.kill()
    assert process.returncode == 130
    assert (out, err) == ("", "diptych: interrupted\n")
