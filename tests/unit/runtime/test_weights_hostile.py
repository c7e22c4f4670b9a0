"""Whoever sends weights can neither fill the disk, nor leave encryption, nor keep us for ever."""

from __future__ import annotations

import hashlib
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from weights_site import CHECKPOINT, CONVERTER, Site, running_site

from diptych_runtime.weights import WeightsError, download, pull
from diptych_runtime.weights.redirects import MAX_REDIRECTS, RedirectError, _next


@pytest.fixture
def site(monkeypatch: pytest.MonkeyPatch) -> Iterator[Site]:
    monkeypatch.setattr(download, "RETRY_WAITS_S", ())
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    with running_site() as site:
        yield site


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "weights"


def get(site: Site, folder: Path, *, sha256: str | None = None) -> Path:
    script = folder.parent / "converter.py"
    script.write_text(CONVERTER)
    converter = (sys.executable, str(script))
    return pull(site.weights(sha256=sha256), converter=converter, directory=folder, progress=False)


def kept(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir() if path.suffix != ".lock"}


def test_more_than_expected_is_refused_on_its_announcement(site: Site, folder: Path) -> None:
    site.content = CHECKPOINT * 2
    with pytest.raises(WeightsError, match=r"has 600008 bytes, at most 303004 are expected"):
        get(site, folder)
    assert kept(folder) == set()


def test_more_than_expected_is_refused_while_it_comes(site: Site, folder: Path) -> None:
    site.content, site.headers = CHECKPOINT * 2, {"Content-Length": "x"}
    with pytest.raises(WeightsError, match=r"more than 303004 bytes"):
        get(site, folder)
    assert kept(folder) == set()


def test_more_than_was_announced_is_not_read(site: Site, folder: Path) -> None:
    site.content, site.headers = CHECKPOINT * 2, {"Content-Length": str(len(CHECKPOINT))}
    get(site, folder, sha256=hashlib.sha256(CHECKPOINT).hexdigest())


def test_a_compressed_body_is_not_inflated(site: Site, folder: Path) -> None:
    site.headers = {"Content-Encoding": "gzip"}
    with pytest.raises(WeightsError, match="the server sent it compressed"):
        get(site, folder)


def test_a_download_that_never_ends_does(
    site: Site, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(download, "LONGEST_S", -1.0)
    with pytest.raises(WeightsError, match="not complete after"):
        get(site, folder)


def test_redirects_are_followed_up_to_a_number(site: Site, folder: Path) -> None:
    site.redirects = ["/other/tiny.pth"] * MAX_REDIRECTS
    get(site, folder)
    assert [seen["path"] for seen in site.seen][-1] == "/other/tiny.pth"
    (folder / "tiny.safetensors").unlink()
    site.redirects = ["/other/tiny.pth"] * (MAX_REDIRECTS + 1)
    with pytest.raises(WeightsError, match=f"redirected more than {MAX_REDIRECTS} times"):
        get(site, folder)


def test_a_redirect_to_a_file_is_refused(site: Site, folder: Path) -> None:
    site.redirects = ["file:///etc/hostname"]
    with pytest.raises(WeightsError, match="redirected to file, expected http or https"):
        get(site, folder)


@pytest.mark.parametrize(
    ("url", "location", "target"),
    [
        ("https://a/x", "https://b/y", "https://b/y"),
        ("http://a/x", "https://b/y", "https://b/y"),
        ("http://a/x", "http://b/y", "http://b/y"),
        ("https://a/x/z", "y", "https://a/x/y"),
        ("https://a/x", "//b/y", "https://b/y"),
    ],
)
def test_a_redirect_may_gain_encryption(url: str, location: str, target: str) -> None:
    assert _next(url, location) == target


@pytest.mark.parametrize("location", ["http://a/x", "HTTP://b/y", "http:/y", " http://b/y"])
def test_a_redirect_may_not_lose_encryption(location: str) -> None:
    with pytest.raises(RedirectError, match="from https to http"):
        _next("https://a/x", location)
