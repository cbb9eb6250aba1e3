"""`config`: what every setting is and where it comes from; a first file of them, asked for and checked."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from engine.cli.failures import EXIT_INTERRUPTED, BadUsage, fail, say
from engine.cli.options import ProfileOption, checked_profile, given_settings
from engine.errors import SettingsError

if TYPE_CHECKING:
    from engine.api import wire

app = typer.Typer(help="Shows the settings with their sources, and writes a first file of them.")

NOT_SET = "not set"
_NO_NODE = {"SOLANA_RPC_URL": "http://not-set"}
_ASKED = (
    ("SOLANA_RPC_URL", "Your node's URL, or several separated by commas"),
    ("WALLET_PATH", "The signing key's file, as solana-keygen writes it; empty: the OS keyring"),
    (
        "DATABASE_URL",
        "Your PostgreSQL, as postgresql://user:password@host/name; empty: the one in the box",
    ),
    ("SERVER_PORT", "The port of the API for machines, on this machine only"),
)


@app.callback()
def config() -> None:
    """Shows the settings with their sources, and writes a first file of them."""


@app.command()
def show(
    context: typer.Context,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object.")] = False,
    profile: ProfileOption = None,
) -> None:
    """Every setting as an engine started here and now would have it; secrets are masked."""
    from msgspec.structs import replace

    from engine.api.settings_view import settings_page
    from engine.setting_sources import config_file, exposed_secrets

    given = given_settings(context, checked_profile(context, profile))
    has_node = "SOLANA_RPC_URL" in given.values
    page = settings_page((given if has_node else given.under(_NO_NODE, NOT_SET)).settings())
    if not has_node:
        page = replace(page, rows=[replace(row, value="") if _is_stand_in(row) else row for row in page.rows])
    if as_json:
        import msgspec

        print(msgspec.json.encode(page).decode())
    else:
        print("\n".join(_lines(page.rows)))
        print(f"\nFiles: {config_file(os.environ)}, {Path.cwd() / '.env'}")
    for line in exposed_secrets(os.environ):
        say(line)


@app.command()
def reference() -> None:
    """Every setting with its default, what it may be, and what it is, as docs/settings.md has them."""
    from engine.settings_reference import settings_table

    print(settings_table())


@app.command()
def init(context: typer.Context, profile: ProfileOption = None) -> None:
    """Ask for what has no default, check each answer, and write config.toml; an existing one is kept."""
    from engine.setting_sources import config_file

    paths = checked_profile(context, profile)
    path = config_file(os.environ)
    if path.exists():
        raise BadUsage(f"{path} exists: edit it, or move it away first")
    try:
        answers = {name: _answer(name, question) for name, question in _ASKED}
    except typer.Abort:
        fail("Not answered, nothing was written: repeat `config init` in a terminal", EXIT_INTERRUPTED)
    lines = ["# Every setting: docs/settings.md. A profile's own are put under [profiles.NAME]."]
    if paths.profile != "default":
        lines.append(f"[profiles.{paths.profile}]")
    lines += [f"{name} = {_quoted(text)}" for name, text in answers.items() if text]
    try:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        with open(path, "x", opener=lambda name, flags: os.open(name, flags, 0o600)) as file:
            file.write("\n".join(lines) + "\n")
    except OSError as error:
        raise SettingsError(f"{path} cannot be written: {error.strerror}: see to its folder") from None
    print(f"Written: {path}\nLook at it with `liquidation-engine config show`.")


def _is_stand_in(row: wire.SettingRow) -> bool:
    return row.source == NOT_SET or row.source.startswith("derived")


def _lines(rows: list[wire.SettingRow]) -> list[str]:
    width = max(len(row.name) for row in rows)
    source = max(len(row.source) for row in rows)
    return [f"{row.name:<{width}}  {row.source:<{source}}  {row.value or '-'}" for row in rows]


def _answer(name: str, question: str, ask: Callable[..., str] = typer.prompt) -> str:
    """What the operator answers, once it would be taken."""
    from engine.settings import Settings, load_settings

    default = next(
        field.default for field in Settings.model_fields.values() if field.validation_alias == name
    )
    shown = str(default) if isinstance(default, int) else ""
    while True:
        hide = name == "DATABASE_URL" and sys.stdin.isatty()
        text = ask(f"{question} ({name})", default=shown, show_default=bool(shown), hide_input=hide).strip()
        try:
            load_settings({"SOLANA_RPC_URL": "http://localhost", name: text})
        except SettingsError as error:
            say(str(error))
        else:
            if text or name != "SOLANA_RPC_URL":
                return text
            say("SOLANA_RPC_URL is needed: a first try needs none with `liquidation-engine --sandbox`")


def _quoted(text: str) -> str:
    """A TOML string; the answers are printable, so only these two need a backslash."""
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'
