"""When the fund is low, its place says what to do, and how far one is."""

from __future__ import annotations

import msgspec
from consoles import Console
from peer import Peer

from engine.api import wire
from engine.paths import ProfilePaths

SOL = 10**9


def with_balance(snapshot: wire.Snapshot, lamports: int) -> wire.Snapshot:
    assert snapshot.fund is not None
    fund = msgspec.structs.replace(
        snapshot.fund,
        balance_lamports=lamports,
        minimum_lamports=10 * SOL,
        uncovered_bad_debt_lamports=3 * SOL,
    )
    return msgspec.structs.replace(snapshot, fund=fund)


async def test_a_low_fund_shows_the_runbook_until_it_is_filled_up(paths: ProfilePaths, peer: Peer) -> None:
    async with Console.attached(paths, size=(120, 40)) as console:
        await console.press("f")
        await console.says("MOVEMENTS")
        await peer.push(with_balance(peer.snapshot, 2 * SOL))
        await console.says("THE FUND IS LOW: WHAT TO DO")
        await console.says("ctrl+e, with a reason: still sending")
        await console.says("8.000 SOL are missing")
        await console.says("not covered 3.000 SOL")
        await console.says("docs/runbook-fund-depleted.md")
        stopped = msgspec.structs.replace(peer.snapshot.gate, state="stopped")
        await peer.push(msgspec.structs.replace(peer.snapshot, gate=stopped))
        await console.says("ctrl+e, with a reason: stopped")
        await peer.push(with_balance(peer.snapshot, 12 * SOL))
        await console.until(lambda: not console.app.screen.has_class("-low"))
