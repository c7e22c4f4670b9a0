"""What kind of answer a request wants, by its ``Accept`` header (RFC 9110, 12.5.1)."""

from __future__ import annotations

from starlette.requests import Request

from ..problems import RefusedError

PNG = "image/png"
_JSON = "application/json"
_MOST_CHARS = 1000


def wants_picture(request: Request) -> bool:
    """Whether a PNG is wanted rather than JSON, which is the answer where both are as good.

    Raises:
        RefusedError: 406: only pictures of other kinds are wanted.
    """
    header = ",".join(request.headers.getlist("accept"))[:_MOST_CHARS]
    wanted = dict(_weighed(part) for part in header.lower().split(",") if part.strip())
    png = wanted.get(PNG, wanted.get("image/*", 0.0))
    json = wanted.get(_JSON, wanted.get("application/*", 0.0))
    anything = wanted.get("*/*", 0.0)
    if png and png >= anything:
        return png > json
    if not json and not anything and any(kind.startswith("image/") for kind in wanted):
        raise RefusedError(406, f"expected {_JSON} or {PNG} in Accept, got {header[:100]!r}")
    return False


def _weighed(part: str) -> tuple[str, float]:
    kind, *parameters = (piece.strip() for piece in part.split(";"))
    for parameter in parameters:
        name, _, value = parameter.partition("=")
        if name.strip() == "q":
            try:
                return kind, min(max(float(value), 0.0), 1.0)
            except ValueError:
                return kind, 0.0
    return kind, 1.0
