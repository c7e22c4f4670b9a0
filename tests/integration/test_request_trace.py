"""A reader who follows one request meets few files: more mean that a duty has been scattered."""

from __future__ import annotations

from request_trace import trace

MOST_FILES = 40


def test_one_request_crosses_few_files() -> None:
    crossed = trace()
    assert set(crossed) == {"client", "gateway", "front", "engine"}
    assert all(crossed.values()), crossed
    every = {file for files in crossed.values() for file in files}
    assert len(every) <= MOST_FILES, f"{len(every)} files: {crossed}"
