"""How the sections of a model card are put together."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from diptych_runtime.engine import Fact
from diptych_torch.card import read_card, with_facts

CARD = """
id = "third"
overview = "What it is."
features = ["one"]
limitations = ["common"]
metrics = []

[licenses]
code = "MIT"
weights = "MIT"

[weights.large]
id = "not third"
features = ["two"]
licenses = { weights = "none" }

[weights.large.options]
size = 3

[weights.large.add]
overview = "What large is."
limitations = ["large"]

[weights.beside]
features = ["not counted"]

[weights.beside.add]
overview = "What beside is."
limitations = ["beside"]
metrics = [{ name = "AP" }]
"""


@pytest.fixture(autouse=True)
def _package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    package = tmp_path / "diptych_cards"
    package.mkdir()
    (package / "__init__.py").touch()
    (package / "model_card.toml").write_text(CARD)
    monkeypatch.syspath_prepend(str(tmp_path))


def card(*sections: str) -> dict[str, Any]:
    return read_card("diptych_cards", sections)


def test_a_section_replaces_values_and_merges_tables() -> None:
    found = card("large")
    assert found["id"] == "not third"
    assert found["features"] == ["two"]
    assert found["licenses"] == {"code": "MIT", "weights": "none"}
    assert found["options"] == {"size": 3}


def test_what_is_added_keeps_what_is_common() -> None:
    found = card("large")
    assert found["overview"] == "What it is.\n\nWhat large is."
    assert found["limitations"] == ["large", "common"]
    assert found["metrics"] == []


def test_further_weights_only_add() -> None:
    found = card("large", "beside")
    assert found["features"] == ["two"]
    assert found["overview"] == "What it is.\n\nWhat large is.\n\nWhat beside is."
    assert found["limitations"] == ["large", "beside", "common"]
    assert found["metrics"] == [{"name": "AP"}]


def test_a_section_that_counts_twice_is_said_once() -> None:
    assert card("beside", "beside") == card("beside")


def test_weights_without_a_section_have_the_common_card() -> None:
    found = card("unheard-of")
    assert "weights" not in found
    assert found["overview"] == "What it is."
    assert found["licenses"] == {"code": "MIT", "weights": "MIT"}


def test_facts_of_an_own_file_are_told_of_the_weights_and_not_of_the_architecture() -> None:
    told = {"architecture": {"overview": "A net."}, "weights_overview": "Somebody's."}
    facts = [Fact("anchors", "16-256", "told", "own.model.toml")]
    found = with_facts({**told, "limitations": []}, facts)
    assert found["weights_overview"] == (
        "Somebody's.\n\nThe loaded network: anchors 16-256 (told)."
    )
    assert found["architecture"] == told["architecture"]
    assert "overview" not in found
