"""What a server measured on itself, in words: how long answers take, memory, and on what."""

from __future__ import annotations

from .._types.stats import AnswerTime, ModelStats


def answers(stats: ModelStats) -> list[str]:
    """How long answers took, by task; says so if there were none."""
    if not stats.answer_times:
        return ["not measured: no picture was answered yet"]
    return [_describe(entry) for entry in stats.answer_times]


def memory(stats: ModelStats) -> list[str]:
    """Of the engine process and of its GPU, as far as they are known."""
    found = []
    if stats.engine_memory_bytes:
        now, peak = megabytes(stats.engine_memory_bytes), megabytes(stats.engine_peak_memory_bytes)
        found.append(f"process: {now}, at most {peak}")
    if stats.device_peak_memory_bytes:
        found.append(f"GPU: at most {megabytes(stats.device_peak_memory_bytes)}")
    return found


def measured_on(stats: ModelStats) -> list[str]:
    """The device, how many requests were answered there, and since when."""
    parts = [stats.device] if stats.device else []
    count = stats.outcomes.get("OK", 0)
    answered = f"{count:,} request{'' if count == 1 else 's'} answered"
    if stats.counting_since:
        answered += f" since {stats.counting_since:%Y-%m-%d %H:%M} UTC"
    return ["; ".join([*parts, answered])]


def megabytes(size: int) -> str:
    """Bytes in a unit that people compare."""
    return f"{size / 1e6:,.0f} MB"


def _describe(entry: AnswerTime) -> str:
    task = entry.task.value.replace("-", " ") if entry.task else "another task"
    held = ", picture held" if entry.image_held else ""
    newest = "1 answer" if entry.count == 1 else f"the newest {entry.count} answers"
    times = f"p50 {_milliseconds(entry.p50_s)}, p95 {_milliseconds(entry.p95_s)}"
    return f"{task}{held}: {times} ({newest})"


def _milliseconds(seconds: float) -> str:
    value = seconds * 1000
    return f"{value:.1f} ms" if value < 10 else f"{value:,.0f} ms"
