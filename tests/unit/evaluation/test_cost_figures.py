"""What a call cost: percentiles over answers, rows by task and tier."""

from __future__ import annotations

from diptych import ModelStats
from diptych_eval.figures.cost import cost_figures
from diptych_eval.results import Answer, Cost


def answer(name: str, cost: Cost, tier: str = "exact", error: str = "") -> Answer:
    return Answer(name, "", {}, cost, error=error, tier=tier)


ANSWERS = {
    "instances": {
        "a": answer("a", Cost(0.3, 0.2, 100)),
        "b": answer("b", Cost(0.5, 0.4, 300)),
        "c": answer("c", Cost(9.0, 9.0, 9), error="refused"),
    },
    "prompted": {"a": answer("a", Cost(8.0, 6.0, 4000, calls=10), tier="fast")},
    "video": {"clip": answer("clip", Cost(70.0, 60.0, 5000))},
}


def test_figures_are_of_one_request_and_leave_out_clips_and_refusals() -> None:
    values = cost_figures(ANSWERS).values
    assert values["cost/service-p50-s"].value == 0.4
    assert values["cost/wall-p50-s"].value == 0.5
    assert values["cost/wall-p50-s"].count == 3
    assert 0.4 < (values["cost/service-p95-s"].value or 0) < 0.6
    assert values["cost/reply-bytes"].value == 4400 / 12


def test_a_row_for_each_task_and_tier() -> None:
    (table,) = cost_figures(ANSWERS).tables
    rows = dict(table.rows)
    assert list(rows) == ["instances, exact", "prompted, fast", "video, exact"]
    assert rows["prompted, fast"] == (1.0, 10.0, 0.6, 0.6, 0.8, 0.8, 400.0)
    assert all(len(row) == len(table.columns) for row in rows.values())


def test_clips_alone_are_counted_by_the_clip() -> None:
    values = cost_figures({"video": ANSWERS["video"]}).values
    assert values["cost/wall-p95-s"].value == 70.0


def test_memory_is_what_the_service_says() -> None:
    stats = ModelStats({}, {}, engine_peak_memory_bytes=2**30)
    values = cost_figures(ANSWERS, stats).values
    assert values["cost/engine-peak-bytes"].value == 2**30
    assert values["cost/device-peak-bytes"].value is None
    assert cost_figures(ANSWERS).values["cost/engine-peak-bytes"].why


def test_nothing_answered_says_why() -> None:
    assert cost_figures({}).values["cost/service-p50-s"].why == "nothing was answered"
