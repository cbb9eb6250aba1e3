"""Trouble with transactions: never landing, landing late, landing with an error, as their sender sees it."""

from __future__ import annotations

from typing import Any

from solders.keypair import Keypair
from solders.pubkey import Pubkey

from engine.sandbox.settings_arguments import parse_settings
from engine.sandbox.trouble import Trouble


async def status_after(rig: Any, transaction: Any, slots: int) -> Any:
    rig.advance(slots)
    return await rig.status(transaction)


async def test_a_lost_transaction_never_lands_however_often_it_is_sent(rig: Any) -> None:
    await rig.trouble({"landing": {"lost_share": 1}})
    to = Keypair().pubkey()
    lost = rig.payment(to, 10**9)
    for _ in range(5):
        assert await rig.send(lost) == str(lost.signatures[0])
        assert await status_after(rig, lost, 3) is None
    assert await rig.counter("landing_lost") == 5
    await rig.trouble(None)
    rig.advance(40)
    assert await rig.status(lost) is None
    arriving = rig.payment(to, 10**9)
    await rig.send(arriving)
    assert (await status_after(rig, arriving, 1))["err"] is None
    assert await rig.balance(to) == 10**9


async def test_a_late_transaction_lands_so_many_slots_later_by_settings(rig: Any) -> None:
    arguments = ["landing.late_share=1", "landing.late_slots=5"]
    rig.desk.begin(parse_settings("--trouble", arguments, Trouble))
    late = rig.payment(Keypair().pubkey(), 10**9)
    sent_in = await rig.slot()
    await rig.send(late)
    assert await status_after(rig, late, 4) is None
    assert (await status_after(rig, late, 2))["slot"] == sent_in + 5


async def test_a_failing_transaction_lands_with_the_asked_error_pays_its_fee_and_has_no_effect(
    rig: Any,
) -> None:
    error = {"InstructionError": [0, {"Custom": 6004}]}
    await rig.trouble({"landing": {"fail_share": 1, "fail_error": error}})
    to = Keypair().pubkey()
    before = await rig.balance(rig.payer.pubkey())
    failing = rig.payment(to, 10**9)
    signature = await rig.send(failing)
    assert (await status_after(rig, failing, 2))["err"] == error
    options = {"commitment": "confirmed", "maxSupportedTransactionVersion": 0}
    landed = await rig.result("getTransaction", signature, options)
    assert landed["meta"]["err"] == error
    assert landed["meta"]["fee"] == 5_000
    assert await rig.balance(rig.payer.pubkey()) == before - 5_000
    assert await rig.balance(to) == 0


async def test_a_dropped_sending_can_be_repeated_with_success(rig: Any) -> None:
    await rig.trouble({"landing": {"drop_share": 0.7}})
    sendings = 0
    for number in range(5):
        stubborn = rig.payment(Keypair().pubkey(), 10**9 + number)
        while await rig.status(stubborn) is None:
            sendings += 1
            assert sendings < 100
            await rig.send(stubborn)
            rig.advance()
    assert await rig.counter("landing_dropped") == sendings - 5 > 0


async def test_only_transactions_that_name_an_account_are_met_when_one_is_named(rig: Any) -> None:
    unlucky, lucky = Keypair().pubkey(), Keypair().pubkey()
    await rig.trouble({"landing": {"lost_share": 1, "accounts": [str(unlucky)]}})
    await rig.send(rig.payment(unlucky, 10**9))
    await rig.send(rig.payment(lucky, 10**9))
    rig.advance(2)
    assert (await rig.balance(unlucky), await rig.balance(lucky)) == (0, 10**9)


async def test_fates_come_in_their_measure_and_depend_on_seed_and_signature_alone(rig: Any) -> None:
    payments = [rig.payment(Pubkey.new_unique(), 10**9 + number) for number in range(300)]

    async def lost(seed: int) -> list[bool]:
        await rig.trouble({"seed": seed, "landing": {"lost_share": 0.25}})
        fates = []
        for payment in payments:
            before = await rig.counter("landing_lost")
            await rig.send(payment)
            fates.append(await rig.counter("landing_lost") > before)
        return fates

    first = await lost(1)
    assert 45 <= sum(first) <= 105
    assert await lost(1) == first
    assert await lost(2) != first
