"""``diptych doctor``."""

from __future__ import annotations

import os
import textwrap
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import click

from ... import DiptychError, KnownModel, ModelStats
from ..._transport.channel import ADDRESS_VARIABLE, DEFAULT_ADDRESS, resolve_address
from ..._transport.tls import TlsOptions, resolve_tls
from .._cards import known_models
from .._exits import FAILED
from .._json import print_json
from .._options import connection_options_within
from .._security import security_given, tls_given
from . import models, network, server, settings, tls
from .case import Case
from .findings import Check, Finding, State, bounded, failed, said
from .privacy import redactor

_TIMEOUT_S = 15.0
_MORE_S = 2.0
"""What a check has beyond the timeout of its calls, of which it may make several."""
_MARGIN = 9
_NAME_WIDTH = 16
_LINE = 100


@click.command(short_help="Look at each part of the way to the models.")
@click.argument("where", metavar="[ADDRESS]", required=False)
@click.option("--json", "as_json", is_flag=True, help="As JSON.")
@click.option("--no-ask", is_flag=True, help="Segment nothing: do not send the small picture.")
@connection_options_within(_TIMEOUT_S, existing_files=False)
def doctor(
    where: str | None, as_json: bool, no_ask: bool, address: str | None, timeout: float
) -> None:
    """Look at each part of the way to the models, and say what to do about what is wrong.

    Versions, address, proxy, name, port, TLS, token, health, each model with its weights, and
    whether it answers a small drawn picture. No failure hides the rest, and each check ends within
    --timeout. The text can go into a bug report: tokens, keys and names of users are left out.

    \b
    Examples:
      diptych doctor
      diptych doctor gateway.example:443 --ca ca.crt --token-file token
      diptych doctor --json > doctor.json

    Ends with 1 if a check has failed; warnings are no failure.
    """
    if where and address:
        raise click.UsageError("say the address once: as ADDRESS or as --address.")
    case = _case(where or address, "ADDRESS" if where else "--address", timeout)
    redact = redactor(case.token())
    clean = partial(_clean, redact)
    found: list[Finding] = []
    if not as_json:
        click.echo(redact(f"diptych doctor: {case.given}\n"))
    for finding in map(clean, _examined(case, ask=not no_ask)):
        found.append(finding)
        if not as_json:
            click.echo(_text(finding))
    if as_json:
        print_json(_document(redact(case.given), found))
    else:
        click.echo(f"\n{_counts(found)}")
    if _worst(found) is State.FAILED:
        click.get_current_context().exit(FAILED)


def _case(given: str | None, option: str, timeout: float) -> Case:
    variable = os.environ.get(ADDRESS_VARIABLE)
    origin = f"as {option} says" if given else f"as {ADDRESS_VARIABLE} says"
    if not given and not variable:
        origin = "the default"
    options: TlsOptions | None = None
    target = problem = tls_problem = ""
    try:
        options = resolve_tls(tls_given())
        if options is not None:
            options.read()
    except (OSError, ValueError) as error:
        tls_problem = said(error)
    try:
        encrypted = options is not None or bool(tls_problem)
        target = resolve_address(given, encrypted=encrypted)
    except ValueError as error:
        problem = str(error)
    return Case(
        target=target,
        problem=problem,
        given=given or variable or DEFAULT_ADDRESS,
        origin=origin,
        tls=options,
        tls_problem=tls_problem,
        token_file=security_given()["token_file"],
        timeout=timeout,
    )


def _examined(case: Case, *, ask: bool) -> Iterator[Finding]:
    """All findings, each as soon as its check is done."""
    seconds = case.timeout + _MORE_S
    checks: list[tuple[str, Check]] = [
        ("versions", settings.check_versions),
        ("address", partial(settings.check_address, case)),
        ("proxy", partial(settings.check_proxy, case)),
        ("encryption", partial(settings.check_files, case)),
    ]
    usable = not case.tls_problem
    speaking = network.check_plain if case.tls is None else tls.check_tls
    for name, examine, can in (
        ("name", network.check_name, True),
        ("connection", network.check_port, True),
        ("tls" if case.tls or case.tls_problem else "protocol", speaking, usable),
        ("token", server.check_token, usable),
        ("health", server.check_health, usable),
    ):
        chosen = partial(examine, case)
        unreachable = partial(settings.check_unreachable, name, case)
        checks.append((name, chosen if case.target and can else unreachable))
    for name, check in checks:
        yield from bounded(name, check, seconds)
    if case.target and usable:
        yield from _models(case, seconds, ask=ask)


def _models(case: Case, seconds: float, *, ask: bool) -> Iterator[Finding]:
    known: list[KnownModel] = []
    stats: dict[str, ModelStats] = {}

    def listed() -> Iterator[Finding]:
        try:
            with case.client() as client:
                known.extend(known_models(client))
        except (DiptychError, OSError, ValueError):
            return  # token and health have said why
        if not known:
            yield failed("models", "the server has none", "start one: docs/deploy.md")

    def counted(model_id: str) -> Iterator[Finding]:
        try:
            with case.client() as client:
                stats[model_id] = client.model_stats(model_id)
        except DiptychError:
            return  # a cascade has none
        yield from ()

    yield from bounded("models", listed, seconds)
    for model in known:
        name = f"model {model.model_id}"
        if model.error is None:
            yield from bounded(name, partial(counted, model.model_id), seconds)
        yield from bounded(
            name, partial(models.check_model, model, stats.get(model.model_id)), seconds
        )
    for model in known if ask else ():
        if model.error is None:
            check = partial(models.check_answer, case, model)
            yield from bounded(f"answer {model.model_id}", check, seconds)
    if known:
        yield from bounded("clock", partial(server.check_clock, known, stats), seconds)


def _clean(redact: Callable[[Any], Any], finding: Finding) -> Finding:
    # Before lines are broken: a path with a blank in it would be no path any more.
    shown = {name: redact(getattr(finding, name)) for name in ("text", "fix", "facts")}
    return replace(finding, **shown)


def _text(finding: Finding) -> str:
    name = finding.name.ljust(_NAME_WIDTH)
    head = f"{finding.state.value:<{_MARGIN}}{name} "
    rest = " " * (_MARGIN + _NAME_WIDTH + 1)
    wrap = partial(
        textwrap.fill,
        width=_LINE,
        subsequent_indent=rest,
        break_on_hyphens=False,
        break_long_words=False,
    )
    lines = [wrap(finding.text, initial_indent=head)]
    if finding.fix:
        lines.append(wrap(f"fix: {finding.fix}", initial_indent=rest))
    return "\n".join(lines)


def _document(address: str, found: Sequence[Finding]) -> dict[str, object]:
    return {
        "address": address,
        "status": _worst(found).value,
        "checks": [
            {
                "name": each.name,
                "status": each.state.value,
                "text": each.text,
                "fix": each.fix,
                "facts": dict(each.facts),
            }
            for each in found
        ],
    }


def _worst(found: Sequence[Finding]) -> State:
    states = {each.state for each in found}
    return next((s for s in (State.FAILED, State.WARNING) if s in states), State.OK)


def _counts(found: Sequence[Finding]) -> str:
    counts = Counter(each.state for each in found)
    order = (State.FAILED, State.WARNING, State.SKIPPED, State.OK)
    words = {state: state.value for state in order}
    if counts[State.WARNING] > 1:
        words[State.WARNING] = "warnings"
    return ", ".join(f"{counts[state]} {words[state]}" for state in order if counts[state])
