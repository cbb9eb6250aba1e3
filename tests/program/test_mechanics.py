"""Each worked number of docs/mechanics.md is what the formulas give and what the program does."""

from __future__ import annotations

import re
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from engine.domain import Action, Position, Side
from engine.protocol import margin
from engine.protocol.events import LiquidationEvent

TEXT = (Path(__file__).parents[2] / "docs" / "mechanics.md").read_text()
MakePosition = Callable[..., Position]


def table(after: str) -> list[list[str]]:
    """The rows of the first table after a text, its head included."""
    lines = TEXT.split(after, 1)[1].lstrip("\n").splitlines()
    rows = [line for line in lines[: lines.index("")] if not line.startswith("| ---")]
    return [[cell.strip() for cell in row.strip("|").split("|")] for row in rows]


def worked() -> dict[str, dict[str, str]]:
    """Each example by its letter, its numbers by their names."""
    names, *rows = table("E has leverage 100.\n")
    return {letter: {row[0]: row[at] for row in rows} for at, letter in enumerate(names) if letter}


def e6(text: str) -> int:
    """A decimal number in units of 1e-6; it must not have more digits."""
    scaled = Decimal(text) * 10**6
    assert scaled == int(scaled), text
    return int(scaled)


def terms(example: dict[str, str]) -> margin.Terms:
    return margin.Terms(
        Side(example["side"]),
        e6(example["size"]),
        e6(example["entry"]),
        e6(example["collateral"]),
        int(example["leverage"]),
    )


def percent(equity: int, value: int) -> str:
    return f"{Decimal(100 * equity) / Decimal(value):.4f} %"


def test_there_are_five_examples_of_every_kind() -> None:
    kinds = {
        (example["side"], example["action"], example["bad debt"] != "0") for example in worked().values()
    }
    assert len(worked()) == 5
    assert kinds == {
        ("long", "partial", False),
        ("short", "partial", False),
        ("long", "full", False),
        ("long", "full", True),
    }


@pytest.mark.parametrize("letter", list(worked()))
def test_an_example_is_what_the_formulas_give(letter: str) -> None:
    example = worked()[letter]
    of, mark = terms(example), e6(example["mark"])
    health = margin.health_at(of, mark)
    assert margin.threshold_e6(of) == e6(example["liquidation price"])
    assert health.equity_e12 == e6(example["equity"]) * 10**6
    assert health.value_e12 == e6(example["value"]) * 10**6
    assert percent(health.equity_e12, health.value_e12) == example["margin ratio"]
    factor = Decimal(health.equity_e12 * 10_000) / Decimal(health.value_e12 * health.maintenance_bps)
    assert f"{factor:.4f}" == example["health factor"]
    action, amount_e6, _ = margin.choose_action(of.size_e6, health, mark)
    assert (action.value, amount_e6) == (example["action"], e6(example["closed"]))
    is_partial = action is Action.PARTIAL
    ended = margin.settle_partial(of, mark, amount_e6) if is_partial else margin.settle_full(of, mark)
    assert ended.fee_e6 == e6(example["fee"])
    assert ended.bad_debt_e6 == e6(example["bad debt"])
    left = ended.remaining_size_e6, ended.remaining_collateral_e6
    assert left == (e6(example["size left"]), e6(example["collateral left"]))
    if is_partial:
        kept = margin.Terms(of.side, left[0], of.entry_price_e6, left[1], of.leverage)
        after = margin.health_at(kept, mark)
        assert percent(after.equity_e12, after.value_e12) == example["margin ratio after"]


@pytest.mark.parametrize("letter", list(worked()))
def test_an_example_is_what_the_program_does(chain: Any, position: MakePosition, letter: str) -> None:
    example = worked()[letter]
    of, mark = terms(example), e6(example["mark"])
    chain.plant_fund(balance=10**12, contributions=10**12)
    chain.set_price("BTC/USD", mark)
    planted = position(
        side=of.side,
        size_e6=of.size_e6,
        entry_price_e6=of.entry_price_e6,
        collateral_e6=of.collateral_e6,
        leverage=of.leverage,
        maintenance_margin_e6=margin.maintenance_margin_e6(of.size_e6, of.entry_price_e6, of.leverage),
    )
    chain.plant_position(planted)
    amount_e6 = e6(example["closed"]) if example["action"] == "partial" else None
    [event] = chain.succeed(chain.liquidation(planted.address, "BTC/USD", amount_e6)).events
    assert isinstance(event, LiquidationEvent)
    assert event.is_full == (example["action"] == "full")
    assert event.liquidated_size_e6 == e6(example["closed"])
    assert event.liquidator_reward_lamports == int(example["reward in lamports"])
    assert event.bad_debt_lamports == int(example["bad debt in lamports"])
    if not event.is_full:
        after = chain.position(planted.address)
        left = e6(example["size left"]), e6(example["collateral left"])
        assert (after.size_e6, after.collateral_e6) == left


def test_the_circulating_approximation_is_as_wrong_as_the_page_says() -> None:
    wrong, right = re.findall(r"gives (\d+\.\d+) for example A below, where (\d+\.\d+) is right", TEXT)[0]
    of = terms(worked()["A"])
    assert e6(right) == margin.threshold_e6(of)
    ratio = Decimal(of.collateral_e6 * 10**6) / Decimal(of.size_e6 * of.entry_price_e6)
    m = Decimal(margin.maintenance_bps(of.leverage)) / 10_000
    assert Decimal(wrong) == Decimal(of.entry_price_e6) / 10**6 * (1 - ratio + m)


def test_the_maintenance_ratios_are_the_tiers() -> None:
    head, row = table("10,000 · E < m · V |\n")
    for reach, ratio in zip(head[1:], row[1:], strict=True):
        for leverage in map(int, reach.split(" to ")):
            assert Decimal(ratio.removesuffix(" %")) * 100 == margin.maintenance_bps(leverage)
    assert int(head[-1].split(" to ")[1]) == margin.MAX_LEVERAGE


def test_the_fund_s_utilization_is_the_formula() -> None:
    for contributed, covered, shown in table("healthy up to 50 %\n")[1:]:
        sol = [int(text.removesuffix(" SOL")) * margin.LAMPORTS_PER_SOL for text in (covered, contributed)]
        assert f"{margin.utilization_bps(*sol) / 100:.2f} %" == shown
