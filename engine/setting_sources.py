"""Where settings are given: command line, environment, `.env`, `config.toml`; the first that has one wins.

`config.toml` lies in $XDG_CONFIG_HOME/liquidation-engine (or ~/.config) and names settings as the environment
does, in either case; `[profiles.NAME]` holds what one profile has otherwise. `.env` is that of the folder
where the program is started.
"""

from __future__ import annotations

import difflib
import io
import json
import os
import stat
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any

from dotenv import dotenv_values

from engine.errors import SettingsError
from engine.setting_values import shown
from engine.settings import NAMES, Settings, load_settings

LARGEST_FILE = 1024 * 1024
SECRETS = frozenset({"SOLANA_RPC_URL", "SOLANA_WS_URL", "DATABASE_URL", "HERMES_API_KEY", "ALERT_URLS"})
_LEVELS_OF_RUST = {"trace": "debug", "debug": "debug", "info": "info", "warn": "warning", "error": "error"}


class Source(StrEnum):
    """Who gave a setting, the strongest first."""

    COMMAND_LINE = "command line"
    SANDBOX = "sandbox"
    ENVIRONMENT = "environment"
    DOTENV = ".env"
    FILE = "config.toml"
    DEFAULT = "default"


@dataclass(frozen=True, slots=True)
class Given:
    """Settings as texts by their names, each with its source, and what is wrong with the files."""

    values: Mapping[str, str]
    sources: Mapping[str, str]
    complaints: tuple[str, ...] = ()

    def under(self, values: Mapping[str, str], source: str) -> Given:
        """The same with these on top; an empty one takes away what is below, so that the default holds."""
        taken = {**self.values, **values}
        return Given(
            {name: text for name, text in taken.items() if text.strip()},
            {**self.sources, **dict.fromkeys(values, source)},
            self.complaints,
        )

    def settings(self) -> Settings:
        """Read them. Raises SettingsError that names everything that is wrong."""
        return load_settings(self.values, sources=self.sources, complaints=self.complaints)


def config_file(environ: Mapping[str, str]) -> Path:
    """The file of this user's settings; it need not exist."""
    base = environ.get("XDG_CONFIG_HOME", "")
    home = Path(base) if base.startswith("/") else Path.home() / ".config"
    return home / "liquidation-engine" / "config.toml"


def given_settings(
    profile: str,
    environ: Mapping[str, str],
    chosen: Mapping[str, str] | None = None,
    folder: Path | None = None,
) -> Given:
    """What all sources say together; `chosen` is the command line's, `folder` the one with the `.env`.

    Raises SettingsError for a file that cannot be read or must not be trusted, and for a name on the command
    line that is none.
    """
    given = Given({}, {})
    for names, source in (
        (_of_file(config_file(environ), profile), Source.FILE),
        (_of_dotenv((folder or _working_folder()) / ".env"), Source.DOTENV),
        ({name: environ[name] for name in (*NAMES, "RUST_LOG") if name in environ}, Source.ENVIRONMENT),
    ):
        known, complaints = _known(names, source)
        given = given.under(known, source)
        given = Given(given.values, given.sources, given.complaints + complaints)
    return given if not chosen else given.under(chosen, Source.COMMAND_LINE)


def _working_folder() -> Path:
    """Where the program was started. One that was removed meanwhile has no files, which is no fault."""
    try:
        return Path.cwd()
    except FileNotFoundError:
        return Path()


def parse_choices(texts: list[str]) -> dict[str, str]:
    """NAME=VALUE of the command line. Raises SettingsError."""
    chosen = {}
    for text in texts:
        name, equals, value = text.partition("=")
        name = name.strip().upper()
        if not equals or name not in NAMES:
            raise SettingsError(
                f"--set {shown(name)} names no setting{_nearest(name)}: write --set NAME=VALUE"
            )
        chosen[name] = value
    return chosen


def _known(names: Mapping[str, str], source: Source) -> tuple[dict[str, str], tuple[str, ...]]:
    """Those that are settings of ours, and what to say of others in a file that is ours alone."""
    known = {name: text for name, text in names.items() if name in NAMES}
    level = _LEVELS_OF_RUST.get(_plain_directive(names.get("RUST_LOG", "")))
    if level is not None and "LOG_LEVEL" not in known:
        known["LOG_LEVEL"] = level
    if source is not Source.FILE:
        return known, ()
    strangers = [name for name in names if name not in NAMES]
    return known, tuple(f"{shown(name)} in {source} is no setting{_nearest(name)}" for name in strangers)


def _plain_directive(text: str) -> str:
    """What RUST_LOG says for everything, as in `info` or `info,hyper=warn`; empty if nothing."""
    return next((each.strip().lower() for each in text.split(",") if "=" not in each), "")


def _nearest(name: str) -> str:
    near = difflib.get_close_matches(name, NAMES, n=1)
    return f" (did you mean {near[0]}?)" if near else ""


def _of_dotenv(path: Path) -> dict[str, str]:
    text = _text_of(path)
    if text is None:
        return {}
    values = dotenv_values(stream=io.StringIO(text), interpolate=False)
    return {name: value for name, value in values.items() if value is not None}


def _of_file(path: Path, profile: str) -> dict[str, str]:
    """The settings of a profile: those of its own table over those of all."""
    text = _text_of(path)
    if text is None:
        return {}
    try:
        # Numbers stay as they were written: 0.1 is no binary fraction.
        document = tomllib.loads(text, parse_float=str)
        tables = document.pop("profiles", {})
        if not isinstance(tables, dict) or not all(isinstance(table, dict) for table in tables.values()):
            raise SettingsError(
                f"{path} cannot be read: profiles must be tables, as in [profiles.name]: correct it"
            )
        own = tables.get(profile, {})
        return {name.upper(): _as_text(value) for name, value in (*document.items(), *own.items())}
    except (ValueError, RecursionError) as error:  # TOML's own, and Python's of a number with too many digits
        raise SettingsError(f"{path} cannot be read: {error}: correct it") from None


def _as_text(value: Any) -> str:
    """A value of the file as it would stand in the environment."""
    if isinstance(value, bool):
        return "on" if value else "off"
    if isinstance(value, list):
        return ",".join(map(_as_text, value))
    return json.dumps(value, default=str) if isinstance(value, dict) else str(value)


def _text_of(path: Path) -> str | None:
    """The file's text, None without one. Raises SettingsError when others could have written it."""
    try:
        # O_NONBLOCK: a FIFO in the file's place must not hang us before it can be refused.
        with open(path, "rb", opener=lambda name, flags: os.open(name, flags | os.O_NONBLOCK)) as file:
            status = os.fstat(file.fileno())
            if not stat.S_ISREG(status.st_mode):
                raise SettingsError(f"{path} is no file: remove it, or put a file of settings there")
            if status.st_mode & stat.S_IWOTH or status.st_uid not in (0, os.getuid()):
                raise SettingsError(
                    f"{path} could have been written by somebody else: own it, and `chmod o-w {path}`"
                )
            return file.read(LARGEST_FILE).decode()
    except (FileNotFoundError, NotADirectoryError):
        return None
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is no UTF-8 text"
        raise SettingsError(
            f"{path} cannot be read: {reason}: see to its permissions and its content"
        ) from None


def exposed_secrets(environ: Mapping[str, str], folder: Path | None = None) -> list[str]:
    """The files of settings that hold secrets and that others on this machine can read, as one line each."""
    found = []
    for path in (config_file(environ), (folder or _working_folder()) / ".env"):
        try:
            is_open = stat.S_IMODE(path.stat().st_mode) & (stat.S_IRGRP | stat.S_IROTH)
            text = path.read_text() if is_open else ""
        except (OSError, UnicodeDecodeError):
            continue
        if any(name in text.upper() for name in SECRETS):
            found.append(f"{path} may hold secrets and others can read it: `chmod 600 {path}`")
    return found
