"""Filters as operators type them: words and `field:text`, `field<number` terms, all of which must hold.

`sol side:long health<1.1 -partial` keeps what contains "sol", is long, has a health below 1.1 and nowhere
"partial". Numbers are compared as integers of the field's scale, so that 1.1 means exactly 1.1.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from decimal import Decimal, InvalidOperation
from typing import NamedTuple

LONGEST_QUERY = 120
_MOST_TERMS = 12
_TERM = re.compile(r"(?P<not>-?)(?P<field>[a-z_]+)(?P<how>:|<=|>=|<|>|=)(?P<what>.*)", re.DOTALL)
_UNITS = {"k": 10**3, "m": 10**6, "b": 10**9}


class Number(NamedTuple):
    """A figure of 10^-scale units; a `value` of None is not known, and matches no comparison."""

    value: int | None
    scale: int = 0


Fact = str | Number
Facts = Mapping[str, Fact]
Term = Callable[[Facts], bool]


class BadQuery(ValueError):
    """The text is no filter; `str()` says what is wrong with it, in a few words."""


class Query:
    """A filter that was understood. An empty one matches everything."""

    def __init__(self, text: str = "", terms: Iterable[Term] = ()) -> None:
        self.text = text
        self._terms = tuple(terms)

    def __bool__(self) -> bool:
        return bool(self._terms)

    def matches(self, facts: Facts) -> bool:
        """Whether every term holds for these facts."""
        return all(term(facts) for term in self._terms)


def parse(text: str, fields: Iterable[str]) -> Query:
    """The filter that `text` is, for rows with these fields. Raises BadQuery."""
    known = tuple(fields)
    words = text.lower()[:LONGEST_QUERY].split()
    if len(words) > _MOST_TERMS:
        raise BadQuery(f"more than {_MOST_TERMS} terms")
    return Query(text.strip(), [_term(word, known) for word in words])


def _term(word: str, fields: tuple[str, ...]) -> Term:
    found = _TERM.fullmatch(word)
    if found is None:
        if word.startswith("-") and len(word) > 1:
            return _negated(_anywhere(word[1:]))
        return _anywhere(word)
    field, how, what = found["field"], found["how"], found["what"]
    if field not in fields:
        raise BadQuery(f'no field "{field}": {" ".join(fields)}')
    if not what:
        raise BadQuery(f"{field}{how} what?")
    term = _contains(field, what) if how == ":" else _compares(field, how, what)
    return _negated(term) if found["not"] else term


def _negated(term: Term) -> Term:
    return lambda facts: not term(facts)


def _anywhere(wanted: str) -> Term:
    return lambda facts: any(isinstance(fact, str) and wanted in fact.lower() for fact in facts.values())


def _contains(field: str, wanted: str) -> Term:
    is_same = _compares(field, "=", wanted)

    def holds(facts: Facts) -> bool:
        fact = facts.get(field)
        return wanted in fact.lower() if isinstance(fact, str) else is_same(facts)

    return holds


def _compares(field: str, how: str, what: str) -> Term:
    wanted = _decimal(what)

    def holds(facts: Facts) -> bool:
        fact = facts.get(field)
        if not isinstance(fact, Number):
            return how == "=" and fact is not None and fact.lower() == what
        if wanted is None or fact.value is None:
            return False
        have = Decimal(fact.value).scaleb(-fact.scale)
        return {
            "<": have < wanted,
            "<=": have <= wanted,
            ">": have > wanted,
            ">=": have >= wanted,
            "=": have == wanted,
        }[how]

    if wanted is None and how != "=":
        raise BadQuery(f'{field}{how} needs a number, "{what}" is none')
    return holds


def _decimal(text: str) -> Decimal | None:
    """A number as people type it: 1.1, −3, 20k, 1.5m; None for anything else."""
    digits, unit = (text[:-1], _UNITS[text[-1]]) if text[-1:] in _UNITS else (text, 1)
    try:
        number = Decimal(digits.replace("−", "-").rstrip("%")) * unit
    except InvalidOperation:
        return None
    return number if number.is_finite() else None


def order_key(fact: Fact | None) -> tuple[int, int, str]:
    """Where a fact stands among those of its field, whatever they are; what is not known comes last."""
    if isinstance(fact, Number):
        return (1, 0, "") if fact.value is None else (0, fact.value, "")
    return (1, 0, "") if fact is None else (0, 0, fact)
