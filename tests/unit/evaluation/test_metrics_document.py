"""``metrics.json``: what is written is read back as it was, and what is wrong has a place."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from report_runs import drawn_run

from diptych_eval.figures.document import from_json, to_json
from diptych_eval.results import Figures, ModelFigures, Value


def test_everything_comes_back_through_a_file(tmp_path: Path) -> None:
    figures, _, _ = drawn_run(tmp_path, pictures=3)
    text = json.dumps(to_json(figures), allow_nan=False)
    assert from_json(json.loads(text)) == figures
    assert json.dumps(to_json(from_json(json.loads(text)))) == text


def test_floats_keep_every_bit() -> None:
    value = Value(0.1 + 0.2, 3, "", float(np.nextafter(0.3, 0)), None)
    figures = Figures("x", "", 0, 0, (ModelFigures("m", {"segm/AP": value}),))
    back = from_json(json.loads(json.dumps(to_json(figures))))
    assert back.models[0].values["segm/AP"] == value


def test_numbers_of_numpy_are_numbers() -> None:
    value = Value(np.float32(0.5), int(np.int64(2)))  # type: ignore[arg-type]
    figures = Figures(
        "x", "", 0, 0, (ModelFigures("m", {"a/b": value}),), options={"k": np.int64(3)}
    )
    document = json.loads(json.dumps(to_json(figures)))
    assert document["models"][0]["values"]["a/b"]["value"] == 0.5
    assert document["options"] == {"k": 3}


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf, b"bytes"])
def test_what_json_does_not_have_is_refused_with_its_place(value: object) -> None:
    bad = ModelFigures("m", {"segm/AP": Value(value)})  # type: ignore[arg-type]
    with pytest.raises(ValueError, match=r"models/0/values/segm/AP/value: expected .* got"):
        to_json(Figures("x", "", 0, 0, (bad,)))


def test_a_broken_document_names_the_place(tmp_path: Path) -> None:
    whole = to_json(drawn_run(tmp_path, pictures=1)[0])
    for change, said in (
        ({"version": 2}, "version: expected 1, got 2"),
        ({"models": "none"}, "models: expected a list, got 'none'"),
        ({"models": [{}]}, "models/0/model_id: expected, but it is missing"),
        ({"picture_count": True}, "picture_count: expected int, got True"),
        ({"picture_count": 1.5}, "picture_count: expected int, got 1.5"),
        ({"dataset": None}, "dataset: expected str, got None"),
        ({"differences": [{**whole["differences"][0], "low": math.nan}]}, "finite number, got nan"),
    ):
        with pytest.raises(ValueError, match=said.replace("/", "/")):
            from_json({**whole, **change})
    with pytest.raises(ValueError, match="expected an object, got list"):
        from_json([])  # type: ignore[arg-type]


def test_fields_of_a_later_version_are_left_out(tmp_path: Path) -> None:
    figures, _, _ = drawn_run(tmp_path, pictures=1)
    document = {**to_json(replace(figures, options={})), "later": [1]}
    del document["options"]
    assert from_json(document) == replace(figures, options={})
