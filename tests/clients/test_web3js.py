"""@solana/web3.js 1.x against the sandbox: money, subscriptions, accounts, every kind of transaction."""

from __future__ import annotations

from typing import Any

import pytest

from engine.protocol.addresses import PROGRAM_ID, PYTH_RECEIVER

POSITION_DISCRIMINATOR = "aabc8fe47a40f7d0"
PRICE_ACCOUNT_BYTES = 134
AMOUNT, FEE, SOL_LAMPORTS = 123_456_789, 5_000, 1_000_000_000
SYSTEM_PROGRAM = "1" * 32
TRANSFER_LOGS = [f"Program {SYSTEM_PROGRAM} invoke [1]", f"Program {SYSTEM_PROGRAM} success"]


@pytest.fixture(scope="module")
def transfers(run: Any) -> Any:
    return run("web3js_transfers.mjs")


@pytest.fixture(scope="module")
def subscriptions(run: Any) -> Any:
    return run("web3js_subscriptions.mjs", str(PYTH_RECEIVER), str(PRICE_ACCOUNT_BYTES))


@pytest.fixture(scope="module")
def program_accounts(run: Any) -> Any:
    return run("web3js_program_accounts.mjs", str(PROGRAM_ID), POSITION_DISCRIMINATOR)


@pytest.fixture(scope="module")
def transactions(run: Any) -> Any:
    return run("web3js_transactions.mjs")


@pytest.fixture(scope="module")
def getters(run: Any) -> Any:
    return run("web3js_every_getter.mjs", str(PROGRAM_ID))


def test_an_airdrop_is_confirmed_over_the_websocket(transfers: Any) -> None:
    assert transfers["balance of nobody"] == 0
    assert transfers["airdrop confirmed"]["err"] is None
    assert transfers["balance after the airdrop"] == 2 * SOL_LAMPORTS


def test_a_transfer_is_confirmed_and_costs_what_was_asked_for(transfers: Any) -> None:
    assert transfers["fee asked for"] == FEE
    assert transfers["signature known before sending"] is True
    assert transfers["confirmed"]["err"] is None
    assert transfers["balances"] == [2 * SOL_LAMPORTS - AMOUNT - FEE, AMOUNT]


def test_a_transfer_is_heard_of_by_account_signature_and_logs(transfers: Any) -> None:
    assert transfers["onAccountChange"] == AMOUNT
    assert transfers["onSignature"] == {"err": None}
    heard = transfers["onLogs"]
    assert (heard["signature"], heard["err"], heard["logs"]) == (transfers["signature"], None, TRANSFER_LOGS)


def test_a_transaction_is_told_of_in_the_client_s_own_types(transfers: Any) -> None:
    found = transfers["getTransaction"]
    assert (found["slot"], found["meta"]["fee"], found["meta"]["err"]) == (transfers["slot"], FEE, None)
    assert found["meta"]["logMessages"] == TRANSFER_LOGS
    before, after = found["meta"]["preBalances"], found["meta"]["postBalances"]
    assert [new - old for new, old in zip(after, before, strict=True)] == [-AMOUNT - FEE, AMOUNT, 0]
    [listed] = transfers["getSignaturesForAddress"]
    assert listed["signature"] == transfers["signature"]


def test_a_parsed_transaction_says_who_paid_whom_how_much(transfers: Any) -> None:
    [instruction] = transfers["getParsedTransaction"]["transaction"]["message"]["instructions"]
    key = transfers["addresses"]
    assert instruction["program"] == "system"
    assert instruction["parsed"] == {
        "type": "transfer",
        "info": {"source": key["sender"], "destination": key["receiver"], "lamports": AMOUNT},
    }


def test_the_block_of_a_transaction_holds_it(transfers: Any) -> None:
    block, slot = transfers["getBlock"], transfers["slot"]
    held = [each["transaction"]["signatures"][0] for each in block["transactions"]]
    assert transfers["signature"] in held
    assert block["parentSlot"] < slot
    assert block["blockTime"] == transfers["getBlockTime"]
    assert slot in transfers["getBlocks"]


def test_the_same_bytes_are_not_taken_twice_and_finality_comes(transfers: Any) -> None:
    known, unknown = transfers["statuses"]
    assert known["confirmationStatus"] in ("confirmed", "finalized")
    assert unknown is None
    assert "already been processed" in transfers.failure("same bytes again")["message"]
    assert transfers["sendAndConfirmTransaction"]
    assert transfers["finalized"]["err"] is None
    final = transfers["final status"]
    assert (final["confirmationStatus"], final["confirmations"]) == ("finalized", None)


def test_slots_and_roots_are_heard_of_in_order(subscriptions: Any) -> None:
    heard = subscriptions["onSlotChange"]
    assert heard["root"] < heard["parent"] < heard["slot"]
    assert subscriptions["onRootChange"] >= heard["root"]
    assert subscriptions["slots in order"] > 1


def test_a_slot_is_followed_from_its_first_shred_to_its_root(subscriptions: Any) -> None:
    assert {"firstShredReceived", "createdBank", "frozen", "root"} <= set(subscriptions["onSlotUpdate"])


def test_changes_of_a_program_s_accounts_are_heard_of_with_and_without_filters(subscriptions: Any) -> None:
    heard = subscriptions["onProgramAccountChange"]
    assert heard["owner"] == str(PYTH_RECEIVER)
    assert subscriptions["onProgramAccountChange with a filter"] == PRICE_ACCOUNT_BYTES


def test_accounts_signatures_and_logs_are_heard_of(subscriptions: Any) -> None:
    assert subscriptions["onAccountChange"][0] == SOL_LAMPORTS
    assert subscriptions["onSignatureWithOptions"]["type"] in ("received", "status")
    assert subscriptions["onLogs"]["logs"]
    assert subscriptions["onSignature"] == {"err": None}


def test_what_is_no_longer_subscribed_to_is_no_longer_told(subscriptions: Any) -> None:
    assert subscriptions["notifications after removal"] == 0


def test_program_accounts_are_filtered_by_content_and_size(program_accounts: Any) -> None:
    told = program_accounts["compared"]
    assert told["all"] > told["of the discriminator"] >= 40
    assert told["memcmp of the discriminator"] == told["of the discriminator"]
    assert told["memcmp twice"] == told["base64 memcmp"] == told["of the first owner"] >= 1
    assert told["dataSize"] == told["withContext"]["accounts"] == told["of that size"] >= 1
    assert "filter" in program_accounts.failure("five filters")["message"]


def test_program_accounts_and_single_accounts_are_sliced(program_accounts: Any) -> None:
    told = program_accounts
    assert told["compared"]["dataSlice"] == told["compared"]["of the first owner"]
    assert told["getAccountInfo"] == str(PROGRAM_ID)
    assert told["getAccountInfo with a slice"] is True
    several = told["getMultipleAccountsInfo"]
    assert several["asked"] - several["found"] <= 2  # closed by their owners in between
    assert several["unknown"] is None


def test_a_lookup_table_is_made_extended_and_used_by_a_versioned_transaction(transactions: Any) -> None:
    told = transactions
    assert told["getAddressLookupTable"] == 25
    paid = told["versioned with a table"]
    assert paid["err"] is None
    assert paid["bytes"] <= 1_232
    assert told["paid through the table"] is True
    assert told["transaction with a table"] == {"version": 0, "writable": 25, "keys": 27, "isV0": True}
    parsed = told["parsed transaction with a table"]
    assert sorted(set(parsed["sources"])) == ["lookupTable", "transaction"]
    assert parsed["first"]["type"] == "transfer"
    assert told.failure("asked for legacy only")["code"] == -32015


def test_a_durable_nonce_takes_the_place_of_a_blockhash_and_advances(transactions: Any) -> None:
    assert transactions["getNonce"] is True
    assert transactions["durable nonce"] == {"err": None, "advanced": True}


def test_a_transaction_is_simulated_with_accounts_and_a_replaced_blockhash(transactions: Any) -> None:
    simulated = transactions["simulateTransaction"]
    assert (simulated["err"], simulated["logs"], simulated["unitsConsumed"]) == (None, TRANSFER_LOGS, 150)
    assert simulated["accounts"][0]["lamports"] == 3_000_000  # after two payments of 1,000,000
    assert simulated["replacementBlockhash"]["lastValidBlockHeight"] > 0
    assert transactions["simulateTransaction unsigned and old"] == "BlockhashNotFound"
    assert transactions["simulateTransaction legacy"] is None


def test_a_transfer_of_too_much_is_refused_at_preflight_with_its_logs(transactions: Any) -> None:
    refused = transactions["refused at preflight"]
    assert refused["isSendTransactionError"] is True
    assert "custom program error: 0x1" in refused["message"]
    assert any("insufficient lamports" in line for line in refused["logs"])


def test_without_preflight_it_lands_with_its_error_and_its_fee(transactions: Any) -> None:
    landed = transactions["landed with an error"]
    error = {"InstructionError": [1, {"Custom": 1}]}
    assert landed["err"] == landed["metaErr"] == error
    assert landed["fee"] >= FEE
    assert any("insufficient lamports" in line for line in landed["logs"])


@pytest.mark.parametrize(
    ("what", "why"),
    [("unknown blockhash", "Blockhash not found"), ("wrong signature", "signature verification failure")],
)
def test_what_cannot_be_valid_is_refused(transactions: Any, what: str, why: str) -> None:
    assert why in transactions.failure(what)["message"]


# Gone from nodes since Agave 2.0; the client still has them.
REMOVED = {
    "getConfirmedSignaturesForAddress",
    "getConfirmedSignaturesForAddress2",
    "getFeeCalculatorForBlockhash",
    "getStakeActivation",
}


def test_every_getter_of_a_connection_was_asked(getters: Any) -> None:
    assert getters["never asked"] == []
    assert len(getters.names) > 60


def test_every_getter_understands_the_node_s_answer_but_for_the_methods_that_nodes_no_longer_have(
    getters: Any,
) -> None:
    failures = getters.failures()
    assert {name: failure.get("code") for name, failure in failures.items()} == {
        **dict.fromkeys(REMOVED, -32601),
        # Nobody was rewarded before the end of the first epoch.
        "getInflationReward": -32004,
    }


def test_the_getters_answers_agree_with_each_other(getters: Any) -> None:
    told, about = getters, getters["asked about"]
    assert told["getBalance"] == told["getAccountInfo"]["lamports"]
    assert told["getSupply"]["value"]["total"] == told["getTotalSupply"]
    assert told["getSlotLeaders"] == [told["getSlotLeader"]] * 3
    assert set(told["getLeaderSchedule"]) == {told["getSlotLeader"]}
    [node] = told["getClusterNodes"]
    assert node["pubkey"] == told["getSlotLeader"]
    assert told["getVoteAccounts"] == {"current": [], "delinquent": []}  # one validator needs no votes
    assert (
        told["getTokenAccountBalance"]["value"]["amount"]
        == told["getTokenSupply"]["value"]["amount"]
        == "1500000"
    )
    [owned] = told["getTokenAccountsByOwner"]["value"]
    assert owned["pubkey"] == about["tokens"]
    assert told["getParsedAccountInfo"]["value"]["data"]["parsed"]["type"] == "initialized"
    assert about["signature"] in told["getBlockSignatures"]["signatures"]
    assert about["slot"] in told["getBlocks"]
    assert told["getTransactionCount"] > 0
    assert told["isBlockhashValid"]["value"] is True
