"""``make certs``: what a second run keeps and what it renews."""

from __future__ import annotations

from pathlib import Path

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
