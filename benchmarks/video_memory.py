"""Memory and time of one long video session: both must not grow.

    python benchmarks/video_memory.py [--frames 2000] [--objects 3]

Starts the SAM 2 service with the demo weights, follows objects through a drawn clip over the wire,
and prints the resident memory of the engine process and the model's time per frame as they go.
"""

from __future__ import annotations

import argparse
import statistics

import clips
import machine
import served

import diptych

MOST_GROWTH = 20e6
MOST_SLOWER = 1.1
WINDOW = 100
WARM = 200
EVERY = 100


def follow(address: str, engine_pid: int, *, frames: int, objects: int) -> list[dict[str, float]]:
    """One session; per frame its model time, its whole time and the engine's memory."""
    clip = clips.drawn(5, frames)
    rows = list[dict[str, float]]()
    with diptych.Client(address) as client, client.video() as session:
        for number, (picture, labels) in enumerate(clip):
            session.send(clips.encoded(picture), number)
            if number == 0:
                for value in range(1, objects + 1):
                    session.prompt(value, box=clips.box_of(labels, value))
                for _ in range(objects):
                    next(session)
            result = next(session)
            if not isinstance(result, diptych.VideoFrameResult):
                raise SystemExit(f"frame {number} was refused: {result.error}")
            seen = sum(one.segment.mask is not None for one in result.objects)
            rows.append(
                {
                    "predict_s": result.timings.predict_s,
                    "total_s": result.timings.total_s,
                    "resident": machine.resident_bytes(engine_pid),
                    "seen": seen,
                }
            )
            if (number + 1) % EVERY == 0:
                show(number + 1, rows[-EVERY:])
    return rows


def show(number: int, rows: list[dict[str, float]]) -> None:
    """One line on the newest frames."""
    times = machine.milliseconds([row["predict_s"] for row in rows])
    seen = statistics.fmean(row["seen"] for row in rows)
    print(
        f"frame {number:5}  {rows[-1]['resident'] / 1e6:8.1f} MB  {times} ms  {seen:.1f} in sight"
    )


def main() -> None:
    """Measure, print and judge."""
    parser = argparse.ArgumentParser(description=str(__doc__).splitlines()[0])
    parser.add_argument("--frames", type=int, default=2000)
    parser.add_argument("--objects", type=int, default=3)
    args = parser.parse_args()
    print(machine.describe())
    with served.running("diptych_sam2") as service:
        rows = follow(service.address, service.engine_pid, frames=args.frames, objects=args.objects)
    grown = rows[-1]["resident"] - rows[WARM - 1]["resident"]
    early, late = (
        statistics.median(row["predict_s"] for row in part)
        for part in (rows[WINDOW : 2 * WINDOW], rows[-WINDOW:])
    )
    print(f"memory after frame {args.frames} less that after frame {WARM}: {grown / 1e6:+.1f} MB")
    print(
        f"median time of the last {WINDOW} frames over that of frames {WINDOW} to {2 * WINDOW}: "
        f"{late / early:.3f}"
    )
    machine.keep("video_memory", {"grown_bytes": grown, "slower": late / early, "frames": rows})
    if grown >= MOST_GROWTH or late > MOST_SLOWER * early:
        raise SystemExit("memory or time grew")


if __name__ == "__main__":
    main()
