"""@solana/kit against the sandbox: transfers, named errors, notifications as iterators, every RPC method."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from engine.protocol.addresses import FEEDS, PROGRAM_ID, PYTH_RECEIVER

AMOUNT, FEE, SOL_LAMPORTS = 123_456_789, 5_000, 1_000_000_000
# Newer than the Agave 3 whose answers this node gives, or a provider's own.
UNKNOWN_TO_THE_NODE = {"getAgGenesisCert", "getTransactionsForAddress"}
METHOD_NOT_FOUND = -32601
# Nobody was rewarded before the end of the first epoch, and this node takes no snapshots.
NOT_YET_THERE = {"getInflationReward": -32004, "getHighestSnapshotSlot": -32008}


@pytest.fixture(scope="module")
def transfers(run: Any) -> Any:
    return run("kit_transfers.mjs")


@pytest.fixture(scope="module")
def notifications(run: Any) -> Any:
    return run("kit_notifications.mjs", str(PYTH_RECEIVER))


@pytest.fixture(scope="module")
def lifetimes(run: Any) -> Any:
    return run("kit_lifetimes.mjs")


@pytest.fixture(scope="module")
def methods(run: Any) -> Any:
    return run("kit_every_method.mjs", str(PROGRAM_ID))


def test_an_airdrop_and_a_transfer_are_sent_and_confirmed(transfers: Any) -> None:
    assert transfers["airdrop"]
    assert transfers["balance after the airdrop"] == 2 * SOL_LAMPORTS
    assert transfers["sendAndConfirm"] is None
    assert transfers["balances"] == [2 * SOL_LAMPORTS - AMOUNT - FEE, AMOUNT]
    assert transfers["status"]["err"] is None
    assert transfers["signatures"] == [True]
    assert transfers["finalized"] is None


def test_a_transfer_is_told_of_plain_and_parsed(transfers: Any) -> None:
    meta = transfers["transaction"]["meta"]
    assert (meta["err"], meta["fee"], meta["computeUnitsConsumed"]) == (None, FEE, 150)
    parsed = transfers["parsed"]
    assert (parsed["program"], parsed["parsed"]["type"]) == ("system", "transfer")
    assert parsed["parsed"]["info"]["lamports"] == AMOUNT


def test_a_refusal_at_preflight_is_one_of_the_client_s_named_errors(transfers: Any) -> None:
    refused = transfers["refused"]
    assert refused["isPreflightFailure"] is True
    assert (refused["isCustom"], refused["custom"]) == (True, 1)
    assert any("insufficient lamports" in line for line in refused["logs"])
    assert refused["units"] == 150


def test_a_transaction_is_simulated(transfers: Any) -> None:
    assert (transfers["simulate"]["err"], transfers["simulate"]["unitsConsumed"]) == (None, 150)


def test_a_lookup_table_shortens_a_transaction_to_what_fits(lifetimes: Any) -> None:
    used = lifetimes["lookup table"]
    assert (used["addresses"], used["paid"]) == (25, 25)
    assert used["bytes"] <= 1_232


def test_accounts_are_fetched_encoded_and_parsed(lifetimes: Any) -> None:
    parsed = lifetimes["parsed nonce"]
    assert parsed["parsedAccountMeta"] == {"program": "nonce", "type": "initialized"}
    assert parsed["feeCalculator"] == {"lamportsPerSignature": "5000"}
    encoded = lifetimes["encoded account"]
    assert (encoded["exists"], encoded["space"], encoded["programAddress"]) == (True, 80, "1" * 32)
    assert lifetimes["account of nobody"] is False


def test_a_durable_nonce_takes_the_place_of_a_blockhash_and_advances(lifetimes: Any) -> None:
    assert lifetimes["durable nonce"] == {"advanced": True}


def test_account_signature_and_logs_of_an_airdrop_are_iterated_over(notifications: Any) -> None:
    [account] = notifications["account"]
    assert account["value"]["lamports"] == SOL_LAMPORTS
    assert notifications["signature"][-1]["value"] == {"err": None}
    [logs] = notifications["logs"]
    assert (logs["value"]["signature"], logs["value"]["err"]) == (notifications["airdrop"], None)


def test_a_program_s_accounts_are_iterated_over(notifications: Any) -> None:
    [change] = notifications["program"]
    assert change["value"]["pubkey"] in {str(feed.account) for feed in FEEDS.values()}
    assert change["value"]["account"]["owner"] == str(PYTH_RECEIVER)


def test_slots_their_updates_and_roots_are_iterated_over(notifications: Any) -> None:
    slots = [each["slot"] for each in notifications["slot"]]
    assert slots == sorted(slots)
    assert len(set(slots)) == 3
    assert notifications["root"][0] < slots[0]
    assert notifications["slots updates"][-1]["type"] == "root"


@pytest.mark.parametrize("kind", ["block", "vote"])
def test_what_a_node_offers_only_when_it_is_told_to_is_said_to_be_missing(
    notifications: Any, kind: str
) -> None:
    assert notifications.failure(kind)["context"]["__code"] == METHOD_NOT_FOUND


def test_every_method_of_the_client_was_asked(methods: Any, workshop: Path) -> None:
    declared = (workshop / "node_modules/@solana/rpc-api/dist/types/index.d.ts").read_text()
    [exported] = re.findall(r"^export type \{ (GetAccountInfoApi, [^}]*)\};", declared, re.MULTILINE)
    # Types of one method's answers have a name like the method's, with an ending of their own.
    names = {name[0].lower() + name[1:-3] for name in re.findall(r"\w+", exported) if name.endswith("Api")}
    assert len(names) > 50
    assert names - set(methods.names) == set()


def test_every_method_is_answered_but_for_those_newer_than_the_node(methods: Any) -> None:
    failures = {name: failure["context"]["__code"] for name, failure in methods.failures().items()}
    assert failures == {**dict.fromkeys(UNKNOWN_TO_THE_NODE, METHOD_NOT_FOUND), **NOT_YET_THERE}


def test_the_answers_agree_with_each_other(methods: Any) -> None:
    about = methods["asked about"]
    assert methods["getHealth"] == "ok"
    assert methods["getIdentity"]["identity"] == methods["getSlotLeader"] == methods["getSlotLeaders"][0]
    assert methods["getTokenSupply"]["value"]["uiAmountString"] == "1.5"
    [owned] = methods["getTokenAccountsByOwner"]["value"]
    assert owned["account"]["data"]["parsed"]["info"]["mint"] == about["mint"]
    assert methods["getTokenAccountsByDelegate"]["value"] == []
    assert methods["getBlocks"][0] == methods["getBlocksWithLimit"][0] == about["slot"]
    assert about["signature"] in {
        each["transaction"]["signatures"][0] for each in methods["getBlock"]["transactions"]
    }
    supply = methods["getSupply"]["value"]
    assert supply["circulating"] + supply["nonCirculating"] == supply["total"]
    assert [each["accountIndex"] for each in methods["getTransaction"]["meta"]["postTokenBalances"]] == []
