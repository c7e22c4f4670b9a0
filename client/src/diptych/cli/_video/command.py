"""``diptych video``."""

from __future__ import annotations

import sys
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from functools import partial
from pathlib import Path

import click

from ... import Box, Client, Point, Task, VideoFileError, VideoFrame, VideoReader, read_video
from ..._live.camera import Camera
from .._cards import known_models
from .._completion import models_option
from .._exits import FAILED, exit_code_of_all, report
from .._interrupts import Interrupts
from .._json import print_json
from .._options import Number, connect, connection_options
from .._outputs import out_options
from .._progress import is_quiet, quiet_option, with_progress
from .follow import Follower, Settled
from .live import LIVE_IN_FLIGHT, end, opened_stream, tell_of
from .output import Sink, frame_document, open_sink, picture
from .prompts import (
    BOX_METAVAR,
    FRAME_BOX,
    FRAME_POINT,
    Placed,
    Plan,
    check_frames,
    prompt_plan,
)
from .source import Source, opened_clip
from .summary import Summary
from .window import Window


@click.command(short_help="Follow objects through a clip.")
@click.argument("source", type=Source())
@models_option("Id of the model; several with --compare.")
@click.option("--compare", is_flag=True, help="Models side by side: all that do video, or --model.")
@click.option("--point", "points", type=FRAME_POINT, multiple=True, help="On (1) or off (0) it.")
@click.option(
    "--box", "boxes", type=FRAME_BOX, metavar=BOX_METAVAR, multiple=True, help="Around it."
)
@click.option("--track-all", is_flag=True, help="Follow all that the model finds by itself.")
@click.option(
    "--direction",
    type=click.Choice(["forward", "backward", "both"]),
    default="forward",
    help="From the frames of --point and --box. [forward]",
)
@click.option("--start", type=click.IntRange(0), default=0, help="First frame. [0]")
@click.option("--stride", type=click.IntRange(1), default=1, help="2: every second frame. [1]")
@click.option("--max-frames", type=click.IntRange(1), help="Read no more than this.")
@click.option(
    "--duration", type=Number(0, min_open=True), metavar="SECONDS", help="End after this time."
)
@click.option("--fps", type=Number(0, 1000, min_open=True), help="Of a folder of frames. [25]")
@click.option("--json", "as_json", is_flag=True, help="A line for each frame, masks as COCO RLE.")
@click.option("--show", is_flag=True, help="In a window; closing it ends the command.")
@out_options("FILE.mp4, or a folder for PNGs.")
@quiet_option
@connection_options
@click.pass_context
def video(
    ctx: click.Context,
    source: Path | str,
    models: tuple[str, ...],
    compare: bool,
    points: tuple[Placed[Point], ...],
    boxes: tuple[Placed[Box], ...],
    track_all: bool,
    direction: str,
    start: int,
    stride: int,
    max_frames: int | None,
    duration: float | None,
    fps: float | None,
    as_json: bool,
    show: bool,
    out: str | None,
    overwrite: bool,
    address: str | None,
    timeout: float,
) -> None:
    """Follow objects through a clip, with one model or with several side by side.

    SOURCE is a video file, a folder of pictures, a camera (camera:0), an address such as
    rtsp://host/stream, or the word "sample" for the clip that comes with this package.

    Say where the objects are with --point and --box, on the FRAME (from 0) where they are seen.
    Points without OBJECT@ are together one object, boxes without it are one each. A prompt on
    a later frame of the same OBJECT corrects it from there on. With --direction both, objects are
    also followed from their first frame back to the start of the clip.

    \b
    Examples:
      diptych video sample --model sam-2 --box 0:161,37,208,84 --out followed.mp4
      diptych video clip.mp4 --model sam-2 --point 1@0:210,350 --point 1@40:250,300,0
      diptych video clip.mp4 --model sam-2 --box 40:100,80,220,260 --direction both --out all.mp4
      diptych video frames --compare --box 0:100,80,220,260 --out side.mp4
      diptych video clip.mp4 --model sam-2 --point 0:210,350 --json > masks.jsonl
      diptych video camera:0 --model mask-rcnn --track-all --show
      diptych video rtsp://host/stream --model mask-rcnn --track-all --duration 60 --out seen.mp4

    Ends with a table, or with --json with a line of JSON for each model and frame. --timeout is
    for each answer; the whole may take as long as it takes. A session that the server loses is
    opened again and goes on. Ctrl-C leaves a file that plays.

    Of a camera or stream the newest frame is taken, and those that came while the models were busy
    are dropped and counted; frames are numbered as they are taken. Ctrl-C ends it with all that was
    found until then; once more, at once.
    """
    if len(models) > 1 and not compare:
        raise click.UsageError("--model: expected one, or --compare for several.")
    plan = prompt_plan(points, boxes)
    if not plan and not track_all:
        raise click.UsageError("say what to follow: --point, --box or --track-all.")
    if direction != "forward" and (track_all or not plan):
        raise click.UsageError("--direction: expected forward with --track-all.")
    if isinstance(source, str):
        clip = opened_stream(source, start, stride, max_frames, duration, fps, direction)
    else:
        clip = opened_clip(source, start=start, stride=stride, max_frames=max_frames, fps=fps)
    check_frames(plan, clip)
    if direction == "backward":
        clip = read_video(source, start=start, stop=max(plan) + 1, stride=stride, fps=fps)
    output, sink = open_sink(out, clip, overwrite=overwrite)
    with ExitStack() as stack:
        stack.enter_context(output)
        sinks = [] if sink is None else [sink]
        if show:
            window = Window(clip.name)
            stack.callback(window.close)
            sinks.append(window)
        client = stack.enter_context(connect(address, timeout))
        followers = []
        for model in _chosen_models(client, models, compare):
            follower = Follower(
                client,
                model,
                plan,
                track_all=track_all,
                timeout=timeout,
                in_flight=LIVE_IN_FLIGHT if isinstance(clip, Camera) else sys.maxsize,
            )
            stack.callback(follower.close)
            followers.append(follower)
        if direction != "forward":
            for follower in followers:
                follower.look_back(clip, only=direction == "backward")
        run = _Run(clip.name, clip, followers, sinks, as_json=as_json, titles=compare)
        run.follow(plan, duration)
    if isinstance(clip, Camera):
        tell_of(clip)
    if not as_json and not is_quiet():
        run.summary.show()
    ctx.exit(run.exit_code())


class _Run:
    """One clip through one or more models, and what comes of it."""

    def __init__(
        self,
        source: str,
        clip: VideoReader,
        followers: list[Follower],
        sinks: Sequence[Sink],
        *,
        as_json: bool,
        titles: bool,
    ) -> None:
        self.summary = Summary()
        self._source = source
        self._clip = clip
        self._followers = followers
        self._sinks = sinks
        self._as_json = as_json
        self._titles = titles
        self._held: deque[VideoFrame] = deque()
        self._has_trouble = False

    def follow(self, plan: Plan, duration_s: float | None) -> None:
        """Sends all frames, and writes each as soon as every model has said its last word."""
        for follower in self._followers:
            follower.open()
        unsent = set(plan)
        frames = with_progress(
            self._frames(duration_s), self._clip.frame_count, "Following", unit="frames"
        )
        stop = partial(end, self._clip) if isinstance(self._clip, Camera) else None
        with Interrupts(first=stop) as interrupts:
            for frame in frames:
                interrupts.check()
                if not self._alive():
                    return
                unsent.discard(frame.index)
                self._held.append(frame)
                for follower in self._followers:
                    follower.feed(frame)
                self._write_ready()
            interrupts.check()
            for follower in self._followers:
                follower.finish()
        self._write_ready()
        for index in sorted(unsent):
            self._has_trouble = True
            click.echo(f"diptych: frame {index} did not come, its prompts were not sent", err=True)

    def exit_code(self) -> int:
        """0 if all went well; what the models failed with if all did; else 1."""
        failures = [one.failure for one in self._followers if one.failure is not None]
        if len(failures) == len(self._followers):
            return exit_code_of_all([*failures])
        troubled = self._has_trouble or any(one.has_trouble for one in self._followers)
        return FAILED if failures or troubled else 0

    def _alive(self) -> bool:
        return any(follower.failure is None for follower in self._followers)

    def _frames(self, duration_s: float | None) -> Iterator[VideoFrame]:
        """The clip's frames, up to where it breaks, the time is over or nobody looks any more."""
        try:
            for frame in self._clip:
                late = duration_s is not None and frame.time_s >= duration_s
                if late or any(sink.has_ended for sink in self._sinks):
                    return
                yield frame
        except (VideoFileError, OSError) as error:
            self._has_trouble = True
            report(error)

    def _write_ready(self) -> None:
        while self._held:
            answers = [self._answer(follower, self._held[0]) for follower in self._followers]
            if any(answer is None for answer in answers):
                return
            frame = self._held.popleft()
            named = [
                (follower.name, answer)
                for follower, answer in zip(self._followers, answers, strict=True)
                if answer is not None
            ]
            for follower in self._followers:
                if follower.settled:
                    follower.settled.popleft()
            self._write(frame, named)

    def _answer(self, follower: Follower, frame: VideoFrame) -> Settled | None:
        """A model's last word on the oldest frame; ``None`` if it is still to come."""
        if follower.settled:
            return follower.settled[0]
        if follower.failure is not None and self._titles:
            return Settled(frame.index, None, follower.failure)
        return None

    def _write(self, frame: VideoFrame, answers: list[tuple[str, Settled]]) -> None:
        self.summary.add(answers)
        if self._sinks:
            pixels = picture(frame, answers, self._clip.size, titles=self._titles)
            for sink in self._sinks:
                sink.write(pixels, frame)
        # After the picture: whoever reads the line finds the frame in the file.
        if self._as_json:
            for name, answer in answers:
                print_json(frame_document(self._source, name, frame, answer), indent=None)


def _chosen_models(client: Client, models: tuple[str, ...], compare: bool) -> list[str | None]:
    """The models that are named, else the server's own, or to compare all whose card lists video.

    Raises:
        click.ClickException: there is none to compare.
    """
    if models or not compare:
        return [*dict.fromkeys(models)] or [None]
    found: list[str | None] = []
    for model in known_models(client):
        if model.card is not None and Task.VIDEO_SEGMENTATION in model.card.tasks:
            found.append(model.model_id)
        elif model.card is None and model.error is not None:
            report(model.error, name=model.model_id)
    if not found:
        raise click.ClickException("no model that can be reached does video-segmentation")
    return found
