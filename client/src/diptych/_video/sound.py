"""The sound of a clip, copied into a file that is written of it. Needs the extra ``video``."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from av.audio.stream import AudioStream
    from av.container import OutputContainer
    from av.packet import Packet

# What an MP4 file holds and players take, by the names of FFmpeg's codecs.
_FITS = ("aac", "mp3", "ac3", "eac3", "opus", "flac", "alac")


class Sound:
    """The default audio stream of a video file; ``start_s`` is when its first frame is shown.

    Packets are copied as they are. What cannot be copied, ``left_out`` says.
    """

    def __init__(self, path: Path, start_s: float) -> None:
        self._path = path
        self._start_s = start_s
        self._closing = ExitStack()
        self._packets: Iterator[Packet[AudioStream]] | None = None
        self._next: Packet[AudioStream] | None = None
        self._copy: AudioStream | None = None
        self.left_out = ""
        """What of the sound the file does not hold; empty if that is nothing."""

    def add_to(self, container: OutputContainer) -> None:
        """Prepares a file, before anything is written."""
        import av
        from av.stream import Disposition

        try:
            source = self._closing.enter_context(av.open(f"file:{self._path}"))
            streams = source.streams.audio
            if not streams:
                return
            main = next((s for s in streams if s.disposition & Disposition.default), streams[0])
            name = main.codec_context.codec.canonical_name
            if name not in _FITS:
                self.left_out = f"an MP4 file does not hold {name}"
                return
            self._copy = container.add_stream_from_template(main)
            self._packets = iter(source.demux(main))
        except av.FFmpegError as error:
            self.left_out = error.strerror or "it cannot be read"

    def write(self, container: OutputContainer, since_s: float, until_s: float) -> None:
        """Copies what is heard until a time, where ``since_s`` after the first frame is time 0."""
        import av

        try:
            while (packet := self._next or self._read()) is not None:
                self._next = packet
                assert packet.pts is not None
                base = packet.time_base or Fraction(1, 1)
                if packet.pts * base - Fraction(self._start_s + since_s) >= until_s:
                    return
                self._next = None
                packet.pts -= round(Fraction(self._start_s + since_s) / base)
                packet.dts = packet.pts
                if packet.pts >= 0 and self._copy is not None:
                    packet.stream = self._copy
                    container.mux(packet)
        except av.FFmpegError as error:
            self._packets = None
            self.left_out = f"it is broken: {error.strerror}"

    def _read(self) -> Packet[AudioStream] | None:
        for packet in self._packets or ():
            if packet.pts is not None and packet.size:
                return packet
        return None

    def close(self) -> None:
        """Closes the clip."""
        self._closing.close()
