"""The risk figures as viewers read them: right, fresh within a second, made only where something changed."""

from __future__ import annotations

from simulated import make_position, rent_paying

from engine import risk_board
from engine.book.risk import symbol_risk
from engine.domain import Side, Verdict
from engine.protocol.addresses import PROGRAM_ID
from engine.protocol.margin import lamports_ceil


def row_of(rig, symbol):
    (row,) = [each for each in rig.parts.snapshots.take().risk if each.symbol == symbol]
    return row


async def with_figures(rig):
    rig.spawn(rig.parts.risks.run())
    await rig.tick(4)


async def test_each_symbol_has_its_bands_its_distances_and_its_ladder(rig):
    for collateral_e6 in (1_600_000_000, 2_000_000_000, 3_000_000_000, 30_000_000_000):
        rig.open(collateral_e6=collateral_e6)
    rig.price("BTC/USD", 60_000)
    await with_figures(rig)
    row = row_of(rig, "BTC/USD")
    risk = symbol_risk(rig.parts.holdings.book, rig.parts.board.current("BTC/USD"))
    assert (row.healthy, row.at_risk, row.liquidatable, row.unknown) == (3, 1, 0, 0)
    assert row.healthy_value_e6 == 3 * 60_000 * 10**6
    assert row.at_risk_value_e6 == 60_000 * 10**6
    assert (row.price_e6, row.why) == (60_000 * 10**6, "")
    assert row.next_fall_e6 == risk.next_fall_e6
    assert row.next_fall_bps == (row.price_e6 - risk.next_fall_e6) * 10_000 // row.price_e6 == 17
    assert (row.next_rise_e6, row.next_rise_bps) == (None, None)
    assert [rung.move_bps for rung in row.ladder] == [
        -100,
        -200,
        -500,
        -1000,
        -2000,
        100,
        200,
        500,
        1000,
        2000,
    ]
    assert [rung.count for rung in row.ladder] == [2, 2, 3, 3, 3, 0, 0, 0, 0, 0]
    assert row.ladder[2].value_e6 == 3 * 57_000 * 10**6
    # At 57,000 the first two owe 3,000 - 1,600 and 3,000 - 2,000 beyond their collateral.
    assert row.ladder[2].bad_debt_e6 == 2_400 * 10**6
    assert row.ladder[2].bad_debt_lamports == 2_400 * 10**9 // 150
    assert row.ladder[2].is_covered


async def test_each_position_says_how_far_its_line_is_from_the_price(rig):
    long, short = rig.open(), rig.open(side=Side.SHORT)
    # 3,000 behind one of 60,000: gone at 57,000 / 0.975 = 58,461.54 resp. at 63,000 / 1.025 = 61,463.41.
    for dollars, far_bps in ((60_000, (256, 243)), (59_000, (91, 417)), (58_000, (79, 597))):
        rig.price("BTC/USD", dollars)
        rows = [rig.parts.snapshots.detail(position.address).row for position in (long, short)]
        assert [each.liquidation_price_e6 for each in rows] == [58_461_538_461, 61_463_414_635]
        assert tuple(each.distance_bps for each in rows) == far_bps
    assert [each.band for each in rows] == ["liquidatable", "healthy"]


async def test_the_debt_of_sol_positions_is_counted_at_the_sol_price_of_the_rung_and_held_against_the_fund(
    rig,
):
    rig.price("SOL/USD", 150)
    # 20,000 SOL at 150 with 200,000 USD: gone at 140.
    rig.open(
        symbol="SOL/USD", size_e6=20_000 * 10**6, entry_price_e6=150 * 10**6, collateral_e6=200_000 * 10**6
    )
    await with_figures(rig)
    ladder = {rung.move_bps: rung for rung in row_of(rig, "SOL/USD").ladder}
    ten, twenty = ladder[-1000], ladder[-2000]
    assert (ten.price_e6, ten.bad_debt_e6) == (135 * 10**6, 100_000 * 10**6)
    assert ten.bad_debt_lamports == lamports_ceil(100_000 * 10**6, 135 * 10**6)
    assert ten.is_covered  # 741 SOL of the fund's 1,000
    assert twenty.bad_debt_lamports == lamports_ceil(400_000 * 10**6, 120 * 10**6)
    assert not twenty.is_covered
    assert ladder[-500].bad_debt_lamports == 0


async def test_without_a_sol_price_or_a_fund_nobody_says_that_a_debt_is_covered(rig):
    rig.open(collateral_e6=1_000_000_000, entry_price_e6=59_500_000_000)
    rig.price("BTC/USD", 60_000)
    rig.price("SOL/USD", 150, conf=10**10)
    await with_figures(rig)
    assert rig.parts.board.current("SOL/USD").verdict is Verdict.WIDE
    rungs = [rung for rung in row_of(rig, "BTC/USD").ladder if rung.bad_debt_e6]
    assert rungs
    assert {(rung.bad_debt_lamports, rung.is_covered) for rung in rungs} == {(None, None)}
    rig.price("SOL/USD", 150)
    rig.parts.fund.state = None
    rungs = [rung for rung in row_of(rig, "BTC/USD").ladder if rung.bad_debt_e6]
    assert all(rung.bad_debt_lamports and rung.is_covered is None for rung in rungs)


async def test_only_what_changed_is_made_anew_and_within_a_second(rig):
    position = rig.open()
    rig.keep_prices_fresh()
    risks = rig.parts.risks
    symbols = rig.parts.board.symbols
    assert [risks.refresh(symbol) for symbol in symbols] == [True] * len(symbols)
    assert [symbol for symbol in symbols if risks.refresh(symbol)] == []
    rig.keep_prices_fresh()
    assert [symbol for symbol in symbols if risks.refresh(symbol)] == []
    rig.price("ETH/USD", 3_001)
    assert [symbol for symbol in symbols if risks.refresh(symbol)] == ["ETH/USD"]
    rig.write(make_position(address=position.address, collateral_e6=4_000_000_000))
    rig.tell(position.address)
    assert [symbol for symbol in symbols if risks.refresh(symbol)] == ["BTC/USD"]
    await with_figures(rig)
    rig.close(position.address)
    await rig.tick(4)
    assert row_of(rig, "BTC/USD").monitored == 0


async def test_every_unknown_position_is_counted_by_its_reason_and_says_it_itself(rig):
    held = rig.open(symbol="ETH/USD", entry_price_e6=3_000_000_000)
    unreadable, strange = rig.open(), rig.open(symbol="DOGE/USD")
    leveraged = rig.open(leverage=1001)
    rig.keep_prices_fresh()
    rig.price("ETH/USD", 3_000, conf=10**11)
    data = bytes(rig.ledger.account(unreadable.address).data)[:70]
    rig.ledger.set_account(unreadable.address, rent_paying(rig.ledger, data, PROGRAM_ID))
    rig.tell(unreadable.address)
    rig.price("BTC/USD", 57_000)  # as it was last read, it would be liquidatable here
    await with_figures(rig)
    snapshot = rig.parts.snapshots.take()
    expected = {
        held: "price is wide confidence",
        unreadable: "account cannot be read: truncated",
        strange: "no price feed for the symbol",
        leveraged: "unsupported leverage",
    }
    assert snapshot.book.unknown_reasons == dict.fromkeys(expected.values(), 1)
    assert snapshot.book.unknown == len(expected)
    for position, why in expected.items():
        detail = rig.parts.snapshots.detail(position.address)
        assert (detail.row.band, detail.row.why) == ("unknown", why)
        assert (detail.action, detail.amount_e6, detail.value_e6) == ("hold", 0, None)
        assert (detail.row.health_milli, detail.maintenance_bps) == (None, None)
    row = row_of(rig, "ETH/USD")
    assert (row.why, row.unknown, row.price_e6, row.ladder) == ("price is wide confidence", 1, None, [])


async def test_an_account_that_was_never_readable_is_unknown_too(rig):
    address = rig.open().address
    data = bytes(rig.ledger.account(address).data)
    rig.close(address)
    rig.ledger.set_account(address, rent_paying(rig.ledger, data[:70], PROGRAM_ID))
    rig.tell(address)
    book = rig.parts.snapshots.take().book
    assert book.unknown_reasons == {"account cannot be read: truncated": 1}
    assert (book.monitored, book.healthy, book.unknown) == (1, 0, 1)
    rig.close(address)
    book = rig.parts.snapshots.take().book
    assert (book.monitored, book.unknown, book.unknown_reasons) == (0, 0, {})


async def test_the_bands_of_all_symbols_are_the_sum_of_what_is_known_and_a_held_price_takes_its_own_out(rig):
    for symbol, entry_price_e6 in (("BTC/USD", 60_000_000_000), ("ETH/USD", 3_000_000_000)):
        for _ in range(3):
            rig.open(symbol=symbol, entry_price_e6=entry_price_e6, collateral_e6=10**12)
    rig.open(leverage=1001)
    rig.keep_prices_fresh()
    book = rig.parts.snapshots.take().book
    assert (book.monitored, book.healthy, book.at_risk, book.liquidatable, book.unknown) == (7, 6, 0, 0, 1)
    rig.price("ETH/USD", 3_000, conf=10**11)
    book = rig.parts.snapshots.take().book
    assert (book.monitored, book.healthy, book.unknown) == (7, 3, 4)


async def test_a_picture_makes_no_more_symbols_anew_than_its_share(rig, monkeypatch):
    rig.keep_prices_fresh()
    for symbol in rig.parts.board.symbols:
        rig.open(symbol=symbol)
    made = []
    refresh = rig.parts.risks.refresh
    monkeypatch.setattr(risk_board, "REFRESHED_AT_ONCE", 1)
    monkeypatch.setattr(
        rig.parts.risks, "refresh", lambda symbol: refresh(symbol) and (made.append(symbol) or True)
    )
    for count in range(1, 4):
        rig.parts.snapshots.take()
        assert len(set(made)) == len(made) == count
