"""The columns: the same accounts, refusals and lines as one at a time, over everything that bytes can say."""

from __future__ import annotations

from dataclasses import replace
from random import Random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from solders.pubkey import Pubkey

from engine.domain import Generation, Position, Side
from engine.protocol.accounts import POSITION_DISCRIMINATOR, AccountRefused, decode_position, encode_position
from engine.protocol.margin import Terms, UnsupportedLeverage, maintenance_bps, threshold_e6
from engine.protocol.position_columns import PositionColumns, decode_positions
from engine.protocol.threshold_columns import maintenance_bps_columns, thresholds_e6

U64_MAX = 2**64 - 1
MOST = 2**63 - 1
ADDRESS = Pubkey.from_bytes(bytes(range(32)))
GENERATIONS = (Generation.DEPLOYED, Generation.DOCUMENTED)
U64 = st.integers(0, U64_MAX)


def positions_of(columns: PositionColumns) -> dict[int, Position]:
    return {index: columns.position(row, ADDRESS, 9) for row, index in enumerate(columns.origin.tolist())}


def one_at_a_time(accounts: list[bytes]) -> tuple[dict[int, Position], dict[int, str]]:
    read, refused = {}, {}
    for index, data in enumerate(accounts):
        try:
            read[index] = decode_position(ADDRESS, data, 9)
        except AccountRefused as refusal:
            refused[index] = refusal.reason
    return read, refused


POSITION = st.builds(
    Position,
    address=st.just(ADDRESS),
    owner=st.binary(min_size=32, max_size=32).map(Pubkey.from_bytes),
    symbol=st.sampled_from(["BTC/USD", "SOL/USD", "É/USD", "S" * 32, "1"]),
    side=st.sampled_from(Side),
    size_e6=U64,
    collateral_e6=U64,
    entry_price_e6=U64,
    leverage=st.integers(0, 2**16 - 1),
    maintenance_margin_e6=U64,
    is_liquidated=st.booleans(),
    created_at_s=st.integers(-(2**63), 2**63 - 1),
    generation=st.sampled_from(GENERATIONS),
    slot=st.just(9),
)


@st.composite
def account(draw: st.DrawFn) -> bytes:
    """A position's account, whole or spoilt somewhere, or any bytes at all."""
    data = bytearray(encode_position(draw(POSITION)))
    match draw(st.integers(0, 6)):
        case 0:
            return draw(st.binary(max_size=140))
        case 1:
            return POSITION_DISCRIMINATOR + draw(st.binary(max_size=140))
        case 2:
            return bytes(data[: draw(st.integers(0, len(data)))])
        case 3:
            at = draw(st.integers(0, len(data) - 1))
            data[at] = draw(st.integers(0, 255))
        case 4:
            data[40:44] = draw(st.integers(0, 2**32 - 1)).to_bytes(4, "little")
    return bytes(data)


@settings(max_examples=400, deadline=None)
@given(st.lists(account(), max_size=30))
def test_accounts_in_columns_are_read_and_refused_as_one_at_a_time(accounts):
    columns = decode_positions(accounts)
    read, refused = one_at_a_time(accounts)
    assert positions_of(columns) == read
    assert dict(columns.refused) == refused
    assert len(columns.refused) == len(refused)


def draw_terms(rng: Random, kind: str) -> tuple[int, int, int]:
    """Size, entry and collateral: of a market, of any magnitude, tiny, or with next to nothing left."""
    if kind == "market":
        size, entry = int(rng.lognormvariate(22, 3)) + 1, int(rng.lognormvariate(18, 4)) + 1
        return size, entry, size * entry // 10**6 // rng.randint(1, 1000)
    if kind == "tiny":
        return rng.randint(1, 9), rng.randint(0, 99), rng.randint(0, 3)
    if kind == "broke":
        size, entry = rng.randint(1, 2 ** rng.randint(1, 44)), rng.randint(1, 2 ** rng.randint(1, 40))
        return size, entry, max(0, size * entry // 10**6 + rng.randint(-2, 2))
    return (
        rng.randint(1, 2 ** rng.randint(1, 64) - 1),
        rng.randint(0, 2 ** rng.randint(1, 64) - 1),
        rng.randint(0, 2 ** rng.randint(1, 64) - 1),
    )


@pytest.mark.parametrize("kind", ["market", "any", "tiny", "broke"])
@pytest.mark.parametrize("side", Side)
@pytest.mark.parametrize("factor_milli", [1000, 1300])
def test_lines_in_columns_are_the_exact_integers(kind, side, factor_milli):
    rng = Random(f"{kind} {side} {factor_milli}")
    drawn = [tuple(min(value, U64_MAX) for value in draw_terms(rng, kind)) for _ in range(10_000)]
    size, entry, collateral = (np.array(column, dtype=np.uint64) for column in zip(*drawn, strict=True))
    leverages = [rng.randint(1, 1000) for _ in drawn]
    lines = thresholds_e6(
        side,
        size_e6=size,
        entry_price_e6=entry,
        collateral_e6=collateral,
        leverage=np.array(leverages, dtype=np.uint16),
        factor_milli=factor_milli,
        most=MOST,
    )
    exact = [
        min(MOST, threshold_e6(Terms(side, *terms, leverage), factor_milli))
        for terms, leverage in zip(drawn, leverages, strict=True)
    ]
    assert lines.tolist() == exact


def test_every_leverage_has_its_maintenance_ratio_or_none():
    every = np.arange(2**16, dtype=np.uint16)
    for leverage, bps in enumerate(maintenance_bps_columns(every).tolist()):
        try:
            assert bps == maintenance_bps(leverage)
        except UnsupportedLeverage:
            assert bps == 0


@pytest.mark.parametrize("count", [2, 300, 5_000])
def test_however_many_symbols_there_are_each_position_has_its_own(count):
    names = [f"{number:04d}/US" for number in range(count)]
    every = [*names, *reversed(names)]
    one = Position(ADDRESS, ADDRESS, "", Side.LONG, 1, 1, 1, 1, 1, False, 1, Generation.DOCUMENTED, 9)
    accounts = [encode_position(replace(one, symbol=name)) for name in every]
    read = positions_of(decode_positions(accounts))
    assert [read[index].symbol for index in range(2 * count)] == every
