"""`token`: bearer tokens for programs that use the API over TCP."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Annotated

import typer

from engine.cli.failures import BadUsage
from engine.cli.options import ProfileOption, checked_profile

if TYPE_CHECKING:
    from engine.api.tokens import Token, TokenFile

LONGEST_DAYS = 3650
DAY_S = 86_400

app = typer.Typer(help="Makes, lists and revokes the tokens with which programs use the API over TCP.")


@app.callback()
def token() -> None:
    """Makes, lists and revokes the tokens with which programs use the API over TCP."""


@app.command()
def new(
    context: typer.Context,
    name: Annotated[str, typer.Argument(help="What the audit calls its holder.")],
    *,
    scopes: Annotated[
        list[str] | None,
        typer.Option("--scope", help="read, stop, operate or admin; may be repeated. By default read."),
    ] = None,
    days: Annotated[int, typer.Option("--days", metavar="N", help="How long it is valid.")] = 90,
    replace: Annotated[
        bool, typer.Option("--replace", help="Rotate: the old token of this name ends at once.")
    ] = False,
    profile: ProfileOption = None,
) -> None:
    """Make a token and print it: it is shown this once, and only its hash is kept."""
    if not 1 <= days <= LONGEST_DAYS:
        raise BadUsage(f"--days {days} is out of range: give a whole number from 1 to {LONGEST_DAYS}")
    file = _file(context, profile)
    print(file.add(name, scopes or ["read"], now_s=int(time.time()), lives_s=days * DAY_S, replace=replace))


@app.command("list")
def show(context: typer.Context, profile: ProfileOption = None) -> None:
    """The tokens that there are, without their secrets."""
    tokens = _file(context, profile).read()
    print("\n".join(_line(each) for each in tokens) or "There are no tokens.")


@app.command()
def revoke(
    context: typer.Context,
    name: Annotated[str, typer.Argument(help="As `token list` shows it.")],
    profile: ProfileOption = None,
) -> None:
    """End a token: a running engine takes it no more, within two seconds."""
    _file(context, profile).revoke(name)
    print(f"Revoked {name}")


def _file(context: typer.Context, profile: str | None) -> TokenFile:
    """The tokens of the profile; loaded only here, since refusals and help do not need it."""
    from engine.api.tokens import TokenFile

    return TokenFile(checked_profile(context, profile).tokens)


def _line(token: Token) -> str:
    until = time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime(token.expires_s))
    state = "EXPIRED" if token.expires_s <= time.time() else "until"
    return f"{token.name:<24} {','.join(token.scopes):<24} {state} {until}"
