"""Filters as operators type them: words, terms and negations, exact in their numbers."""

from __future__ import annotations

import pytest

from tui.query import BadQuery, Number, order_key, parse

FIELDS = ("market", "side", "size", "health")
ROW = {
    "market": "SOL/USD",
    "side": "long",
    "size": Number(20_500_000_000, 6),
    "health": Number(1_100, 3),
}


@pytest.mark.parametrize(
    ("text", "is_kept"),
    [
        ("", True),
        ("sol", True),
        ("SOL long", True),
        ("sol short", False),
        ("-short", True),
        ("-long", False),
        ("side:lo", True),
        ("-side:lo", False),
        ("health<1.1", False),
        ("health<=1.1", True),
        ("health<1.1001", True),
        ("health>=1.10 size>20k", True),
        ("size>20.5k", False),
        ("size=20.5k", True),
        ("health:1.1", True),
        ("side=long", True),
        ("side=lon", False),
        ("health<5%", True),
    ],
)
def test_a_row_is_kept_when_every_term_holds(text: str, is_kept: bool) -> None:
    assert parse(text, FIELDS).matches(ROW) is is_kept


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("colour:red", 'no field "colour"'),
        ("health<", "health< what?"),
        ("health<low", 'needs a number, "low" is none'),
        ("health<nan", 'needs a number, "nan" is none'),
        ("a b c d e f g h i j k l m", "more than 12 terms"),
    ],
)
def test_what_is_no_filter_is_refused_with_the_reason(text: str, reason: str) -> None:
    with pytest.raises(BadQuery, match=reason.replace("?", r"\?")):
        parse(text, FIELDS)


def test_what_is_not_known_matches_no_comparison_and_comes_last() -> None:
    unknown = {**ROW, "health": Number(None, 3)}
    assert not parse("health<9", FIELDS).matches(unknown)
    assert not parse("health>0", FIELDS).matches(unknown)
    facts = [Number(None), Number(5), Number(-3)]
    assert sorted(facts, key=order_key) == [Number(-3), Number(5), Number(None)]
    assert sorted([None, "b", "a"], key=order_key) == ["a", "b", None]
