"""``make certs``: what a second run keeps and what it renews."""

from __future__ import annotations

from pathlib import Path

import pytest
from pki import certificates


def test_a_second_run_renews_all_but_the_authority(tmp_path: Path) -> None:
    folder = tmp_path / "certs"
    certificates.make(folder)
    first = {path.name: path.read_bytes() for path in folder.iterdir()}
    certificates.make(folder)
    second = {path.name: path.read_bytes() for path in folder.iterdir()}
    assert set(first) == set(second)
    assert {name for name in first if first[name] == second[name]} == {"ca.crt", "ca.key"}
    assert folder.stat().st_mode & 0o777 == 0o700


@pytest.mark.parametrize("name", ["ca.crt", "server.key", "server.crt", "gateway-client.key"])
def test_certificates_from_elsewhere_are_not_overwritten(tmp_path: Path, name: str) -> None:
    folder = tmp_path / "certs"
    folder.mkdir()
    (folder / name).write_text("a real one")
    with pytest.raises(certificates.ForeignFilesError, match=f"{name} is not of the authority"):
        certificates.make(folder)
    assert {path.name: path.read_text() for path in folder.iterdir()} == {name: "a real one"}


def test_another_authority_is_not_used(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(certificates, "_AUTHORITY_NAME", "Example Corp")
    certificates.make(tmp_path / "certs")
    before = {path.name: path.read_bytes() for path in (tmp_path / "certs").iterdir()}
    monkeypatch.undo()
    monkeypatch.chdir(tmp_path)
    assert certificates.main() == 1
    assert "ca.crt is of another authority: nothing is overwritten" in capsys.readouterr().err
    assert {path.name: path.read_bytes() for path in (tmp_path / "certs").iterdir()} == before
