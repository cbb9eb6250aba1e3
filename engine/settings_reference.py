"""The manual's table of settings: name, default, bounds and meaning, all from the settings themselves."""

from __future__ import annotations

import re
from typing import Final

from pydantic import ValidationError

from engine.api.settings_view import settings_page
from engine.settings import Settings, load_settings

HEAD: Final = ("setting", "default", "may be", "what it is")
_NODE: Final = {"SOLANA_RPC_URL": "http://not-set"}
_NO_DEFAULT: Final = ("SOLANA_RPC_URL", "SOLANA_WS_URL")
_NOTHING: Final = "–"
_IN_NO_SETTING: Final = "\0"
_LEFT_OUT: Final = re.compile(
    r"^(Value error, )?((must )?(be |begin with ))?(a whole number from |a number from |one of )?"
    r"|( in steps of \d+/\d+)?, not '.*$|: the one at place .*$"
)


def settings_table() -> str:
    """The table in Markdown, one row a setting, in the order of the settings."""
    rows = [HEAD, ("---",) * len(HEAD)]
    for row in settings_page(load_settings(_NODE)).rows:
        default = "" if row.name in _NO_DEFAULT else _default(row.name, row.value)
        rows.append((f"`{row.name}`", default or _NOTHING, _bounds(row.name), row.description))
    return "\n".join(f"| {' | '.join(cells)} |" for cells in rows)


def _default(name: str, value: str) -> str:
    """As it would be given; the symbols' default is that none of them is changed."""
    if name in ("SYMBOLS", "PROGRAM_ID"):
        return f"`{'{}' if name == 'SYMBOLS' else value}`"
    return value


def _bounds(name: str) -> str:
    """What a value may be, in the words in which a bad one is refused."""
    try:
        Settings.model_validate({**_NODE, "SOLANA_WS_URL": "ws://not-set", name: _IN_NO_SETTING})
    except ValidationError as error:
        [refusal] = [str(each["msg"]) for each in error.errors() if name in each["loc"]]
        return _LEFT_OUT.sub("", refusal)
    raise ValueError(f"{name} takes anything")
