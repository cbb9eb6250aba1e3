"""What the query of a URL may say: each parameter reads its own text, refuses it, and documents itself."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal, InvalidOperation
from typing import Any, Protocol

from engine.api.clean import clean
from engine.commands import CommandError

Schema = dict[str, Any]

_SHOWN = 40
_BASE58 = re.compile(r"[1-9A-HJ-NP-Za-km-z]+")
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class Query(Protocol):
    """The query of a URL, in which a name may stand several times."""

    def __iter__(self) -> Iterator[str]: ...

    def getall(self, key: str) -> list[str]:
        """Every value of that name."""
        ...


class BadParameter(CommandError):
    """A parameter that cannot be used; the details name it and what it may be."""

    def __init__(self, name: str, allowed: str, given: str | None = None) -> None:
        shown = "" if given is None else f", not {clean(given, _SHOWN)!r}"
        super().__init__("bad_parameter", f"{name} must be {allowed}{shown}", 400)
        self.details = {"parameter": name, "allowed": allowed}


class Parameter(Protocol):
    """One parameter of a query."""

    @property
    def name(self) -> str:
        """As the URL spells it."""
        ...

    @property
    def allowed(self) -> str:
        """What it may be, in words."""
        ...

    @property
    def default(self) -> Any:
        """What holds when it is not given."""
        ...

    def read(self, text: str) -> Any:
        """The value; raises ValueError."""
        ...

    def schema(self) -> Schema:
        """The same as JSON Schema."""
        ...


@dataclass(frozen=True, slots=True)
class Whole:
    """A whole number."""

    name: str
    low: int
    high: int
    default: int | None

    @property
    def allowed(self) -> str:
        """The range."""
        return f"a whole number from {self.low} to {self.high}"

    def read(self, text: str) -> int:
        """Raises ValueError out of the range."""
        if not text.isascii() or not text.isdecimal() or len(text) > 19:
            raise ValueError
        number = int(text)
        if not self.low <= number <= self.high:
            raise ValueError
        return number

    def schema(self) -> Schema:
        """As JSON Schema."""
        bounds = {"type": "integer", "minimum": self.low, "maximum": self.high}
        return bounds if self.default is None else bounds | {"default": self.default}


@dataclass(frozen=True, slots=True)
class Number:
    """A decimal number, for display and filters only."""

    name: str
    low: int
    high: int
    default: float | None = None

    @property
    def allowed(self) -> str:
        """The range."""
        return f"a number from {self.low} to {self.high}"

    def read(self, text: str) -> float:
        """Raises ValueError out of the range."""
        try:
            number = Decimal(text) if len(text) <= 40 and text.isascii() else None
        except InvalidOperation:
            number = None
        if number is None or not number.is_finite() or not self.low <= number <= self.high:
            raise ValueError
        return float(number)

    def schema(self) -> Schema:
        """As JSON Schema."""
        return {"type": "number", "minimum": self.low, "maximum": self.high}


@dataclass(frozen=True, slots=True)
class Choice:
    """One of a few words."""

    name: str
    words: Sequence[str]
    default: str | None = None

    @property
    def allowed(self) -> str:
        """The words."""
        return f"one of {', '.join(self.words)}"

    def read(self, text: str) -> str:
        """Raises ValueError for another word."""
        if text not in self.words:
            raise ValueError
        return text

    def schema(self) -> Schema:
        """As JSON Schema."""
        return {"type": "string", "enum": list(self.words)}


@dataclass(frozen=True, slots=True)
class Symbol:
    """The name of a market, which anybody may have invented: printable, and as long as the program allows."""

    name: str = "symbol"
    default: str | None = None

    @property
    def allowed(self) -> str:
        """In words."""
        return "a symbol of 1 to 32 printable characters"

    def read(self, text: str) -> str:
        """Raises ValueError."""
        if not 1 <= len(text) <= 32 or not text.isprintable():
            raise ValueError
        return text

    def schema(self) -> Schema:
        """As JSON Schema."""
        return {"type": "string", "minLength": 1, "maxLength": 32}


@dataclass(frozen=True, slots=True)
class Base58:
    """An address or a signature, or how one begins."""

    name: str
    longest: int
    default: str | None = None

    @property
    def allowed(self) -> str:
        """In words."""
        return f"1 to {self.longest} base58 characters"

    def read(self, text: str) -> str:
        """Raises ValueError."""
        if len(text) > self.longest or not _BASE58.fullmatch(text):
            raise ValueError
        return text

    def schema(self) -> Schema:
        """As JSON Schema."""
        return {"type": "string", "pattern": f"^[1-9A-HJ-NP-Za-km-z]{{1,{self.longest}}}$"}


@dataclass(frozen=True, slots=True)
class Moment:
    """A day or a time of ISO 8601, UTC unless it says otherwise, as nanoseconds of the Unix clock.

    With `is_end` a day means its end: it is counted in.
    """

    name: str
    is_end: bool = False
    default: int | None = None

    @property
    def allowed(self) -> str:
        """In words."""
        return "a day or a time of ISO 8601 from 1970 to 2261, as in 2026-01-31 or 2026-01-31T12:00:00Z"

    def read(self, text: str) -> int:
        """Raises ValueError."""
        if not 10 <= len(text) <= 40 or not text.isascii():
            raise ValueError
        moment = datetime.fromisoformat(text)
        if moment.tzinfo is None:
            moment = moment.replace(tzinfo=UTC)
        if not 1970 <= moment.year <= 2261:
            raise ValueError
        if self.is_end and len(text) == 10:
            moment += timedelta(days=1)
        since = moment - _EPOCH
        return ((since.days * 86_400 + since.seconds) * 10**6 + since.microseconds) * 1000

    def schema(self) -> Schema:
        """As JSON Schema."""
        return {"type": "string", "pattern": r"^(19[7-9]\d|20\d\d)-(0[1-9]|1[0-2])-(0[1-9]|1\d|2[0-8])$"}


def read_query(query: Query, parameters: Sequence[Parameter]) -> Mapping[str, Any]:
    """Every parameter's value or default; raises BadParameter, for one that does not exist too."""
    known = {parameter.name: parameter for parameter in parameters}
    values = {name: parameter.default for name, parameter in known.items()}
    for name in query:
        if name not in known:
            allowed = f"left out: known are {', '.join(known)}" if known else "left out: there are none here"
            raise BadParameter(clean(name, _SHOWN), allowed)
        text, *more = query.getall(name)
        if more:
            raise BadParameter(name, f"given once, and {known[name].allowed}")
        try:
            values[name] = known[name].read(text)
        except (ValueError, OverflowError):
            raise BadParameter(name, known[name].allowed, text) from None
    return values
