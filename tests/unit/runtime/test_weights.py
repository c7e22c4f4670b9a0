"""Weights come over HTTP whole and checked, or not at all, with one sentence that says why."""

from __future__ import annotations

import hashlib
import json
import sys
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
from weights_site import CHECKPOINT, CONVERTER, CUT, Site, running_site

from diptych_runtime.weights import OfficialWeights, WeightsError, download, locate, pull
from diptych_runtime.weights import store as weights

COMMAND = "diptych-example pull tiny"


@pytest.fixture
def site(monkeypatch: pytest.MonkeyPatch) -> Iterator[Site]:
    monkeypatch.setattr(download, "RETRY_WAITS_S", (0.0,))
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    with running_site() as site:
        yield site


@pytest.fixture
def converter(tmp_path: Path) -> Sequence[str]:
    script = tmp_path / "converter.py"
    script.write_text(CONVERTER)
    return (sys.executable, str(script))


@pytest.fixture
def store(tmp_path: Path) -> Path:
    return tmp_path / "weights"


def names(store: Path) -> set[str]:
    return {path.name for path in store.iterdir()} - {"tiny.lock"}


def test_pull_checks_converts_and_records(
    site: Site, converter: Sequence[str], store: Path
) -> None:
    said: list[str] = []
    wanted = site.weights()
    path = pull(wanted, converter=converter, directory=store, progress=False, say=said.append)

    digest = hashlib.sha256(CHECKPOINT).hexdigest()
    record = json.loads((store / "tiny.json").read_text())
    assert record["sha256"] == digest
    assert record["url"] == wanted.url
    assert record["size_bytes"] == len(CHECKPOINT)
    assert any("no full SHA-256 is published" in s and digest in s for s in said)
    assert names(store) == {"tiny.safetensors", "tiny.json"}

    stored = locate("tiny", command=COMMAND, directory=store)
    assert stored.path == path
    assert stored.sha256 == hashlib.sha256(path.read_bytes()).digest()
    assert stored.url == wanted.url
    assert stored.size_bytes == path.stat().st_size


def test_second_pull_asks_nobody_and_says_so(
    site: Site, converter: Sequence[str], store: Path
) -> None:
    said: list[str] = []
    pull(site.weights(), converter=converter, directory=store, progress=False, say=said.append)
    asked = len(site.seen)
    said.clear()
    pull(site.weights(), converter=converter, directory=store, progress=False, say=said.append)
    assert len(site.seen) == asked
    assert len(said) == 1
    assert "already there" in said[0]


def test_break_in_the_middle_goes_on_with_range(
    site: Site, converter: Sequence[str], store: Path
) -> None:
    site.cut_after = CUT
    wanted, said = site.weights(sha256=hashlib.sha256(CHECKPOINT).hexdigest()), list[str]()
    pull(wanted, converter=converter, directory=store, progress=False, say=said.append)
    assert said[0].startswith("tiny: broke off (")
    assert said[0].endswith("; trying again in 0 s")
    assert "Range" not in site.seen[0]
    assert site.seen[1]["Range"] == "bytes=100000-"
    assert site.seen[1]["If-Range"] == '"one"'


def test_next_pull_goes_on_after_the_program_gave_up(
    site: Site, converter: Sequence[str], store: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(download, "RETRY_WAITS_S", ())
    site.cut_after = CUT
    with pytest.raises(WeightsError, match=r"broke off after 100000 bytes.*run the same command"):
        pull(site.weights(), converter=converter, directory=store, progress=False)
    assert not (store / "tiny.safetensors").exists()
    pull(site.weights(), converter=converter, directory=store, progress=False)
    assert site.seen[-1]["Range"] == "bytes=100000-"


def test_server_without_range_sends_it_whole_again(
    site: Site, converter: Sequence[str], store: Path
) -> None:
    site.ranges, site.cut_after = False, CUT
    digest = hashlib.sha256(CHECKPOINT).hexdigest()
    pull(site.weights(sha256=digest), converter=converter, directory=store, progress=False)
    assert len(site.seen) == 2


def test_file_that_changed_is_not_mixed_with_the_old_one(
    site: Site, converter: Sequence[str], store: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(download, "RETRY_WAITS_S", ())
    site.cut_after = CUT
    with pytest.raises(WeightsError):
        pull(site.weights(), converter=converter, directory=store, progress=False)
    site.content, site.etag = CHECKPOINT[:4] + CHECKPOINT[:3:-1], '"two"'
    pull(site.weights(), converter=converter, directory=store, progress=False)
    record = json.loads((store / "tiny.json").read_text())
    assert record["sha256"] == hashlib.sha256(site.content).hexdigest()


@pytest.mark.parametrize("etag", [None, 'W/"weak"'])
def test_without_a_strong_validator_it_starts_over(
    site: Site, converter: Sequence[str], store: Path, etag: str | None
) -> None:
    site.etag, site.cut_after = etag, CUT
    pull(site.weights(), converter=converter, directory=store, progress=False)
    assert len(site.seen) == 2
    assert "Range" not in site.seen[1]


def test_break_after_the_last_byte_needs_no_more_bytes(
    site: Site, converter: Sequence[str], store: Path
) -> None:
    store.mkdir()
    wanted = site.weights()
    (store / "tiny.part").write_bytes(CHECKPOINT)
    identity = {"url": wanted.url, "validator": '"one"'}
    (store / "tiny.part.json").write_text(json.dumps(identity))
    pull(wanted, converter=converter, directory=store, progress=False)
    assert [request["Range"] for request in site.seen] == [f"bytes={len(CHECKPOINT)}-"]


@pytest.mark.parametrize("name", ["tiny", "tiny-0123abcd"])
def test_wrong_digest_leaves_nothing(
    site: Site, converter: Sequence[str], store: Path, name: str
) -> None:
    wanted = site.weights(name, sha256="00" * 32 if name == "tiny" else None)
    with pytest.raises(WeightsError, match=r"the SHA-256 of .* expected"):
        pull(wanted, converter=converter, directory=store, progress=False)
    assert {path.suffix for path in store.iterdir()} == {".lock"}


def test_digits_in_the_name_are_checked(site: Site, converter: Sequence[str], store: Path) -> None:
    said: list[str] = []
    name = f"tiny-{hashlib.sha256(CHECKPOINT).hexdigest()[:8]}"
    pull(site.weights(name), converter=converter, directory=store, progress=False, say=said.append)
    assert any("first 8 digits were checked" in sentence for sentence in said)


def test_recorded_digest_holds_for_later_downloads(
    site: Site, converter: Sequence[str], store: Path
) -> None:
    pull(site.weights(), converter=converter, directory=store, progress=False)
    (store / "tiny.safetensors").unlink()
    site.content = CHECKPOINT[:-1] + b"?"
    with pytest.raises(WeightsError, match="recorded at an earlier download"):
        pull(site.weights(), converter=converter, directory=store, progress=False)


def test_truncated_file_is_refused(site: Site, converter: Sequence[str], store: Path) -> None:
    site.content = CHECKPOINT[:200_000]
    with pytest.raises(WeightsError, match=r"about 300004 bytes, 200000 came"):
        pull(site.weights(), converter=converter, directory=store, progress=False)
    assert names(store) == set()


@pytest.mark.parametrize(("status", "text"), [(404, "HTTP 404"), (503, "HTTP 503")])
def test_http_errors_are_named(
    site: Site, converter: Sequence[str], store: Path, status: int, text: str
) -> None:
    site.status = status
    with pytest.raises(WeightsError, match=text):
        pull(site.weights(), converter=converter, directory=store, progress=False)
    assert len(site.seen) == (1 if status == 404 else 2)


def test_what_cannot_be_converted_is_not_kept(
    site: Site, converter: Sequence[str], store: Path
) -> None:
    site.content = b"oops" + CHECKPOINT[4:]
    with pytest.raises(WeightsError, match="could not be converted to safetensors: unknown check"):
        pull(site.weights(), converter=converter, directory=store, progress=False)
    assert "tiny.safetensors" not in names(store)
    assert "tiny.json" not in names(store)


def test_converter_that_writes_something_else_is_noticed(site: Site, store: Path) -> None:
    writes_text = (sys.executable, "-c", "import sys; open(sys.argv[2], 'w').write('hello')")
    with pytest.raises(WeightsError, match="not a safetensors file"):
        pull(site.weights(), converter=writes_text, directory=store, progress=False)
    assert "tiny.safetensors" not in names(store)


def test_no_room_is_said_before_the_download(
    site: Site, converter: Sequence[str], store: Path
) -> None:
    huge = OfficialWeights("tiny", site.weights().url, 1 << 60, 8)
    with pytest.raises(WeightsError, match="MiB are needed; make room"):
        pull(huge, converter=converter, directory=store, progress=False)
    assert site.seen == []


def test_mirror_replaces_all_but_the_file_name(
    site: Site, converter: Sequence[str], store: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DIPTYCH_WEIGHTS_MIRROR", f"http://127.0.0.1:{site.port}/mirror/")
    blocked = OfficialWeights("tiny", "http://blocked.invalid/a/tiny.pth", len(CHECKPOINT), 8)
    pull(blocked, converter=converter, directory=store, progress=False)
    assert site.seen[0]["path"] == "/mirror/tiny.pth"


def test_two_pulls_at_once_download_once(site: Site, converter: Sequence[str], store: Path) -> None:
    def run() -> None:
        paths.append(pull(site.weights(), converter=converter, directory=store, progress=False))

    paths: list[Path] = []
    threads = [threading.Thread(target=run) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(paths) == 2
    assert len(site.seen) == 1
    assert locate("tiny", command=COMMAND, directory=store).path == paths[0]


def test_missing_weights_name_the_command(store: Path) -> None:
    with pytest.raises(WeightsError, match=f"run: {COMMAND}$"):
        locate("tiny", command=COMMAND, directory=store)


def test_file_that_was_changed_is_not_loaded(
    site: Site, converter: Sequence[str], store: Path
) -> None:
    path = pull(site.weights(), converter=converter, directory=store, progress=False)
    path.write_bytes(path.read_bytes()[:-1] + b"?")
    with pytest.raises(WeightsError, match=f"not the file that was stored.*run: {COMMAND}"):
        locate("tiny", command=COMMAND, directory=store)
    changed = path.read_bytes()
    for number in (1, 2):
        pull(site.weights(), converter=converter, directory=store, progress=False)
        assert locate("tiny", command=COMMAND, directory=store).path == path
        assert (store / f"tiny.safetensors.changed-{number}").read_bytes() == changed
        path.write_bytes(changed)


@pytest.mark.parametrize("name", ["tiny.safetensors", "tiny.json"])
@pytest.mark.parametrize("content", ["", "{}", '[{"id": 1}]'])
def test_files_of_others_are_not_overwritten(
    site: Site, converter: Sequence[str], store: Path, name: str, content: str
) -> None:
    store.mkdir()
    (store / name).write_text(content)
    with pytest.raises(WeightsError, match=f"{name} was not written by this command"):
        pull(site.weights(), converter=converter, directory=store, progress=False)
    assert names(store) == {name}
    assert (store / name).read_text() == content
    assert site.seen == []


def test_what_a_killed_pull_left_is_its_own(
    site: Site, converter: Sequence[str], store: Path
) -> None:
    path = pull(site.weights(), converter=converter, directory=store, progress=False)
    (store / "tiny.json").unlink()
    (store / "tiny.part").write_bytes(CHECKPOINT)
    pull(site.weights(), converter=converter, directory=store, progress=False)
    assert names(store) == {"tiny.safetensors", "tiny.json"}
    assert locate("tiny", command=COMMAND, directory=store).path == path


@pytest.mark.parametrize("name", ["../evil", "", "a/b", ".hidden"])
def test_names_cannot_leave_the_directory(store: Path, name: str) -> None:
    with pytest.raises(WeightsError, match="not a name of weights"):
        locate(name, command=COMMAND, directory=store)


def test_directory_follows_the_environment(store: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DIPTYCH_WEIGHTS_DIR", str(store))
    assert weights.cache_dir() == store


def test_directory_that_cannot_be_written_is_named(
    site: Site, converter: Sequence[str], tmp_path: Path
) -> None:
    blocked = tmp_path / "file"
    blocked.write_text("not a directory")
    with pytest.raises(WeightsError, match="set DIPTYCH_WEIGHTS_DIR"):
        pull(site.weights(), converter=converter, directory=blocked, progress=False)


def test_progress_goes_to_stderr(
    site: Site, converter: Sequence[str], store: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pull(site.weights(), converter=converter, directory=store, progress=True)
    printed = capsys.readouterr()
    assert printed.out == ""
    assert "tiny: 100%" in printed.err
