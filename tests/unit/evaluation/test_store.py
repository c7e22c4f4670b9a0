"""Answers on the disk: what a killed run leaves behind, and what another one must not touch."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from diptych_eval.asking.store import AnswerFile, answer_file, identity_of, kept_names, key_of
from diptych_eval.results import Answer, Cost


def answer(name: str, score: float = 0.5, error: str = "") -> Answer:
    value = {} if error else {"segments": [{"category_id": 1, "score": score}]}
    cost = Cost(0.25, 0.125, 10)
    return Answer(name, f"key of {name}", value, cost, error, "", "exact", "w", "ab", "torch 2")


def names(path: Path) -> list[str]:
    return [json.loads(line)["name"] for line in path.read_text().splitlines()]


def test_what_was_added_is_read_again(tmp_path: Path) -> None:
    odd = ["a b/ü.png", "line\nbreak.png", "lone \udcff byte.png", '"']
    with answer_file(tmp_path, "mask-rcnn", "instances") as file:
        for name in odd:
            file.add(answer(name))
        assert [file[name] for name in odd] == [answer(name) for name in odd]
    with answer_file(tmp_path, "mask-rcnn", "instances") as file:
        assert list(file) == odd
        assert [file[name] for name in odd] == [answer(name) for name in odd]
        line = file.line(odd[0])
        assert line is not None
        assert line.identity == identity_of(answer(odd[0]))


@pytest.mark.parametrize("cut", [1, 40, -1])
def test_a_line_that_was_cut_off_does_not_count(tmp_path: Path, cut: int) -> None:
    path = tmp_path / "boxes.jsonl"
    with AnswerFile(path) as file:
        file.add(answer("a", 0.1))
        whole = path.stat().st_size
        file.add(answer("a", 0.2))
        file.add(answer("b"))
    last = path.read_bytes().splitlines(keepends=True)[-1]
    path.write_bytes(path.read_bytes()[: -len(last)] + last[:cut])
    with AnswerFile(path) as file:
        assert file.torn
        assert list(file) == ["a"]
        assert file["a"] == answer("a", 0.2)
        assert path.stat().st_size > 2 * whole  # who only reads, cuts nothing
        file.add(answer("c"))
        assert file["c"] == answer("c")
    assert names(path) == ["a", "a", "c"]
    with AnswerFile(path) as file:
        assert not file.torn


def test_settled_files_have_a_line_for_each_name_in_order(tmp_path: Path) -> None:
    path = tmp_path / "boxes.jsonl"
    with AnswerFile(path) as file:
        for name in ("c", "a", "old", "b", "a"):
            file.add(answer(name))
        file.settle(["a", "b", "c", "never asked"])
        assert names(path) == ["a", "b", "c", "old"]
        assert file["b"] == answer("b")
        before = path.stat().st_ino
        file.settle(["a", "b", "c"])
        assert path.stat().st_ino == before
        file.add(answer("d"))
    assert names(path) == ["a", "b", "c", "old", "d"]


def test_a_file_of_something_else_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "boxes.jsonl"
    for text in ("mine\n", "[]\n", '{"name": "a"}\n'):
        path.write_text(text)
        with pytest.raises(ValueError, match=r"boxes\.jsonl: line 1 is no answer"):
            AnswerFile(path)
        assert path.read_text() == text


def test_two_runs_do_not_write_one_file(tmp_path: Path) -> None:
    path = tmp_path / "boxes.jsonl"
    with AnswerFile(path) as mine:
        mine.add(answer("a"))
        with AnswerFile(path) as other:
            assert other["a"] == answer("a")
            with pytest.raises(OSError, match="another run writes its answers there"):
                other.add(answer("b"))


@pytest.mark.parametrize("model", ["", "..", "a/b", "a\\b", "c:d"])
def test_a_model_cannot_name_another_folder(tmp_path: Path, model: str) -> None:
    with pytest.raises(ValueError, match="expected an id that can be the name of a folder"):
        answer_file(tmp_path, model, "boxes")


def test_only_answers_are_kept_names(tmp_path: Path) -> None:
    assert kept_names(tmp_path, "m", "boxes") == frozenset()
    assert not list(tmp_path.iterdir())
    with answer_file(tmp_path, "m", "boxes") as file:
        file.add(answer("a"))
        file.add(answer("b", error="refused"))
    assert kept_names(tmp_path, "m", "boxes") == {"a"}


def test_a_key_depends_on_all_that_an_answer_does() -> None:
    identity = {"tier": "exact", "weights_sha256": "ab", "software": "torch 2"}
    first = key_of("cd", identity, {"clicks": [1, 3]})
    assert first == key_of("cd", dict(reversed(identity.items())), {"clicks": [1, 3]})
    others = [
        key_of("ce", identity, {"clicks": [1, 3]}),
        key_of("cd", {**identity, "tier": "fast"}, {"clicks": [1, 3]}),
        key_of("cd", {**identity, "weights_sha256": "ac"}, {"clicks": [1, 3]}),
        key_of("cd", {**identity, "software": "torch 3"}, {"clicks": [1, 3]}),
        key_of("cd", identity, {"clicks": [1, 5]}),
    ]
    assert len({first, *others}) == 6
