"""What an owner does with a position: adds collateral, closes it while it is healthy; and what is refused."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import pytest
from solders.instruction import AccountMeta, Instruction
from solders.keypair import Keypair
from solders.pubkey import Pubkey

from engine.domain import Generation, Position, Side
from engine.protocol import accounts, instructions, margin
from engine.protocol.addresses import BTC_USD, ETH_USD, FEEDS, PROGRAM_ID, SOL_USD
from engine.protocol.events import CollateralAddedEvent, PositionClosedEvent

NOW_S = 1_760_000_000
U64_MAX = 2**64 - 1
STRANGER = Pubkey.from_bytes(bytes([1] * 32))
MakePosition = Callable[..., Position]


def addition(position: Position, amount_e6: int, owner: Pubkey | None = None) -> Instruction:
    return instructions.add_collateral(position.address, owner or position.owner, amount_e6=amount_e6)


def closing(position: Position, owner: Pubkey | None = None) -> Instruction:
    feed = FEEDS.get(position.symbol, BTC_USD)
    return instructions.close_position(
        position.address,
        owner or position.owner,
        price_account=feed.account,
        sol_price_account=SOL_USD.account,
    )


def with_account(call: Instruction, index: int, meta: AccountMeta) -> Instruction:
    metas = list(call.accounts)
    metas[index] = meta
    return Instruction(call.program_id, bytes(call.data), metas)


class Held:
    """A position of the payer's with a fund beside it, and both things that its owner may do."""

    def __init__(self, chain: Any, position: Position) -> None:
        self.chain = chain
        self.position = position
        chain.plant_fund(balance=10**9, contributions=10**9)
        chain.plant_position(position)
        self.calls = [addition(position, 5_000_000), closing(position)]

    def refused(
        self,
        code: int,
        name: str,
        account: str | None = None,
        *,
        calls: Sequence[Instruction] | None = None,
        signers: tuple[Keypair, ...] = (),
    ) -> None:
        """Each call ends with this error and leaves position, fund and prices as they were."""
        for call in self.calls if calls is None else calls:
            keys = [meta.pubkey for meta in call.accounts if meta.pubkey != self.chain.payer.pubkey()]
            before = [self.chain.svm.get_account(key) for key in keys]
            result = self.chain.send(call, signers=signers)
            assert (result.code, result.name, result.account) == (code, name, account), result.logs
            assert [self.chain.svm.get_account(key) for key in keys] == before
            assert result.events == []


@pytest.fixture
def held(chain: Any, position: MakePosition) -> Held:
    return Held(chain, position(owner=chain.payer.pubkey()))


# Adding collateral


@pytest.mark.parametrize("generation", list(Generation))
@pytest.mark.parametrize("mark_e6", [60_000_000_000, 58_000_000_000], ids=["healthy", "liquidatable"])
def test_added_collateral_is_all_that_changes(
    chain: Any, position: MakePosition, generation: Generation, mark_e6: int
) -> None:
    created_at_s = 77 * (generation is Generation.DOCUMENTED)
    planted = position(owner=chain.payer.pubkey(), generation=generation, created_at_s=created_at_s)
    held = Held(chain, planted)
    chain.set_price("BTC/USD", mark_e6)
    lamports, fund = chain.lamports(planted.address), chain.fund()
    before = chain.lamports(chain.payer.pubkey())

    result = chain.succeed(held.calls[0])

    assert chain.position(planted.address) == replace(planted, collateral_e6=3_005_000_000)
    assert (chain.lamports(planted.address), chain.fund()) == (lamports, fund)
    assert chain.lamports(chain.payer.pubkey()) == before - result.fee_lamports
    expected = CollateralAddedEvent(
        planted.address, planted.owner, "BTC/USD", 5_000_000, 3_005_000_000, NOW_S
    )
    assert result.events == [expected]
    assert "Program log: Instruction: AddCollateral" in result.logs


def test_enough_collateral_saves_a_position_from_liquidation(held: Held) -> None:
    chain = held.chain
    chain.set_price("BTC/USD", 58_000_000_000)
    chain.succeed(addition(held.position, 450_000_000))
    result = chain.send(chain.liquidation(held.position.address, "BTC/USD"))
    assert (result.code, result.name) == (6004, "PositionNotLiquidatable")


def test_collateral_may_fill_its_64_bits_but_not_overflow_them(held: Held) -> None:
    room = U64_MAX - held.position.collateral_e6
    overflowing = [addition(held.position, amount) for amount in (room + 1, U64_MAX)]
    held.refused(6006, "Overflow", calls=overflowing)
    held.chain.succeed(addition(held.position, room))
    assert held.chain.position(held.position.address).collateral_e6 == U64_MAX
    held.refused(6006, "Overflow", calls=[addition(held.position, 1)])


def test_no_collateral_is_none(held: Held) -> None:
    held.refused(6002, "InvalidCollateral", calls=[addition(held.position, 0)])


def test_a_truncated_amount_does_not_deserialize(held: Held) -> None:
    data = bytes(held.calls[0].data)
    short = [Instruction(PROGRAM_ID, data[:length], held.calls[0].accounts) for length in range(8, 16)]
    held.refused(102, "InstructionDidNotDeserialize", calls=short)


# Closing


@pytest.mark.parametrize(
    ("generation", "side", "mark_e6"),
    [
        (Generation.DEPLOYED, Side.LONG, 61_234_567_890),
        (Generation.DOCUMENTED, Side.LONG, 59_000_000_001),
        (Generation.DOCUMENTED, Side.SHORT, 58_000_000_003),
    ],
)
def test_a_healthy_position_closes_at_the_mark_price_and_its_rent_returns(
    chain: Any, position: MakePosition, generation: Generation, side: Side, mark_e6: int
) -> None:
    planted = position(
        owner=chain.payer.pubkey(), generation=generation, side=side, size_e6=999_983, created_at_s=0
    )
    held = Held(chain, planted)
    chain.set_price("BTC/USD", mark_e6)
    rent, fund = chain.lamports(planted.address), chain.fund()
    before = chain.lamports(chain.payer.pubkey())

    result = chain.succeed(held.calls[1])

    assert chain.svm.get_account(planted.address) is None
    assert chain.lamports(chain.payer.pubkey()) == before + rent - result.fee_lamports
    assert chain.fund() == fund
    terms = margin.Terms(side, 999_983, planted.entry_price_e6, planted.collateral_e6, planted.leverage)
    equity_e6 = margin.health_at(terms, mark_e6).equity_e12 // 10**6
    expected = PositionClosedEvent(
        planted.address, planted.owner, "BTC/USD", 999_983, mark_e6, equity_e6, NOW_S
    )
    assert result.events == [expected]
    assert "Program log: Instruction: ClosePosition" in result.logs


def test_a_position_at_its_liquidation_price_is_not_its_owners_to_close(held: Held) -> None:
    planted = held.position
    terms = margin.Terms(
        planted.side, planted.size_e6, planted.entry_price_e6, planted.collateral_e6, planted.leverage
    )
    line_e6 = margin.threshold_e6(terms)
    held.chain.set_price("BTC/USD", line_e6)
    held.refused(6011, "PositionLiquidatable", calls=held.calls[1:])
    held.chain.set_price("BTC/USD", 50_000_000_000)  # no equity at all
    held.refused(6011, "PositionLiquidatable", calls=held.calls[1:])
    held.chain.set_price("BTC/USD", line_e6 + 1)
    held.chain.succeed(held.calls[1])


def test_equity_beyond_64_bits_is_refused(chain: Any, position: MakePosition) -> None:
    terms = {"size_e6": 10**12, "entry_price_e6": 1, "collateral_e6": U64_MAX}
    held = Held(chain, position(owner=chain.payer.pubkey(), **terms))
    held.refused(6006, "Overflow", calls=held.calls[1:])


def test_a_closed_position_is_gone_for_every_instruction(held: Held) -> None:
    chain = held.chain
    chain.succeed(held.calls[1])
    held.refused(3012, "AccountNotInitialized", "position")
    result = chain.send(chain.liquidation(held.position.address, "BTC/USD"))
    assert (result.code, result.account) == (3012, "position")


def test_a_leverage_that_has_no_maintenance_ratio_cannot_be_closed(
    chain: Any, position: MakePosition
) -> None:
    held = Held(chain, position(owner=chain.payer.pubkey(), leverage=1001))
    held.refused(6000, "InvalidLeverage", calls=held.calls[1:])


# Who, and which accounts


def test_a_flagged_or_empty_position_is_already_liquidated(chain: Any, position: MakePosition) -> None:
    owner = chain.payer.pubkey()
    Held(chain, position(owner=owner, is_liquidated=True)).refused(6003, "AlreadyLiquidated")
    Held(chain, position(owner=owner, size_e6=0)).refused(6003, "AlreadyLiquidated")
    empty = position(owner=owner, size_e6=0, generation=Generation.DEPLOYED)
    Held(chain, empty).refused(6003, "AlreadyLiquidated")


def test_only_the_owner_may(chain: Any, position: MakePosition) -> None:
    """The payer signs for a position that belongs to somebody else, and is told both keys."""
    payer = chain.payer.pubkey()
    held = Held(chain, position(owner=STRANGER))
    held.calls = [addition(held.position, 1, payer), closing(held.position, payer)]
    held.refused(2001, "ConstraintHasOne", "position")
    logs = chain.send(held.calls[0]).logs
    start = logs.index("Program log: Left:")
    assert logs[start + 1] == f"Program log: {STRANGER}"
    assert logs[start + 3] == f"Program log: {payer}"


def test_the_owner_must_sign(chain: Any, position: MakePosition) -> None:
    held = Held(chain, position(owner=STRANGER))
    unsigned = AccountMeta(STRANGER, is_signer=False, is_writable=True)
    held.refused(
        3010, "AccountNotSigner", "owner", calls=[with_account(call, 1, unsigned) for call in held.calls]
    )


def test_an_owner_who_receives_the_rent_must_be_writable(chain: Any, position: MakePosition) -> None:
    owner = Keypair()
    chain.svm.airdrop(owner.pubkey(), 10**9)
    held = Held(chain, position(owner=owner.pubkey()))
    read_only = AccountMeta(owner.pubkey(), is_signer=True, is_writable=False)
    held.refused(
        2000,
        "ConstraintMut",
        "owner",
        calls=[with_account(held.calls[1], 1, read_only)],
        signers=(owner,),
    )
    chain.succeed(with_account(held.calls[0], 1, read_only), signers=(owner,))


def test_a_position_that_is_not_writable_is_refused(held: Held) -> None:
    read_only = AccountMeta(held.position.address, is_signer=False, is_writable=False)
    held.refused(
        2000, "ConstraintMut", "position", calls=[with_account(call, 0, read_only) for call in held.calls]
    )


def test_a_position_that_owns_itself_cannot_be_closed_into_itself(chain: Any, position: MakePosition) -> None:
    key = Keypair()
    held = Held(chain, position(address=key.pubkey(), owner=key.pubkey()))
    held.refused(2040, "ConstraintDuplicateMutableAccount", "owner", calls=held.calls[1:], signers=(key,))


def test_accounts_of_another_owner_type_or_length_are_no_position(held: Held) -> None:
    data = accounts.encode_position(held.position)
    held.chain.plant(held.position.address, data, owner=STRANGER)
    held.refused(3007, "AccountOwnedByWrongProgram", "position")
    held.chain.plant(held.position.address, data[:7])
    held.refused(3001, "AccountDiscriminatorNotFound", "position")
    held.chain.plant(held.position.address, accounts.FUND_DISCRIMINATOR + data[8:])
    held.refused(3002, "AccountDiscriminatorMismatch", "position")
    for length in (8, 84, 86, 119, 121):
        held.chain.plant(held.position.address, data.ljust(length, b"\0")[:length])
        held.refused(3003, "AccountDidNotDeserialize", "position")


def test_the_fund_cannot_be_closed_as_a_position(held: Held, fund_address: Pubkey) -> None:
    fund = AccountMeta(fund_address, is_signer=False, is_writable=True)
    calls = [with_account(call, 0, fund) for call in held.calls]
    held.refused(3002, "AccountDiscriminatorMismatch", "position", calls=calls)


def test_missing_accounts_are_refused(held: Held) -> None:
    for call, needed in zip(held.calls, (2, 4), strict=True):
        short = [Instruction(PROGRAM_ID, bytes(call.data), call.accounts[:count]) for count in range(needed)]
        held.refused(3005, "AccountNotEnoughKeys", calls=short)


# Prices: checked as a liquidation checks them


PRICES = [("BTC/USD", 2, "price_update"), ("SOL/USD", 3, "sol_price_update")]


@pytest.mark.parametrize(("symbol", "index", "account"), PRICES)
def test_a_price_that_no_liquidation_would_take_closes_nothing(
    held: Held, symbol: str, index: int, account: str
) -> None:
    chain, close = held.chain, held.calls[1:]
    foreign = AccountMeta(held.position.address, is_signer=False, is_writable=False)
    held.refused(3007, "AccountOwnedByWrongProgram", account, calls=[with_account(close[0], index, foreign)])
    for publish_time_s in (NOW_S - 61, NOW_S + 61):
        chain.set_price(symbol, 60_000_000_000, publish_time_s=publish_time_s)
        held.refused(6008, "StalePrice", calls=close)
    chain.set_price(symbol, 60_000_000_000, conf=600_000_001)
    held.refused(6009, "PriceDeviationTooHigh", calls=close)
    chain.set_price(symbol, 0)
    held.refused(6009, "PriceDeviationTooHigh", calls=close)
    chain.set_price(symbol, 60_000_000_000, feed_id=ETH_USD.feed_id)
    held.refused(6005, "Unauthorized", account, calls=close)
    chain.set_price(symbol, 60_000_000_000)
    chain.succeed(close[0])


def test_collateral_needs_no_price(held: Held) -> None:
    held.chain.set_price("BTC/USD", 0, publish_time_s=0)
    held.chain.succeed(held.calls[0])


def test_the_compute_units_are_within_what_the_documentation_says(held: Held) -> None:
    """docs/program.md names 12,000 as the ceiling of each."""
    for call in held.calls:
        assert 1_000 < held.chain.succeed(call).compute_units < 12_000
