"""A contribution to the fund: rehearsed, confirmed, sent once through the gate, recorded once."""

from __future__ import annotations

import pytest

from engine.api.client import CommandRefused
from engine.chain.port import RpcFailure
from engine.journal.records import OutboxKind
from engine.protocol.addresses import insurance_fund_address

SOL = 10**9


def fund_lamports(rig) -> int:
    return rig.ledger.account(insurance_fund_address()).lamports


async def test_without_a_confirmation_it_is_only_rehearsed(served):
    before = fund_lamports(served.rig)
    answer = await served.client.contribute(SOL)
    assert f"{SOL} lamports (1.000000000 SOL)" in answer.message
    assert str(before + SOL) in answer.message
    await served.rig.tick(3)
    assert fund_lamports(served.rig) == before
    assert served.rig.wire.sent == []


async def test_confirmed_it_lands_once_and_is_recorded_once(served):
    rig = served.rig
    before = fund_lamports(rig)
    rig.spawn(rig.parts.contributions.run())
    answer = await served.client.contribute(SOL, str(SOL))
    signature = answer.message.split()[1].rstrip(":")
    with pytest.raises(CommandRefused, match="not final yet"):
        await served.client.contribute(SOL, str(SOL))
    await rig.until(lambda: rig.parts.contributions.open is None)
    assert fund_lamports(rig) == before + SOL
    await rig.parts.fund.refresh()
    await rig.parts.fund.record_contributions()
    await rig.parts.fund.record_contributions()
    (row,) = rig.recorded(OutboxKind.FUND)
    assert (row["signature"], row["amount_lamports"], row["kind"]) == (signature, SOL, "contribution")


async def test_it_is_durable_before_its_bytes_leave_and_no_foreign_signature_afterwards(served, monkeypatch):
    rig = served.rig
    await rig.parts.sentinel.look_at_wallet()
    seen = []
    send = rig.wire.send

    async def looking(raw, on_write):
        seen.append(rig.journal.noted("contributions"))
        await send(raw, on_write)

    monkeypatch.setattr(rig.wire, "send", looking)
    answer = await served.client.contribute(SOL, str(SOL))
    assert answer.message.split()[1].rstrip(":") in seen[0]
    await rig.tick(40)
    await rig.parts.sentinel.look_at_wallet()
    assert rig.gate.state.is_running


@pytest.mark.parametrize("amount", [0, -1, 2**63, 10 * SOL, 9_950_000_001])
async def test_an_amount_that_cannot_be_given_is_refused(served, amount):
    with pytest.raises(CommandRefused):
        await served.client.contribute(amount)
    with pytest.raises(CommandRefused):
        await served.client.contribute(amount, str(amount))
    assert served.rig.wire.sent == []


async def test_another_text_than_the_amount_confirms_nothing(served):
    for text in ("yes", str(SOL + 1), f" {SOL}", "1"):
        with pytest.raises(CommandRefused, match="once more"):
            await served.client.contribute(SOL, text)
    assert served.rig.wire.sent == []


async def test_while_stopped_nothing_is_sent_and_afterwards_nothing_is_open(served):
    await served.client.stop("drill")
    with pytest.raises(CommandRefused, match="stopped"):
        await served.client.contribute(SOL, str(SOL))
    assert served.rig.wire.sent == []
    assert served.rig.parts.contributions.open is None


async def test_one_that_no_node_takes_is_sent_again_until_it_lands(served, monkeypatch):
    rig = served.rig
    before = fund_lamports(rig)
    send, failures = rig.wire.send, []

    async def failing(raw, on_write):
        if not failures:
            failures.append(raw)
            raise RpcFailure("node error: busy")
        await send(raw, on_write)

    monkeypatch.setattr(rig.wire, "send", failing)
    rig.spawn(rig.parts.contributions.run())
    assert "is sent again" in (await served.client.contribute(SOL, str(SOL))).message
    await rig.until(lambda: rig.parts.contributions.open is None)
    assert fund_lamports(rig) == before + SOL
    assert set(rig.wire.sent) == set(failures)


async def test_one_that_expires_gives_nothing_and_frees_the_way(served, monkeypatch):
    rig = served.rig
    before = fund_lamports(rig)

    async def lost(raw, on_write):
        raise RpcFailure("node error: busy")

    monkeypatch.setattr(rig.wire, "send", lost)
    rig.spawn(rig.parts.contributions.run())
    await served.client.contribute(SOL, str(SOL))
    await rig.until(lambda: rig.parts.contributions.open is None)
    assert fund_lamports(rig) == before
    assert any("expired: nothing was given" in event.text for event in rig.parts.events.latest(50))


async def test_a_stop_says_that_one_is_out_and_until_when_it_can_land(served, monkeypatch):
    rig = served.rig

    async def left_unheard(raw, on_write):
        on_write(1)
        raise RpcFailure("timeout while sending", is_timeout=True)

    monkeypatch.setattr(rig.wire, "send", left_unheard)
    await served.client.contribute(SOL, str(SOL))
    height = rig.parts.contributions.open.last_valid_block_height
    answer = await served.client.stop("drill")
    assert f"1 in flight, one of them a contribution, none can land after block {height}" in answer.message


async def test_a_stop_does_not_count_one_that_never_left_or_has_landed(served, monkeypatch):
    rig = served.rig
    send = rig.wire.send

    async def lost(raw, on_write):
        raise RpcFailure("node error: no node is fit to be sent to")

    monkeypatch.setattr(rig.wire, "send", lost)
    await served.client.contribute(SOL, str(SOL))
    assert rig.parts.contributions.open is not None
    assert rig.parts.contributions.out_until is None
    monkeypatch.setattr(rig.wire, "send", send)
    rig.spawn(rig.parts.contributions.run())
    await rig.until(lambda: rig.parts.contributions._has_landed)
    assert rig.parts.contributions.open is not None
    assert rig.parts.contributions.out_until is None
    assert "0 in flight" in (await served.client.stop("drill")).message
