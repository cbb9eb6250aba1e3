"""@solana/spl-token against the sandbox: a token's life."""

from __future__ import annotations

from typing import Any

import pytest

TOKEN_PROGRAM = "TokenkegQfeZyiNwAJbNbGKPFXCWuBvf9Ss623VQ5DA"


@pytest.fixture(scope="module")
def told(run: Any) -> Any:
    return run("spl_token.mjs")


def test_a_mint_is_created_and_tokens_are_minted_to_an_associated_account(told: Any) -> None:
    assert told["derived"] is True
    assert (told["supply"], told["decimals"]) == (5_000_000, 6)
    assert told["minted"] == [5_000_000, 0]


def test_a_transfer_moves_tokens_and_one_of_too_much_is_refused_with_the_program_s_own_log(told: Any) -> None:
    assert told["transferred"] == [3_750_000, 1_250_000]
    assert "Program log: Error: insufficient funds" in told.failure("transfer of too much")["logs"]


def test_a_parsed_transfer_names_its_parties_and_its_amount(told: Any) -> None:
    key = told["addresses"]
    instruction = told["parsed transfer"]["instruction"]
    assert instruction["program"] == "spl-token"
    assert instruction["parsed"] == {
        "type": "transferChecked",
        "info": {
            "source": key["purse"],
            "destination": key["other"],
            "mint": key["mint"],
            "authority": key["alice"],
            "tokenAmount": {"amount": "1250000", "decimals": 6, "uiAmount": 1.25, "uiAmountString": "1.25"},
        },
    }


def test_a_transaction_tells_the_token_balances_before_and_after(told: Any) -> None:
    key, seen = told["addresses"], told["parsed transfer"]

    def balances(when: str) -> dict[str, str]:
        assert {each["mint"] for each in seen[when]} == {key["mint"]}
        assert {each["programId"] for each in seen[when]} == {TOKEN_PROGRAM}
        return {each["owner"]: each["uiTokenAmount"]["amount"] for each in seen[when]}

    assert balances("before") == {key["alice"]: "5000000", key["bob"]: "0"}
    assert balances("after") == {key["alice"]: "3750000", key["bob"]: "1250000"}


def test_a_delegate_spends_what_was_approved_until_it_is_revoked(told: Any) -> None:
    key = told["addresses"]
    assert told["approved"] == {"to": key["delegate"], "delegatedAmount": 700_000}
    [account] = told["getTokenAccountsByDelegate"]
    assert account["pubkey"] == key["purse"]
    assert account["account"]["data"]["parsed"]["info"]["delegatedAmount"]["amount"] == "700000"
    assert told["spent by the delegate"] == [3_650_000, 1_350_000]
    assert told["revoked"] is None


def test_the_accounts_of_an_owner_are_found_raw_and_parsed(told: Any) -> None:
    key = told["addresses"]
    assert told["getTokenAccountsByOwner"] == [key["other"]]
    [account] = told["getTokenAccountsByOwner parsed"]
    assert account["pubkey"] == key["other"]
    data = account["account"]["data"]
    assert (data["program"], data["space"], data["parsed"]["type"]) == ("spl-token", 165, "account")
    info = data["parsed"]["info"]
    assert (info["mint"], info["owner"], info["state"]) == (key["mint"], key["bob"], "initialized")
    assert info["tokenAmount"]["uiAmountString"] == "1.35"


def test_balance_supply_and_largest_holders_are_answered(told: Any) -> None:
    key = told["addresses"]
    assert told["getTokenAccountBalance"]["amount"] == "1350000"
    assert told["getTokenSupply"]["amount"] == "5000000"
    holders = [(each["address"], each["amount"]) for each in told["getTokenLargestAccounts"]]
    assert holders == [(key["purse"], "3650000"), (key["other"], "1350000")]


def test_a_mint_is_parsed(told: Any) -> None:
    parsed = told["parsed mint"]
    assert (parsed["program"], parsed["space"], parsed["parsed"]["type"]) == ("spl-token", 82, "mint")
    assert parsed["parsed"]["info"] == {
        "decimals": 6,
        "freezeAuthority": told["addresses"]["alice"],
        "isInitialized": True,
        "mintAuthority": told["addresses"]["alice"],
        "supply": "5000000",
    }


def test_what_is_burnt_leaves_the_supply_and_a_closed_account_gives_its_rent_back(told: Any) -> None:
    assert told["burnt"] == [0, 1_350_000, 1_350_000]
    gone, rent_lamports = told["closed"]
    assert gone is None
    assert rent_lamports == 2_039_280
