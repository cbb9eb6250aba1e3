"""What the value of a setting may be: each check reads a text, or refuses it in words for an operator.

The words never repeat a value that may be secret.
"""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal, InvalidOperation
from ipaddress import ip_address
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from pydantic import BeforeValidator, SecretStr
from solders.hash import Hash, ParseHashError
from solders.pubkey import Pubkey

from engine.symbol_settings import parse_symbols

LAMPORTS_PER_SOL: Final = 1_000_000_000
MAX_COMPUTE_UNITS: Final = 1_400_000  # the runtime's own limit per transaction
MOST_ENDPOINTS: Final = 8
REQUESTS_PER_S: Final = (1, 100_000)
LOG_FORMATS: Final = ("pairs", "json")
LOG_LEVELS: Final = ("debug", "info", "warning", "error")
EVENT_LOOPS: Final = ("uvloop", "asyncio")
WALLET_SOURCES: Final = ("auto", "credential", "keyring", "file")
SWITCH: Final = ("off", "on")
_SHOWN_CHARACTERS: Final = 40


def shown(value: object) -> str:
    """A bad value as an error message may show it: printable, short, quoted."""
    text = ascii(value)
    return text if len(text) <= _SHOWN_CHARACTERS else text[: _SHOWN_CHARACTERS - 1] + "…'"


def whole(low: int, high: int) -> BeforeValidator:
    """A whole number from `low` to `high`."""

    return BeforeValidator(lambda value: _whole_number(value, low, high))


def _whole_number(value: object, low: int, high: int) -> int:
    text = str(value).strip()
    digits = text.removeprefix("-")
    if len(digits) < 20 and digits.isascii() and digits.isdigit() and low <= int(text) <= high:
        return int(text)
    raise ValueError(f"must be a whole number from {low} to {high}, not {shown(value)}")


def scaled(low: str, high: str, scale: int) -> BeforeValidator:
    """A decimal number from `low` to `high`, kept as a whole number of 1/`scale`; no finer digits."""

    def check(value: object) -> int:
        refusal = f"must be a number from {low} to {high} in steps of 1/{scale}, not {shown(value)}"
        try:
            number = Decimal(str(value).strip())
        except InvalidOperation:
            raise ValueError(refusal) from None
        if not number.is_finite() or not Decimal(low) <= number <= Decimal(high):
            raise ValueError(refusal)
        scaled = number * scale
        if scaled != int(scaled):
            raise ValueError(refusal)
        return int(scaled)

    return BeforeValidator(check)


def url(*schemes: str) -> Callable[[object], str]:
    """A URL of one of these schemes with a host. The message never repeats the value: it may hold a key."""
    beginnings = " or ".join(f"{scheme}://" for scheme in schemes)
    refusal = f"must be a URL that begins with {beginnings} and names a host"

    def check(value: object) -> str:
        text = str(value).strip()
        try:
            parts = urlsplit(text)
            port = parts.port
            (parts.hostname or "").encode("idna")  # as whoever looks the host up does
        except ValueError:
            raise ValueError(refusal) from None
        if parts.scheme not in schemes or not parts.hostname or port == 0 or not _is_plain(text):
            raise ValueError(refusal)
        return text

    return check


def urls(*schemes: str) -> Callable[[object], tuple[str, ...]]:
    """One or several such URLs, separated by commas, none of them twice."""
    check_one = url(*schemes)

    def check(value: object) -> tuple[str, ...]:
        texts = value if isinstance(value, tuple) else str(value).split(",")
        urls = tuple(check_one(text) for text in texts)
        if len(urls) > MOST_ENDPOINTS:
            raise ValueError(f"must not name more than {MOST_ENDPOINTS} URLs")
        if len(set(urls)) < len(urls):
            raise ValueError("must not name a URL twice")
        return urls

    return check


def rates(value: object) -> tuple[int, ...]:
    """One whole number for all endpoints, or one for each of them, separated by commas."""
    texts = value if isinstance(value, tuple) else str(value).split(",")
    rates = tuple(_whole_number(text, *REQUESTS_PER_S) for text in texts)
    if len(rates) > MOST_ENDPOINTS:
        raise ValueError(f"must not hold more than {MOST_ENDPOINTS} numbers")
    return rates


def genesis_hash(value: object) -> str:
    """The identity of a cluster."""
    try:
        return str(Hash.from_string(str(value).strip()))
    except ParseHashError:
        raise ValueError(f"must be a base58 hash of 32 bytes, not {shown(value)}") from None


def database_url(value: object) -> SecretStr:
    """A PostgreSQL DSN; the host may be missing, since a unix socket can stand in the query part."""
    text = value.get_secret_value() if isinstance(value, SecretStr) else str(value).strip()
    if text.startswith(("postgresql://", "postgres://")) and _is_plain(text):
        return SecretStr(text)
    raise ValueError("must begin with postgresql://, as in postgresql://user:password@host/database")


def _is_plain(text: str) -> bool:
    return text.isprintable() and " " not in text


def path(value: object) -> Path:
    """The path of a file; `~` is somebody's home."""
    text = str(value)
    try:
        if text.isprintable():
            return Path(text).expanduser()
    except RuntimeError:  # ~somebody who does not exist
        pass
    raise ValueError(f"must be the path of a file, not {shown(value)}")


def pubkey(value: object) -> Pubkey:
    """An address."""
    if isinstance(value, Pubkey):
        return value
    try:
        return Pubkey.from_string(str(value).strip())
    except ValueError:
        raise ValueError(f"must be a base58 address of 32 bytes, not {shown(value)}") from None


def bearer_key(value: object) -> SecretStr:
    """A key as it may stand in a header. The message never repeats it."""
    text = value.get_secret_value() if isinstance(value, SecretStr) else str(value).strip()
    if text.isascii() and _is_plain(text) and len(text) <= 4096:
        return SecretStr(text)
    raise ValueError("must be printable ASCII without spaces")


def symbols(value: object) -> object:
    """The setting SYMBOLS, read by `engine.symbol_settings`."""
    return parse_symbols(value.strip()) if isinstance(value, str) else value


def log_level(value: object) -> str:
    """One of LOG_LEVELS."""
    level = str(value).strip().lower()
    if level in LOG_LEVELS:
        return level
    raise ValueError(f"must be one of {', '.join(LOG_LEVELS)}, not {shown(value)}")


def log_format(value: object) -> str:
    """One of LOG_FORMATS."""
    name = str(value).strip().lower()
    if name in LOG_FORMATS:
        return name
    raise ValueError(f"must be one of {', '.join(LOG_FORMATS)}, not {shown(value)}")


def event_loop(value: object) -> str:
    """One of EVENT_LOOPS."""
    name = str(value).strip().lower()
    if name in EVENT_LOOPS:
        return name
    raise ValueError(f"must be one of {', '.join(EVENT_LOOPS)}, not {shown(value)}")


def wallet_source(value: object) -> str:
    """One of WALLET_SOURCES."""
    name = str(value).strip().lower()
    if name in WALLET_SOURCES:
        return name
    raise ValueError(f"must be one of {', '.join(WALLET_SOURCES)}, not {shown(value)}")


def switch(value: object) -> bool:
    """On or off."""
    text = ("on" if value else "off") if isinstance(value, bool) else str(value).strip().lower()
    if text in SWITCH:
        return text == "on"
    raise ValueError(f"must be one of {', '.join(SWITCH)}, not {shown(value)}")


def listening_address(value: object) -> str:
    """An address of this machine, as a number: a name could become another one."""
    try:
        return str(ip_address(str(value).strip()))
    except ValueError:
        raise ValueError(f"must be an IP address such as 127.0.0.1, not {shown(value)}") from None


def group_name(value: object) -> str:
    """A group of the system; whether it exists is seen when it is used."""
    text = str(value).strip()
    if text.isascii() and text.replace("-", "").replace("_", "").isalnum() and len(text) <= 32:
        return text
    raise ValueError(f"must be the name of a group, not {shown(value)}")
