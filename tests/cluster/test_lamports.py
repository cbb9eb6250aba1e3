"""Supply and the largest accounts are followed change by change, and agree with counting all accounts."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import TYPE_CHECKING

import pytest
from solders.pubkey import Pubkey

from engine.sandbox.cluster import Commitment
from engine.sandbox.cluster.blocks import lamports

if TYPE_CHECKING:
    from conftest import Town

NewKey = Callable[[], Pubkey]
COUNT = 20


def _counted(town: Town, slot: int) -> tuple[int, list[int]]:
    held = sorted((account.lamports for _, account in town.ledger.accounts_at(slot)), reverse=True)
    return sum(held), held[:COUNT]


def _followed(town: Town, slot: int) -> tuple[int, list[int]]:
    largest = town.ledger.largest_accounts(COUNT, slot)
    for address, held in largest:
        account = town.ledger.account_at(address, slot)
        assert account is not None
        assert account.lamports == held
    return town.ledger.total_lamports(slot), [held for _, held in largest]


@pytest.mark.parametrize("most_rich", [24, 60, lamports.MOST_RICH])
def test_following_agrees_with_counting_in_every_bank(
    town: Town, key: NewKey, monkeypatch: pytest.MonkeyPatch, most_rich: int
) -> None:
    monkeypatch.setattr(lamports, "MOST_RICH", most_rich)
    dice = random.Random(7)
    addresses = [key() for _ in range(150)]
    for step in range(200):
        # Whole tides: everybody gets rich for a while, and then poor, so that who was rich is no more.
        most = 10 ** (12 if step // 40 % 2 else 18)
        for _ in range(dice.randrange(12)):
            town.plant(dice.choice(addresses), dice.choice((0, 5, dice.randrange(1, most))))
        if step % 3 == 0:
            town.advance()
        for commitment in Commitment:
            slot = town.ledger.bank(commitment).slot
            assert _followed(town, slot) == _counted(town, slot), (step, commitment)


def test_what_an_abandoned_fork_minted_is_no_part_of_supply(town: Town, key: NewKey) -> None:
    town.advance()
    before = _counted(town, town.ledger.slot)
    town.advance()
    fork = town.ledger.slot
    town.plant(key(), 10**18)
    town.land(town.pay(key(), 10**9))
    town.advance()
    assert _followed(town, town.ledger.slot) == _counted(town, town.ledger.slot) != before
    town.ledger.abandon(fork)
    assert _followed(town, town.ledger.slot) == _counted(town, town.ledger.slot) == before
    for commitment in Commitment:
        slot = town.ledger.bank(commitment).slot
        assert _followed(town, slot) == _counted(town, slot) == before, commitment
