"""The sentence at the top: it says what the figures say, and no more."""

from __future__ import annotations

from dataclasses import replace

import pytest

from diptych_eval.report.verdict import verdicts
from diptych_eval.report.words import MINUS, signed, written
from diptych_eval.results import Difference, Figures, ModelFigures, Value

FIRST, SECOND = "mask-rcnn", "mask-rcnn-sam-2"


def difference(
    figure: str, value: float, low: float, high: float, *, a: str = FIRST, b: str = SECOND
) -> Difference:
    return Difference(a, b, figure, value, low, high, 30, 5, 15, 1000, "NoC" not in figure)


def run(values: dict[str, dict[str, float]], *differences: Difference) -> Figures:
    models = tuple(
        ModelFigures(model, {name: Value(value, 50) for name, value in known.items()})
        for model, known in values.items()
    )
    return Figures("scenes", "", 50, 212, models, differences)


def plain_verdicts(figures: Figures) -> list[str]:
    """With a minus that can be typed."""
    return [each.replace(MINUS, "-") for each in verdicts(figures)]


TWO = {
    FIRST: {"segm/AP": 0.7374, "segm/AP50": 0.947},
    SECOND: {"segm/AP": 0.8206, "segm/AP50": 0.925},
}
AP = difference("segm/AP", 0.0832, 0.0561, 0.1118)


def test_a_shown_difference_and_what_speaks_against_it() -> None:
    against = difference("segm/AP50", -0.0221, -0.04, -0.005)
    assert plain_verdicts(run(TWO, AP, against)) == [
        "mask-rcnn-sam-2 is better than mask-rcnn in mask AP by +.083 [+.056, +.112] on these "
        "50 pictures, while AP50 falls by .022 [-.040, -.005]."
    ]


def test_what_may_be_chance_is_not_called_a_fall() -> None:
    against = difference("segm/AP50", -0.0221, -0.05, 0.004)
    assert verdicts(run(TWO, AP, against))[0].endswith(
        "on these 50 pictures; AP50 points the other way, but there no difference is shown."
    )


def test_it_is_the_same_whichever_model_comes_first() -> None:
    turned = difference("segm/AP", -0.0832, -0.1118, -0.0561, a=SECOND, b=FIRST)
    assert verdicts(run(TWO, turned)) == verdicts(run(TWO, AP))


@pytest.mark.parametrize(("low", "high"), [(-0.01, 0.18), (0.0, 0.18), (-0.02, 0.0)])
def test_nothing_is_shown_where_0_is_inside_or_at_the_end(low: float, high: float) -> None:
    first = verdicts(run(TWO, difference("segm/AP", 0.0832, low, high)))[0]
    assert first.startswith(
        "No difference shown between mask-rcnn-sam-2 and mask-rcnn in mask AP on these 50 pictures"
    )


def test_a_difference_without_an_interval_is_no_verdict() -> None:
    assert verdicts(run(TWO)) == [
        "mask-rcnn-sam-2 has .821 in mask AP, mask-rcnn .737 on these 50 pictures; how sure the "
        "difference is was not computed."
    ]


def test_many_models_name_the_best_and_what_is_level_with_it() -> None:
    values = {**TWO, "third": {"segm/AP": 0.81}, "fourth": {"segm/AP": 0.5}}
    level = difference("segm/AP", 0.01, -0.02, 0.03, a="third", b=SECOND)
    assert verdicts(run(values, AP, level)) == [
        "mask-rcnn-sam-2 has the best mask AP on these 50 pictures, .821; it is better than "
        "mask-rcnn by +.083 [+.056, +.112]; no difference from third is shown; how sure its "
        "difference from fourth is was not computed."
    ]


def test_of_a_figure_of_which_less_is_better_the_lower_one_wins() -> None:
    values = {FIRST: {"prompted/NoC20@85": 4.0}, SECOND: {"prompted/NoC20@85": 2.0}}
    figures = run(values, difference("prompted/NoC20@85", -2.0, -3.0, -1.0))
    assert plain_verdicts(figures)[0].startswith(
        "mask-rcnn-sam-2 is better than mask-rcnn in prompted NoC20@85 by -2 [-3, -1]"
    )


def test_each_task_has_its_sentence() -> None:
    values = {
        model: {**known, "bbox/AP": 0.5, "agreement/AUROC": 0.9, "cost/wall-p50-s": 1.0}
        for model, known in TWO.items()
    }
    found = verdicts(run(values, AP, difference("bbox/AP", 0.0, -0.1, 0.1)))
    assert [each.partition(" in ")[2].partition(" by")[0][:8] for each in found] == [
        "mask AP",
        "box AP o",
    ]


def test_a_model_without_the_figure_is_not_compared() -> None:
    values = {FIRST: {"segm/AP": 0.7}, "sam-2": {"agnostic/AR100": 0.5}}
    assert verdicts(run(values)) == [
        "mask-rcnn has a mask AP of .700 on these 50 pictures (no other model has it).",
        "sam-2 has a class-agnostic AR100 of .500 on these 50 pictures (no other model has it).",
    ]


def test_there_is_always_one() -> None:
    none = {name: Value(None, 0, "why") for name in ("segm/AP", "bbox/AP")}
    figures = Figures("x", "", 3, 0, (ModelFigures("m", none),))
    assert verdicts(figures) == ["None of the figures that models are judged by could be computed."]
    assert verdicts(replace(figures, picture_count=0))[0].startswith("Nothing was evaluated")
    assert verdicts(replace(figures, models=())) == ["No model was evaluated."]


def test_numbers_are_written_as_people_read_them() -> None:
    assert [written("segm/AP", each) for each in (0.7374, 1.0, 0.0, -0.02)] == [
        *(".737", "1.000", ".000", "-.020"),
    ]
    assert written("prompted/NoC20@85", 3.274) == "3.27"
    assert written("prompted/failures20@85", 0.099) == ".099"
    assert written("cost/wall-p95-s", 0.4213) == "0.421 s"
    assert written("cost/reply-bytes", 1_340_000) == "1.3 MB"
    assert [signed("segm/AP", each).replace(MINUS, "-") for each in (0.0832, -0.0221, 0.0001)] == [
        *("+.083", "-.022", ".000"),
    ]
