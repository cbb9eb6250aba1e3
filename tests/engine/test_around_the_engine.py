"""What an engine checks before it starts, what it waits for, and what it leaves in the table of positions."""

from __future__ import annotations

import json

import pytest
from solders.pubkey import Pubkey

from engine.book.book import terms_of
from engine.chain.port import RpcFailure
from engine.chain.subscriptions import try_websocket
from engine.domain import Band
from engine.errors import AddressInUse, SettingsError
from engine.journal.records import OutboxKind
from engine.lock import exclusive
from engine.paths import ProfilePaths
from engine.protocol.margin import threshold_e6
from engine.runtime import _meet, _record_standing_stop
from engine.settings import load_settings
from engine.watch import Housekeeping


def test_two_profiles_share_the_lock_and_the_stop_of_one_wallet(tmp_path):
    names = ("G" * 44, "W" * 44, "P" * 44)
    homes = [ProfilePaths(name, tmp_path / name, tmp_path).book_of(*names) for name in ("one", "two")]
    assert homes[0] == homes[1]
    with exclusive(homes[0]), pytest.raises(AddressInUse, match="Another engine works with this wallet"):
        exclusive(homes[1]).__enter__()


async def test_a_websocket_that_nobody_serves_is_a_failure_of_the_node():
    with pytest.raises(RpcFailure, match="node unreachable"):
        await try_websocket("ws://127.0.0.1:1")


async def test_a_program_that_is_not_on_the_cluster_is_refused_by_name(rig):
    elsewhere = Pubkey.new_unique()
    settings = load_settings({"SOLANA_RPC_URL": "http://127.0.0.1:1", "PROGRAM_ID": str(elsewhere)})
    with pytest.raises(SettingsError, match=f"no program at {elsewhere}"):
        await _meet(rig.chain, settings)


async def test_a_stop_that_was_ordered_while_no_engine_ran_is_in_the_audit(rig, tmp_path):
    (tmp_path / "STOP").write_text(json.dumps({"by": "root", "reason": "at night"}))
    await _record_standing_stop(tmp_path / "STOP", rig.journal, rig.clock)
    (row,) = rig.recorded(OutboxKind.CONTROL)
    assert (row["actor"], row["command"]) == ("root", "emergency-stop")
    assert row["detail"] == "at night (ordered while no engine ran)"


async def test_a_position_found_liquidatable_while_it_waits_for_finality_keeps_that_time(rig):
    position = rig.open()
    line_usd = threshold_e6(terms_of(position)) / 10**6
    rig.price("BTC/USD", line_usd - 1)
    await rig.until(lambda: rig.parts.tracker.confirmed)
    rig.price("BTC/USD", line_usd * 0.95)
    (first,) = rig.journal.open_intents()
    found_ns = rig.clock.now_ns()

    def has_second() -> bool:
        rig.keep_prices_fresh()
        return any(each.liquidation_id != first.liquidation_id for each in rig.journal.open_intents())

    await rig.until(has_second)
    (second,) = rig.journal.open_intents()
    assert second.detected_at_ns <= found_ns
    assert second.created_at_ns - second.detected_at_ns > 5 * 10**9
    wait = rig.parts.latencies.finality_wait
    assert wait.count == 1
    assert wait.percentiles_us(50)[0] > 5_000_000
    assert max(rig.parts.latencies.detect_to_submit.recent_us) < 1_000_000


class Samples:
    """Where samples go, with the rows that a database would hold."""

    def __init__(self) -> None:
        self.rows = {}

    def offer(self, samples) -> None:
        self.rows |= {sample.position.address: sample for sample in samples}

    def forget(self, address) -> None:
        self.rows.pop(address, None)


async def test_the_table_of_positions_holds_every_open_position_and_no_closed_one(rig, tmp_path):
    samples = Samples()
    housekeeping = Housekeeping(rig.parts, samples, tmp_path / "STOP")
    risky, safe, strange = rig.open(), rig.open(collateral_e6=50_000_000_000), rig.open(symbol="DOGE/USD")
    rig.price("BTC/USD", 60_000)
    for _ in range(2):
        await rig.finish(housekeeping._sample_positions())
    assert set(samples.rows) == {risky.address, safe.address, strange.address}
    assert samples.rows[safe.address].band is Band.HEALTHY
    assert samples.rows[strange.address].band is Band.UNKNOWN
    assert samples.rows[strange.address].health is None
    rig.close(safe.address)
    for _ in range(3):
        await rig.finish(housekeeping._sample_positions())
    assert set(samples.rows) == {risky.address, strange.address}
