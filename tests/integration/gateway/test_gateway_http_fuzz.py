"""Requests made from the OpenAPI description, good and bad: no status that it does not name."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import requests
import schemathesis
from browser_page import grey_picture
from http_description import Description
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st
from schemathesis import Case, GenerationMode
from schemathesis.specs.openapi import checks

from diptych_gateway.http.description.openapi import describe

# Not among them: that whatever fits a schema is accepted, because ranges are the models' to check.
CHECKS: list[Callable[..., Any]] = [
    schemathesis.checks.not_a_server_error,
    checks.status_code_conformance,
    checks.content_type_conformance,
    checks.response_headers_conformance,
    checks.response_schema_conformance,
    checks.unsupported_method,
]
OPERATIONS = [
    ("/api/openapi.json", "GET"),
    ("/api/models", "GET"),
    ("/api/models/{model_id}", "GET"),
    ("/api/cards", "GET"),
    ("/api/server", "GET"),
    ("/version", "GET"),
    ("/api/segment", "POST"),
    ("/api/compare", "POST"),
    ("/api/compare/stream", "POST"),
    ("/api/export", "GET"),
    ("/api/export", "POST"),
    ("/healthz", "GET"),
    ("/readyz", "GET"),
    ("/metrics", "GET"),
]
BOUNDED = settings(
    max_examples=40,
    deadline=None,
    database=None,
    phases=[Phase.generate],
    suppress_health_check=list(HealthCheck),
)


async def test_all_operations_are_tried(stage: Any) -> None:
    await stage.serve(await stage.model("one"))
    described = Description(describe(stage.gateway.http.routes))
    assert {(path, method.upper()) for path, method, _ in described.operations()} == {*OPERATIONS}


# Without a body nothing can be wrong with a request: any text is a model's name.
@pytest.mark.parametrize(
    ("path", "method", "mode"),
    [
        (path, method, mode)
        for path, method in OPERATIONS
        for mode in GenerationMode
        if method == "POST" or mode is GenerationMode.POSITIVE
    ],
)
async def test_generated_requests_get_an_answer_of_the_description(
    stage: Any, path: str, method: str, mode: GenerationMode
) -> None:
    await stage.serve(await stage.model("one", tasks=[stage.instance, stage.prompted]))
    base_url = f"http://127.0.0.1:{stage.gateway.http_port}"
    with no_collection():
        statuses = await asyncio.to_thread(explore, base_url, path, method, mode)
    assert statuses
    if path == "/api/compare":
        assert statuses >= ({200} if mode is GenerationMode.POSITIVE else {400})


@contextmanager
def no_collection() -> Iterator[None]:
    """Keeps the garbage collector from running while sources are parsed.

    schemathesis and Hypothesis parse them as they go, and a collection in the middle of that, with
    several threads, is a SystemError in CPython 3.11 (gh-106905).
    """
    gc.disable()
    try:
        yield
    finally:
        gc.enable()


def explore(base_url: str, path: str, method: str, mode: GenerationMode) -> set[int]:
    """Send what is generated and check what comes; the statuses that were seen."""
    pictures = st.one_of(st.just(grey_picture()), st.binary(max_size=100))
    schemathesis.openapi.format("binary", pictures)
    session = requests.Session()
    session.trust_env = False  # a proxy of the machine's is not part of this
    document = session.get(f"{base_url}/api/openapi.json", timeout=30).json()
    operation = schemathesis.openapi.from_dict(document)[path][method]
    statuses: set[int] = set()

    @seed(20261124)
    @BOUNDED
    @given(case=operation.as_strategy(generation_mode=mode))
    def send(case: Case) -> None:
        answer = case.call(base_url=base_url, session=session)
        statuses.add(answer.status_code)
        case.validate_response(answer, checks=CHECKS)

    send()
    return statuses
