"""What `status` says: who is next, what a move would bring, why some are unknown, how attempts ended."""

from __future__ import annotations

import sys
from pathlib import Path

import msgspec

from engine.api import wire
from engine.cli.status import status_lines

# The snapshots are those that the console's tests draw.
sys.path.insert(0, str(Path(__file__).parents[1] / "tui"))
import snapshots


def lines_of(**changes: object) -> list[str]:
    return list(status_lines(snapshots.snapshot(**changes)))


def test_every_symbol_says_who_is_next_and_what_ten_percent_would_bring() -> None:
    lines = lines_of()
    assert (
        "risk        SOL/USD: 9 at risk, 4 liquidatable; next long -0.12 %; next short +0.31 %; "
        "-10 %: 7,000 worth $8,450,000, bad debt $4,100; +10 %: 7,000 worth $8,450,000, bad debt $4,100"
    ) in lines
    assert "risk        ETH/USD: price is wide confidence, 3,204 positions unknown" in lines


def test_a_debt_beyond_the_fund_and_one_that_nobody_can_compare_are_said_so() -> None:
    row = snapshots.symbol_risk(0)
    for is_covered, words in (
        (False, "bad debt $4,100 BEYOND the fund"),
        (None, "(fund or SOL price unknown)"),
    ):
        ladder = [msgspec.structs.replace(rung, is_covered=is_covered) for rung in row.ladder]
        assert words in "\n".join(lines_of(risk=[msgspec.structs.replace(row, ladder=ladder)]))


def test_unknown_positions_are_counted_by_reason() -> None:
    book = msgspec.structs.replace(snapshots.snapshot().book, unknown_reasons={"unsupported leverage": 1_200})
    assert "unknown     1,200: unsupported leverage" in lines_of(book=book)


def test_accounts_that_cannot_be_read_are_counted_by_reason() -> None:
    book = msgspec.structs.replace(snapshots.snapshot().book, skipped={"wrong length": 1_200})
    assert "skipped     1,200 times an account that is no position: wrong length" in lines_of(book=book)
    book = msgspec.structs.replace(book, skipped={})
    assert not any(line.startswith("skipped") for line in lines_of(book=book))


def test_a_failed_liquidation_is_told_with_how_each_of_its_attempts_ended() -> None:
    attempts = [
        wire.FailedAttemptRow(attempt=1, at_ns=1, outcome="timeout", message="timeout", signature=None),
        wire.FailedAttemptRow(
            attempt=2,
            at_ns=2,
            outcome="program error",
            message="program error: Overflow (6006)",
            signature="5x",
        ),
    ]
    failed = msgspec.structs.replace(snapshots.snapshot().failed[0], history=attempts)
    lines = lines_of(failed=[failed])
    place = next(number for number, each in enumerate(lines) if failed.liquidation_id in each)
    assert lines[place + 1 : place + 3] == [
        "            attempt 1: timeout",
        "            attempt 2: program error: Overflow (6006)",
    ]
