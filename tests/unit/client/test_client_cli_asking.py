"""``--category`` and the options of the automatic mode, in every command that asks."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from diptych import AutomaticOptions
from diptych.cli import main
from diptych.cli._asking.automatic import AUTOMATIC_OPTIONS
from diptych.segment import v1 as pb
from diptych.testing import FakeSegmentService

Run = Callable[..., Result]
COMMANDS = {
    "segment": ("segment", "album/a.png", "--model", "one"),
    "segment-many": ("segment", "album", "--model", "one"),
    "compare": ("compare", "album/a.png"),
    "batch": ("batch", "album", "--model", "one", "--out", "found"),
}


@pytest.fixture
def run(
    service: FakeSegmentService, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, small_png: bytes
) -> Run:
    monkeypatch.chdir(tmp_path)
    Path("album").mkdir()
    Path("album/a.png").write_bytes(small_png)
    for card in service.cards.values():
        card.categories.append(pb.Category(id=10, name="Traffic Light"))

    def invoke(*arguments: object) -> Result:
        environment = {"DIPTYCH_ADDRESS": service.address}
        return CliRunner().invoke(main, [str(each) for each in arguments], env=environment)

    return invoke


@pytest.mark.parametrize("command", COMMANDS.values(), ids=COMMANDS)
def test_categories_by_name_or_number(
    run: Run, service: FakeSegmentService, command: tuple[str, ...]
) -> None:
    done = run(*command, "--category", "traffic light", "--category", 1, "--category", "10")
    assert done.exit_code == 0, done.stderr
    assert service.requests
    for request in service.requests:
        assert list(request.output.category_ids) == [10, 1]


@pytest.mark.parametrize("command", COMMANDS.values(), ids=COMMANDS)
def test_a_category_that_no_model_has(
    run: Run, service: FakeSegmentService, command: tuple[str, ...]
) -> None:
    done = run(*command, "--category", "rectangel")
    assert done.exit_code == 4
    assert "expected one of one's, such as rectangle; got 'rectangel'" in done.stderr
    for card in service.cards.values():
        card.ClearField("categories")
    without = run(*command, "--category", "rectangle")
    assert without.exit_code == 4
    assert "has no classes to choose from" in without.stderr
    assert not service.requests


def test_numbers_that_differ_between_compared_models(run: Run, service: FakeSegmentService) -> None:
    service.cards["two"].categories[0].id = 7
    done = run("compare", "album/a.png", "--category", "rectangle")
    assert done.exit_code == 4
    assert "one and two have other numbers for rectangle" in done.stderr
    assert run("compare", "album/a.png", "--category", 7, "--model", "two").exit_code == 0


@pytest.mark.parametrize("command", COMMANDS.values(), ids=COMMANDS)
def test_every_automatic_option_is_sent(
    run: Run, service: FakeSegmentService, command: tuple[str, ...]
) -> None:
    done = run(
        *(*command, "--points-per-side", 8, "--pred-iou-thresh", 0.5, "--use-m2m"),
        *("--stability-score-thresh", 0.25, "--stability-score-offset", 2, "--crop-n-layers", 1),
        *("--box-nms-thresh", 0.75, "--crop-nms-thresh", 0.5, "--crop-overlap-ratio", 0.25),
        *("--crop-n-points-downscale-factor", 2, "--min-mask-region-area", 30),
        "--no-multimask-output",
    )
    assert done.exit_code == 0, done.stderr
    for request in service.requests:
        sent = {
            field.name.removesuffix("_px"): value for field, value in request.automatic.ListFields()
        }
        assert sent == {
            "points_per_side": 8,
            "pred_iou_thresh": 0.5,
            "stability_score_thresh": 0.25,
            "stability_score_offset": 2,
            "crop_n_layers": 1,
            "box_nms_thresh": 0.75,
            "crop_nms_thresh": 0.5,
            "crop_overlap_ratio": 0.25,
            "use_m2m": True,
            "crop_n_points_downscale_factor": 2,
            "min_mask_region_area": 30,
            "multimask_output": False,
        }
        assert set(sent) == {field.name for field in dataclasses.fields(AutomaticOptions)}
    assert len(AUTOMATIC_OPTIONS) == len(dataclasses.fields(AutomaticOptions))


def test_automatic_options_that_would_say_nothing(run: Run, service: FakeSegmentService) -> None:
    """Models ignore them then; a person who waits for their effect should not."""
    prompted = run(*COMMANDS["segment"], "--points-per-side", 8, "--point", "5,5")
    assert prompted.exit_code == 2
    assert "--points-per-side: expected only without points" in prompted.stderr
    for card in service.cards.values():
        card.ClearField("default_automatic")
    for command in COMMANDS.values():
        done = run(*command, "--crop-n-layers", 1)
        assert done.exit_code == 4
        assert "expected a model that tries a grid of points" in done.stderr
    assert not service.requests
