"""The addresses that Label Studio calls."""

from __future__ import annotations

import base64
import hmac
import json
import logging
from collections import OrderedDict
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

from aiohttp import web

from .annotator import Annotator, check
from .pictures import Pictures
from .refusals import Refusal, reason_phrase, refusal_of

_log = logging.getLogger(__name__)
_MOST_BODY = 32 * 1024 * 1024
_MOST_TASKS = 1000
_MOST_PROJECTS = 1000
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class Backend:
    """Wire of Label Studio's ML backends: JSON over HTTP."""

    def __init__(self, annotator: Annotator, pictures: Pictures, login: str | None) -> None:
        self._annotator = annotator
        self._pictures = pictures
        self._login = login
        self._tokens: OrderedDict[str, str] = OrderedDict()

    def application(self) -> web.Application:
        """What aiohttp serves."""

        async def answer(request: web.Request, handler: Handler) -> web.StreamResponse:
            return await self._answer(request, handler)

        app = web.Application(middlewares=[web.middleware(answer)], client_max_size=_MOST_BODY)
        app.router.add_get("/", self._health)
        app.router.add_get("/health", self._health)
        app.router.add_post("/setup", self._setup)
        app.router.add_post("/predict", self._predict)
        app.router.add_post("/validate", self._validate)
        app.router.add_get("/versions", self._versions)
        app.router.add_post("/webhook", self._webhook)
        for path in ("/train", "/job_status", "/duplicate_model"):
            app.router.add_post(path, self._untrained)
        app.router.add_post("/delete", self._delete)
        app.cleanup_ctx.append(self._running)
        return app

    async def _running(self, _: web.Application) -> AsyncIterator[None]:
        await self._pictures.start()
        yield
        await self._pictures.stop()

    async def _answer(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        try:
            self._check_login(request)
            return await handler(request)
        except web.HTTPException:
            raise
        except Exception as error:
            refusal = refusal_of(error)
            _log.warning("%s: %d %s", request.path, refusal.status, refusal)
            # Of an error Label Studio reads the status line alone.
            return web.json_response(
                {"error": str(refusal)},
                status=refusal.status,
                reason=reason_phrase(str(refusal)),
                headers={"WWW-Authenticate": "Basic"} if refusal.status == 401 else None,
            )

    def _check_login(self, request: web.Request) -> None:
        if self._login is None:
            return
        want = "Basic " + base64.b64encode(self._login.encode()).decode()
        if not hmac.compare_digest(
            want.encode(), request.headers.get("Authorization", "").encode()
        ):
            raise Refusal("Expected the backend's user and password (Basic Auth)", 401)

    async def _health(self, _: web.Request) -> web.Response:
        return web.json_response({"status": "UP", "model_class": "Diptych"})

    async def _setup(self, request: web.Request) -> web.Response:
        body = await _body(request)
        check(body.get("schema"))
        models = await self._annotator.models()
        if isinstance(token := body.get("access_token"), str) and token:
            self._tokens[str(body.get("project"))] = token
            while len(self._tokens) > _MOST_PROJECTS:
                self._tokens.popitem(last=False)
        return web.json_response({"model_version": models.version})

    async def _predict(self, request: web.Request) -> web.Response:
        body = await _body(request)
        tasks, params = body.get("tasks"), body.get("params")
        if not isinstance(tasks, list) or not 0 < len(tasks) <= _MOST_TASKS:
            raise Refusal(f"Expected 1 to {_MOST_TASKS} tasks")
        context = params.get("context") if isinstance(params, dict) else None
        drawn = context.get("result") if isinstance(context, dict) else None
        if drawn and not _are_regions(drawn):
            raise Refusal("Expected regions, each with its value, as result of the context")
        config = check(body.get("label_config"))
        token = self._tokens.get(str(body.get("project")))
        answers = await self._annotator.predict(tasks, config, drawn or (), token)
        return web.json_response({"results": answers})

    async def _validate(self, request: web.Request) -> web.Response:
        check((await _body(request)).get("config"))
        return web.json_response({"status": "ok"})

    async def _versions(self, _: web.Request) -> web.Response:
        return web.json_response({"versions": [(await self._annotator.models()).version]})

    async def _webhook(self, request: web.Request) -> web.Response:
        if (await _body(request)).get("action") == "START_TRAINING":
            return await self._untrained(request)
        return web.json_response({"status": "ignored"})

    async def _delete(self, request: web.Request) -> web.Response:
        self._tokens.pop(str((await _body(request)).get("project")), None)
        return web.json_response({"status": "ok"})

    async def _untrained(self, _: web.Request) -> web.Response:
        raise Refusal("Diptych does not train models on annotations", 501)


async def _body(request: web.Request) -> dict[str, Any]:
    try:
        body = await request.json()
    except (json.JSONDecodeError, UnicodeDecodeError, RecursionError):
        raise Refusal("Expected JSON") from None
    if not isinstance(body, dict):
        raise Refusal("Expected a JSON object")
    return body


def _are_regions(found: Any) -> bool:
    return isinstance(found, list) and all(
        isinstance(one, dict) and isinstance(one.get("value"), dict) for one in found
    )
