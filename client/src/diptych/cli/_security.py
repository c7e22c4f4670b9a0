"""Options on TLS and tokens, the same for every command."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import click

from .._transport.tls import CA_VARIABLE, CERT_VARIABLE, KEY_VARIABLE, TLS_VARIABLE, TlsOptions
from .._transport.token import TOKEN_VARIABLE, TokenFile

_GIVEN = f"{__name__}.given"


def _keep(context: click.Context, parameter: click.Parameter, value: Any) -> None:
    context.meta.setdefault(_GIVEN, {})[parameter.name] = value


def _option(name: str, variable: str, **attributes: Any) -> Callable[[Any], Any]:
    # Kept in the context: commands would only pass them on, five arguments each.
    return click.option(
        name, envvar=variable, show_envvar=True, expose_value=False, callback=_keep, **attributes
    )


def _file_option(
    name: str, variable: str, text: str, *, existing: bool = True
) -> Callable[[Any], Any]:
    kind = click.Path(exists=existing, dir_okay=not existing, path_type=Path)
    return _option(name, variable, type=kind, metavar="FILE", help=text)


def security_options(*, existing: bool) -> tuple[Callable[[Any], Any], ...]:
    """The options; without ``existing`` their files are looked at by the command alone."""
    file = partial(_file_option, existing=existing)
    return (
        _option("--tls/--no-tls", TLS_VARIABLE, default=None, help="Encrypt the connection."),
        file("--ca", CA_VARIABLE, "Authority to trust; implies --tls."),
        file("--cert", CERT_VARIABLE, "Certificate to show; implies --tls."),
        file("--key", KEY_VARIABLE, "Key of the certificate."),
        file("--token-file", TOKEN_VARIABLE, "Token to send."),
    )


def security_files() -> list[Path]:
    """The files that the command reads for TLS and as token."""
    given = click.get_current_context().meta.get(_GIVEN, {})
    return [path for path in given.values() if isinstance(path, Path)]


def security_given() -> dict[str, Any]:
    """The options as they were given: ``tls``, ``ca``, ``cert``, ``key`` and ``token_file``."""
    given: dict[str, Any] = click.get_current_context().meta[_GIVEN]
    return given


def security() -> dict[str, Any]:
    """Arguments of ``Client`` from the options of the command that runs.

    Raises:
        ValueError: the options do not belong together.
    """
    token_file = security_given()["token_file"]
    return {"tls": tls_given(), "token": TokenFile(token_file) if token_file else None}


def tls_given() -> bool | TlsOptions | None:
    """The argument ``tls`` of ``Client``, of the options of the command that runs.

    Raises:
        ValueError: the options do not belong together.
    """
    given = security_given()
    tls: bool | None = given["tls"]
    files = {name: given[name] for name in ("ca", "cert", "key") if given[name]}
    return TlsOptions(**files) if files and tls is not False else tls
