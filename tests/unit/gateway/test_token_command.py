"""``diptych-gateway token``: what it prints, what it writes, what it refuses."""

from __future__ import annotations

import resource
import stat
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from diptych_gateway.__main__ import main
from diptych_gateway.security.limits import NAMES, Limits
from diptych_gateway.security.tokens import ALL_SCOPES, Scope, Tokens, parse_tokens


@pytest.fixture(autouse=True)
def clean(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("DIPTYCH_TOKENS_FILE", raising=False)


def test_without_a_file_the_entry_is_shown(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["token", "alice"]) == 0
    out, err = capsys.readouterr()
    token = out.removesuffix("\n")
    assert token.startswith("diptych_")
    assert len(token) == len("diptych_") + 43  # 32 bytes
    assert token not in err
    entry = err[err.index("[tokens.") : err.index("\nthe token")]
    found = Tokens(parse_tokens(entry)).identify(f"Bearer {token}")
    assert (found.name, found.expires, found.scopes) == ("alice", None, ALL_SCOPES)


def test_entries_are_added_to_a_file(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "tokens.toml"
    assert main(["token", "alice", "--file", str(path)]) == 0
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    first = capsys.readouterr().out.strip()
    with path.open("a") as file:
        file.write("# by hand, without an end of line")
    inode = path.stat().st_ino
    monkeypatch.setenv("DIPTYCH_TOKENS_FILE", str(path))
    assert main(["token", "bob", "--days", "30", "--scope", "video", "--scope", "read"]) == 0
    second = capsys.readouterr().out.strip()
    assert path.stat().st_ino == inode
    assert first not in path.read_text()
    assert second not in path.read_text()
    tokens = Tokens(parse_tokens(path.read_text()))
    assert tokens.identify(f"Bearer {first}").name == "alice"
    bob = tokens.identify(f"Bearer {second}")
    assert (bob.name, bob.scopes) == ("bob", {Scope.READ, Scope.VIDEO})
    assert bob.expires is not None
    days = (bob.expires - datetime.now(UTC)) / timedelta(days=1)
    assert 29 < days <= 30


@pytest.mark.parametrize(
    ("before", "name", "said"),
    [
        (None, "alice b", "expected a name of letters"),
        (None, "", "expected a name of letters"),
        ('[tokens.alice]\nsha256 = "' + 64 * "0" + '"\n', "alice", "nothing is added"),
        ("[other]\n", "alice", "nothing is added"),
    ],
)
def test_what_is_refused_leaves_the_file_as_it_is(
    before: str | None,
    name: str,
    said: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    path = tmp_path / "tokens.toml"
    if before is not None:
        path.write_text(before)
    assert main(["token", name, "--file", str(path)]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    (line,) = err.splitlines()
    assert said in line
    assert (path.read_text() if path.exists() else None) == before


@pytest.mark.parametrize("arguments", [["--days", "0"], ["--days", "x"], ["--scope", "write"]])
def test_wrong_usage(arguments: list[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        main(["token", "alice", *arguments])
    assert caught.value.code == 2


def test_a_file_that_cannot_be_written(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["token", "alice", "--file", str(tmp_path / "none" / "tokens.toml")]) == 2
    assert capsys.readouterr().out == ""


def test_an_entry_that_finds_no_room_leaves_the_file_as_it_is(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "tokens.toml"
    assert main(["token", "alice", "--file", str(path)]) == 0
    before = path.read_bytes()
    capsys.readouterr()
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (len(before) + 20, limits[1]))
    try:
        status = main(["token", "bob", "--file", str(path)])
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert status == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert "nothing is added" in err
    assert path.read_bytes() == before


def test_limits_are_written_and_are_those_of_the_file(tmp_path: Path) -> None:
    path = tmp_path / "tokens.toml"
    given = dict(zip(NAMES, (2.5, 7, 3, 20.0, 2), strict=True))
    options = [f"--{name.replace('_', '-')}={value}" for name, value in given.items()]
    assert main(["token", "alice", "--file", str(path), *options]) == 0
    assert main(["token", "bob", "--file", str(path)]) == 0
    limits = {token.name: token.limits for token in parse_tokens(path.read_text())}
    assert limits == {"alice": Limits(**given), "bob": Limits()}


@pytest.mark.parametrize(
    ("option", "said"),
    [
        ("--sessions=0", "sessions: expected a whole number above 0"),
        ("--requests-per-second=nan", "requests_per_second: expected a number above 0"),
        ("--burst=2", "burst: expected requests_per_second beside it"),
    ],
)
def test_a_limit_that_is_none_makes_no_token(
    option: str, said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "tokens.toml"
    for file in ([], ["--file", str(path)]):
        assert main(["token", "alice", *file, option]) == 2
        out, err = capsys.readouterr()
        assert (out, path.exists()) == ("", False)
        assert said in err


def test_a_burst_may_go_with_the_rate_of_all(tmp_path: Path) -> None:
    path = tmp_path / "tokens.toml"
    path.write_text("[limits]\nrequests_per_second = 3\n")
    assert main(["token", "alice", "--file", str(path), "--burst=9"]) == 0
    (token,) = parse_tokens(path.read_text())
    assert token.limits == Limits(requests_per_second=3, burst=9)
