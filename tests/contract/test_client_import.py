"""What ``import diptych`` loads and shows, and that both clients have one face."""

from __future__ import annotations

import inspect
import subprocess
import sys

import pytest

import diptych
from diptych import AsyncClient, AsyncVideoSession, Client, VideoSession

HEAVY = ("PIL", "av", "rich", "click", "torch", "matplotlib", "supervision")
ASYNC_NAMES = {"close": "aclose", "__enter__": "__aenter__", "__exit__": "__aexit__"}
SESSION_NAMES = {**ASYNC_NAMES, "__iter__": "__aiter__", "__next__": "__anext__"}
SESSION_PAIRS = [
    (name, SESSION_NAMES.get(name, name))
    for name in vars(VideoSession)
    if not name.startswith("_") or name in SESSION_NAMES
]
NOT_AWAITED = ("video", "finish", "track")
PAIRS = [
    (name, ASYNC_NAMES.get(name, name))
    for name in vars(Client)
    if not name.startswith("_") or name in {*ASYNC_NAMES, "__init__"}
]


def loaded_by(code: str) -> set[str]:
    script = f"import sys\n{code}\nprint(*{{name.partition('.')[0] for name in sys.modules}})"
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True, timeout=60
    )
    return set(done.stdout.split())


@pytest.mark.parametrize(
    "code", ["import diptych", "from diptych import *", "import diptych.testing"]
)
def test_import_is_light(code: str) -> None:
    assert not loaded_by(code) & set(HEAVY)


def test_types_alone_do_not_load_the_machinery_of_calls() -> None:
    assert "grpc" not in loaded_by("import diptych")


def test_exported_names_are_sorted_and_complete() -> None:
    visible = {
        name
        for name in dir(diptych)
        if not name.startswith("_") and not inspect.ismodule(getattr(diptych, name))
    } - {"TYPE_CHECKING", "annotations"}
    assert set(diptych.__all__) == visible
    assert diptych.__all__ == sorted(diptych.__all__, key=_by_kind)


def test_unknown_names_are_attribute_errors() -> None:
    with pytest.raises(AttributeError, match="no attribute 'Clyent'"):
        diptych.Clyent  # noqa: B018


def test_both_clients_have_the_same_names() -> None:
    public = {name for name in vars(AsyncClient) if not name.startswith("_")}
    assert public == {theirs for ours, theirs in PAIRS if not ours.startswith("_")}


@pytest.mark.parametrize(("ours", "theirs"), PAIRS)
def test_both_clients_have_the_same_face(ours: str, theirs: str) -> None:
    mine, twin = getattr(Client, ours), getattr(AsyncClient, theirs)
    if isinstance(mine, property):
        mine, twin = mine.fget, twin.fget
    mine_signature, twin_signature = inspect.signature(mine), inspect.signature(twin)
    assert list(mine_signature.parameters.values()) == list(twin_signature.parameters.values())
    returned = twin_signature.return_annotation
    assert returned.replace("Async", "") == mine_signature.return_annotation.replace("Async", "")
    assert inspect.getdoc(mine) == inspect.getdoc(twin)
    if ours in NOT_AWAITED:
        assert not inspect.iscoroutinefunction(twin)
    elif not ours.startswith("_") and not returned.startswith("AsyncIterator["):
        is_call = not isinstance(getattr(Client, ours), property)
        assert inspect.iscoroutinefunction(twin) is is_call


@pytest.mark.parametrize(("ours", "theirs"), PAIRS)
def test_options_are_keyword_only(ours: str, theirs: str) -> None:
    member = getattr(Client, ours)
    if isinstance(member, property) or ours == "__exit__":
        return
    _, *parameters = inspect.signature(member).parameters.values()
    assert all(p.kind is inspect.Parameter.KEYWORD_ONLY for p in parameters[1:])


def test_both_sessions_have_the_same_names() -> None:
    public = {name for name in vars(AsyncVideoSession) if not name.startswith("_")}
    assert public == {theirs for ours, theirs in SESSION_PAIRS if not ours.startswith("_")}


@pytest.mark.parametrize(("ours", "theirs"), SESSION_PAIRS)
def test_both_sessions_have_the_same_face(ours: str, theirs: str) -> None:
    mine, twin = getattr(VideoSession, ours), getattr(AsyncVideoSession, theirs)
    mine_signature, twin_signature = inspect.signature(mine), inspect.signature(twin)
    assert list(mine_signature.parameters.values()) == list(twin_signature.parameters.values())
    returned = twin_signature.return_annotation.replace("Async", "")
    assert returned == mine_signature.return_annotation
    assert inspect.getdoc(mine) == inspect.getdoc(twin)
    not_awaited = ours in NOT_AWAITED or ours == "__iter__"
    assert inspect.iscoroutinefunction(twin) is not not_awaited


def test_both_sessions_say_the_same_of_themselves() -> None:
    assert inspect.getdoc(VideoSession) == inspect.getdoc(AsyncVideoSession)


def _by_kind(name: str) -> tuple[int, str]:
    """The order of ruff's RUF022: constants, classes, the rest."""
    return (0 if name.isupper() else 1 if name[0].isupper() else 2, name)
