"""Large images are decoded in a process of its own, which is killed when nobody waits for one."""

from __future__ import annotations

import io
import os
import signal
import threading
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from diptych_runtime.engine import Reason, ServiceError
from diptych_runtime.worker import decoder as module
from diptych_runtime.worker.decoder import Decoder
from diptych_runtime.worker.images import decode

LIMITS = {"max_pixels": 50_000_000, "min_side": 16, "max_aspect_ratio": 20}


class GoneError(Exception):
    """The caller of a test has left."""


@pytest.fixture(scope="module")
def decoder() -> Iterator[Decoder]:
    made = Decoder()
    yield made
    made.close()


def encoded(kind: str, size: tuple[int, int] = (640, 480), **options: object) -> bytes:
    pixels = np.random.default_rng(1).integers(0, 255, (size[1] // 8, size[0] // 8, 3), np.uint8)
    out = io.BytesIO()
    Image.fromarray(pixels).resize(size).save(out, kind, **options)
    return out.getvalue()


def many_scans(side: int) -> bytes:
    """A JPEG of which every scan costs a pass over all pixels: seconds in a few kilobytes."""
    out = io.BytesIO()
    Image.new("RGB", (side, side)).save(out, "JPEG", progressive=True)
    data = out.getvalue()
    last = data.rindex(b"\xff\xda")
    return data[:-2] + data[last:-2] * 9 + data[-2:]


def wanted() -> None:
    return


@pytest.fixture(autouse=True)
def _no_grace(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_GRACE_S", 0.0)


def pid(decoder: Decoder) -> int:
    return decoder._child.process.pid


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP"])
def test_what_is_wrong_with_a_file_is_told_through_the_process(decoder: Decoder, kind: str) -> None:
    data, notes = encoded(kind), list[str]()
    damaged = data[:-2] if kind == "JPEG" else data[:-12] if kind == "PNG" else data[:-1]
    if kind == "WEBP":
        damaged = encoded(kind, exif=Image.Exif().tobytes() + bytes(90))[:-30]
    pixels = decoder.decode(damaged, LIMITS, wanted, notes.append)
    assert np.array_equal(pixels, decode(data, **LIMITS))
    assert len(notes) == 1
    assert "file is damaged (its end is missing); all its pixels are there" in notes[0]


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP"])
def test_pixels_are_those_of_the_other_way(decoder: Decoder, kind: str) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    data = encoded(kind, exif=exif.tobytes())
    before = pid(decoder)
    pixels = decoder.decode(data, LIMITS, wanted)
    assert pixels.shape == (640, 480, 3)
    assert pixels.flags.c_contiguous
    assert pixels.flags.writeable
    assert np.array_equal(pixels, decode(data, **LIMITS))
    assert pid(decoder) == before


def test_a_refusal_is_that_of_the_other_way(decoder: Decoder) -> None:
    before = pid(decoder)
    for data in (encoded("JPEG")[:5000], b"text", encoded("PNG", (32, 1000))):
        with pytest.raises(ServiceError) as here:
            decode(data, **LIMITS)
        with pytest.raises(ServiceError) as there:
            decoder.decode(data, LIMITS, wanted)
        assert there.value.reason is here.value.reason
        assert there.value.message == here.value.message
        assert there.value.metadata == here.value.metadata
        assert there.value.violations == here.value.violations
    assert pid(decoder) == before


def test_what_nobody_waits_for_is_stopped_and_the_next_image_decoded(decoder: Decoder) -> None:
    killed, before = decoder.killed, pid(decoder)

    def gone() -> None:
        raise GoneError

    with pytest.raises(GoneError):
        decoder.decode(many_scans(7000), LIMITS, gone)
    assert decoder.killed == killed + 1
    with pytest.raises(ProcessLookupError):
        os.kill(before, 0)
    assert decoder.decode(encoded("JPEG"), LIMITS, wanted).shape == (480, 640, 3)


def test_what_is_nearly_done_costs_no_process(
    decoder: Decoder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_GRACE_S", 60.0)
    killed, calls = decoder.killed, []

    def gone() -> None:
        calls.append(1)
        raise GoneError

    with pytest.raises(GoneError):
        decoder.decode(encoded("PNG", (3000, 3000)), LIMITS, gone)
    assert decoder.killed == killed
    assert decoder.decode(encoded("JPEG"), LIMITS, wanted).shape == (480, 640, 3)


def test_who_waits_for_its_turn_may_leave(decoder: Decoder) -> None:
    def gone() -> None:
        raise GoneError

    with decoder._lock, pytest.raises(GoneError):
        decoder.decode(encoded("JPEG"), LIMITS, gone)
    assert decoder.decode(encoded("JPEG"), LIMITS, wanted).shape == (480, 640, 3)


@pytest.mark.parametrize(
    ("how", "text"), [(signal.SIGXCPU, "takes longer"), (signal.SIGSEGV, "ends the decoder")]
)
def test_an_image_that_ends_the_process_is_unreadable(
    decoder: Decoder, how: signal.Signals, text: str
) -> None:
    killed = decoder.killed

    def end() -> None:
        os.kill(pid(decoder), how)

    with pytest.raises(ServiceError, match=text) as caught:
        decoder.decode(many_scans(7000), LIMITS, end)
    assert caught.value.reason is Reason.IMAGE_UNREADABLE
    assert decoder.killed == killed + 1
    assert decoder.decode(encoded("JPEG"), LIMITS, wanted).shape == (480, 640, 3)


def test_a_process_that_ended_meanwhile_costs_no_image(decoder: Decoder) -> None:
    os.kill(pid(decoder), signal.SIGKILL)
    decoder._child.process.wait()
    assert decoder.decode(encoded("JPEG"), LIMITS, wanted).shape == (480, 640, 3)


def test_one_image_gets_so_much_processor_time_and_memory(decoder: Decoder) -> None:
    decoder.decode(encoded("JPEG"), LIMITS, wanted)
    limits = Path(f"/proc/{pid(decoder)}/limits").read_text()
    for name in ("Max cpu time", "Max address space"):
        (line,) = (line for line in limits.splitlines() if line.startswith(name))
        assert line[len(name) :].split()[0].isdigit(), line


def test_threads_take_turns(decoder: Decoder) -> None:
    images = [encoded("PNG", (320 + 16 * i, 240)) for i in range(6)]
    found: dict[int, tuple[int, ...]] = {}

    def work(index: int) -> None:
        found[index] = decoder.decode(images[index], LIMITS, wanted).shape

    threads = [threading.Thread(target=work, args=(i,)) for i in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == {i: (240, 320 + 16 * i, 3) for i in range(6)}


def test_memory_of_pixels_ends_with_them(decoder: Decoder) -> None:
    def mapped() -> int:
        return Path("/proc/self/maps").read_text().count("memfd:")

    before = mapped()
    pixels = decoder.decode(encoded("JPEG"), LIMITS, wanted)
    assert mapped() > before
    del pixels
    assert mapped() == before


def test_the_process_ends_with_its_owner() -> None:
    made = Decoder()
    process = made._child.process
    made._child.socket.close()
    process.wait()
    os.close(made._file)
