"""Accounts that real programs wrote, in the words that a node has for them."""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING, Any

import pytest
from solders.account import Account
from solders.instruction import AccountMeta, Instruction
from solders.keypair import Keypair
from solders.pubkey import Pubkey
from solders.system_program import (
    CreateAccountParams,
    InitializeNonceAccountParams,
    create_account,
    initialize_nonce_account,
)
from spl.token.constants import MULTISIG_LEN, TOKEN_2022_PROGRAM_ID, TOKEN_PROGRAM_ID, WRAPPED_SOL_MINT
from spl.token.models import AuthorityType

from engine.sandbox.cluster import parsed
from engine.sandbox.cluster.ledger.machine import CLOCK_SYSVAR, SLOT_HASHES_SYSVAR

if TYPE_CHECKING:
    from conftest import Coins, Town

NONCE_BYTES = 80
STAKE = Pubkey.from_string("Stake11111111111111111111111111111111111111")
VOTE = Pubkey.from_string("Vote111111111111111111111111111111111111111")
LOOKUP_TABLES = Pubkey.from_string("AddressLookupTab1e1111111111111111111111111")
UPGRADEABLE_LOADER = Pubkey.from_string("BPFLoaderUpgradeab1e11111111111111111111111")
RENT_SYSVAR = Pubkey.from_string("SysvarRent111111111111111111111111111111111")


def test_a_mint_and_an_account_of_it(coins: Coins) -> None:
    freezer, holder = Keypair().pubkey(), Keypair().pubkey()
    mint = coins.mint(freezer=freezer)
    account = coins.account(mint, holder)
    coins.issue(mint, account, 1_234_500)
    name = {TOKEN_PROGRAM_ID: "spl-token", TOKEN_2022_PROGRAM_ID: "spl-token-2022"}[coins.program_id]
    assert coins.shown(mint) == {
        "program": name,
        "parsed": {
            "info": {
                "decimals": 6,
                "freezeAuthority": str(freezer),
                "isInitialized": True,
                "mintAuthority": str(coins.owner),
                "supply": "1234500",
            },
            "type": "mint",
        },
        "space": 82,
    }
    assert coins.shown(account) == {
        "program": name,
        "parsed": {
            "info": {
                "isNative": False,
                "mint": str(mint),
                "owner": str(holder),
                "state": "initialized",
                "tokenAmount": {
                    "amount": "1234500",
                    "decimals": 6,
                    "uiAmount": 1.2345,
                    "uiAmountString": "1.2345",
                },
            },
            "type": "account",
        },
        "space": 165,
    }


def test_a_delegate_a_close_authority_and_frozen_funds(coins: Coins) -> None:
    delegate, closer = Keypair().pubkey(), Keypair().pubkey()
    mint = coins.mint(freezer=coins.owner)
    account = coins.account(mint)
    coins.issue(mint, account, 100)
    coins.run(
        coins.ask("approve", source=account, delegate=delegate, owner=coins.owner, amount=40),
        coins.ask(
            "set_authority",
            account=account,
            authority=AuthorityType.CLOSE_ACCOUNT,
            current_authority=coins.owner,
            new_authority=closer,
        ),
        coins.ask("freeze_account", account=account, mint=mint, authority=coins.owner),
    )
    info = coins.info(account)
    assert (info["state"], info["delegate"], info["closeAuthority"]) == (
        "frozen",
        str(delegate),
        str(closer),
    )
    assert info["delegatedAmount"] == {
        "amount": "40",
        "decimals": 6,
        "uiAmount": 0.00004,
        "uiAmountString": "0.00004",
    }


@pytest.mark.parametrize("coins", [TOKEN_PROGRAM_ID], indirect=True)
def test_an_account_of_wrapped_sol(coins: Coins) -> None:
    account, rent = coins.account(WRAPPED_SOL_MINT), coins.town.ledger.rent_exempt_minimum_lamports(165)
    coins.run(
        coins.town.pay(account, 1_500_000_000),
        coins.ask("sync_native", account=account),
    )
    info = coins.info(account)
    assert info["isNative"] is True
    assert info["tokenAmount"] == {
        "amount": "1500000000",
        "decimals": 9,
        "uiAmount": 1.5,
        "uiAmountString": "1.5",
    }
    assert info["rentExemptReserve"]["amount"] == str(rent)
    assert coins.info(WRAPPED_SOL_MINT)["decimals"] == 9


def test_a_multisig(coins: Coins) -> None:
    key, members = Keypair(), [Keypair().pubkey() for _ in range(3)]
    coins.run(
        coins.allocate(key, MULTISIG_LEN),
        coins.ask("initialize_multisig2", multisig=key.pubkey(), m=2, signers=members),
        signers=[key],
    )
    shown = coins.shown(key.pubkey())
    assert shown is not None
    assert shown["parsed"] == {
        "info": {
            "isInitialized": True,
            "numRequiredSigners": 2,
            "numValidSigners": 3,
            "signers": [str(member) for member in members],
        },
        "type": "multisig",
    }


def test_what_is_not_initialized_or_lacks_its_mint_is_not_parsed(coins: Coins) -> None:
    empty = Keypair()
    coins.run(coins.allocate(empty, 165), signers=[empty])
    mint = coins.mint()
    account, a_mint = coins.account(mint), coins.town.ledger.account(mint)
    blank, state = coins.town.ledger.account(empty.pubkey()), coins.town.ledger.account(account)
    assert blank is not None
    assert state is not None
    # Not even if its mint, whose address is all zeros, were there.
    assert parsed.account_data(account, blank.owner, blank.data, lambda _mint: a_mint) is None
    assert parsed.account_data(account, state.owner, state.data, lambda _mint: a_mint) is not None
    assert parsed.account_data(account, state.owner, state.data, lambda _mint: None) is None
    for cut in (0, 81, 164):
        assert parsed.account_data(account, state.owner, state.data[:cut], coins.town.ledger.account) is None


def test_a_durable_nonce(town: Town) -> None:
    nonce = Keypair()
    town.advance()
    initialize = initialize_nonce_account(
        InitializeNonceAccountParams(nonce_pubkey=nonce.pubkey(), authority=town.payer.pubkey())
    )
    allocate = create_account(
        CreateAccountParams(
            from_pubkey=town.payer.pubkey(),
            to_pubkey=nonce.pubkey(),
            lamports=town.ledger.rent_exempt_minimum_lamports(NONCE_BYTES),
            space=NONCE_BYTES,
            owner=Pubkey.default(),
        )
    )
    town.land(allocate, initialize, signers=[nonce])
    shown = _shown(town, nonce.pubkey())
    assert (shown["program"], shown["space"], shown["parsed"]["type"]) == ("nonce", 80, "initialized")
    info = shown["parsed"]["info"]
    assert info["authority"] == str(town.payer.pubkey())
    assert info["feeCalculator"] == {"lamportsPerSignature": "5000"}
    assert Pubkey.from_string(info["blockhash"]) != Pubkey.default()


def test_wallets_are_not_parsed_whatever_room_they_have(town: Town) -> None:
    roomy = Keypair()
    allocate = create_account(
        CreateAccountParams(
            from_pubkey=town.payer.pubkey(),
            to_pubkey=roomy.pubkey(),
            lamports=town.ledger.rent_exempt_minimum_lamports(NONCE_BYTES),
            space=NONCE_BYTES,
            owner=Pubkey.default(),
        )
    )
    town.land(allocate, signers=[roomy])
    for address in (town.payer.pubkey(), roomy.pubkey()):
        account = town.ledger.account(address)
        assert account is not None
        assert parsed.account_data(address, account.owner, account.data, town.ledger.account) is None


def test_a_lookup_table(town: Town) -> None:
    town.advance(2)
    recent = town.ledger.slot - 1
    seeds = [bytes(town.payer.pubkey()), recent.to_bytes(8, "little")]
    table, bump = Pubkey.find_program_address(seeds, LOOKUP_TABLES)
    payer, listed = town.payer.pubkey(), [Keypair().pubkey() for _ in range(3)]
    common = [
        AccountMeta(table, False, True),
        AccountMeta(payer, True, False),
        AccountMeta(payer, True, True),
    ]
    system = AccountMeta(Pubkey.default(), False, False)
    create = (0).to_bytes(4, "little") + recent.to_bytes(8, "little") + bytes([bump])
    extend = (2).to_bytes(4, "little") + (3).to_bytes(8, "little") + b"".join(map(bytes, listed))
    town.land(
        Instruction(LOOKUP_TABLES, create, [*common, system]),
        Instruction(LOOKUP_TABLES, extend, [*common, system]),
    )
    assert _shown(town, table)["parsed"] == {
        "info": {
            "deactivationSlot": str(2**64 - 1),
            "lastExtendedSlot": str(town.ledger.slot),
            "lastExtendedSlotStartIndex": 0,
            "authority": str(payer),
            "addresses": [str(address) for address in listed],
        },
        "type": "lookupTable",
    }


def test_a_stake_before_and_after_it_is_delegated(town: Town) -> None:
    stake, vote, payer = Keypair(), Keypair(), town.payer.pubkey()
    sysvars = {
        name: AccountMeta(Pubkey.from_string(address), False, False)
        for name, address in (
            ("rent", str(RENT_SYSVAR)),
            ("clock", str(CLOCK_SYSVAR)),
            ("history", "SysvarStakeHistory1111111111111111111111111"),
            ("config", "StakeConfig11111111111111111111111111111111"),
        )
    }
    key, sol = bytes(payer), 1_000_000_000

    def make(account: Keypair, lamports: int, space: int, owner: Pubkey) -> Instruction:
        return create_account(
            CreateAccountParams(
                from_pubkey=payer, to_pubkey=account.pubkey(), lamports=lamports, space=space, owner=owner
            )
        )

    lockup = (0).to_bytes(8, "little") + (7).to_bytes(8, "little") + key
    stake_meta = AccountMeta(stake.pubkey(), False, True)
    vote_meta, signer = AccountMeta(vote.pubkey(), False, True), AccountMeta(payer, True, False)
    town.land(
        make(stake, 3 * sol, 200, STAKE),
        Instruction(STAKE, bytes(4) + key + key + lockup, [stake_meta, sysvars["rent"]]),
        make(vote, sol, 3762, VOTE),
        Instruction(
            VOTE,
            bytes(4) + key * 3 + b"\x05",
            [vote_meta, sysvars["rent"], sysvars["clock"], signer],
        ),
        signers=[stake, vote],
    )
    shown = _shown(town, stake.pubkey())
    meta = {
        "rentExemptReserve": str(town.ledger.rent_exempt_minimum_lamports(200)),
        "authorized": {"staker": str(payer), "withdrawer": str(payer)},
        "lockup": {"unixTimestamp": 0, "epoch": 7, "custodian": str(payer)},
    }
    assert (shown["program"], shown["parsed"]) == (
        "stake",
        {"info": {"meta": meta, "stake": None}, "type": "initialized"},
    )
    accounts = [stake_meta, AccountMeta(vote.pubkey(), False, False)]
    accounts += [sysvars["clock"], sysvars["history"], sysvars["config"], signer]
    town.land(Instruction(STAKE, (2).to_bytes(4, "little"), accounts))
    parsed_stake = _shown(town, stake.pubkey())["parsed"]
    assert parsed_stake["type"] == "delegated"
    delegated = 3 * sol - town.ledger.rent_exempt_minimum_lamports(200)
    assert parsed_stake["info"]["meta"] == meta
    assert parsed_stake["info"]["stake"] == {
        "delegation": {
            "voter": str(vote.pubkey()),
            "stake": str(delegated),
            "activationEpoch": "0",
            "deactivationEpoch": str(2**64 - 1),
        },
        "creditsObserved": 0,
    }


def test_an_upgradeable_program_and_its_code(town: Town) -> None:
    program = _shown(town, TOKEN_PROGRAM_ID)
    assert (program["program"], program["parsed"]["type"]) == ("bpf-upgradeable-loader", "program")
    code = Pubkey.from_string(program["parsed"]["info"]["programData"])
    shown, account = _shown(town, code), town.ledger.account(code)
    assert account is not None
    info = shown["parsed"]["info"]
    assert shown["parsed"]["type"] == "programData"
    assert (info["slot"], info["data"][1]) == (int.from_bytes(account.data[4:12], "little"), "base64")
    start = 45 if info["authority"] else 13
    assert base64.b64decode(info["data"][0]) == account.data[start:]


def test_the_sysvars(town: Town) -> None:
    town.advance(3)
    clock = _shown(town, CLOCK_SYSVAR)
    assert (clock["program"], clock["parsed"]["type"]) == ("sysvar", "clock")
    info = clock["parsed"]["info"]
    assert (info["slot"], info["unixTimestamp"]) == (town.ledger.slot, town.ledger.unix_time_s)
    assert set(info) == {"slot", "epoch", "epochStartTimestamp", "leaderScheduleEpoch", "unixTimestamp"}
    hashes = _shown(town, SLOT_HASHES_SYSVAR)["parsed"]
    assert hashes["type"] == "slotHashes"
    assert [entry["slot"] for entry in hashes["info"]][:2] == [town.ledger.slot - 1, town.ledger.slot - 2]
    assert hashes["info"][0]["hash"] == str(town.blockhash())
    rent = _shown(town, RENT_SYSVAR)["parsed"]
    assert rent["type"] == "rent"
    assert rent["info"]["burnPercent"] == 50
    exempt_lamports = int(rent["info"]["lamportsPerByteYear"]) * rent["info"]["exemptionThreshold"] * 128
    assert exempt_lamports == town.ledger.rent_exempt_minimum_lamports(0)


def test_every_sysvar_that_the_machine_has_is_parsed(town: Town) -> None:
    sysvars = Pubkey.from_string("Sysvar1111111111111111111111111111111111111")
    found = {}
    for address, account in town.ledger.program_accounts(sysvars):
        shown = parsed.account_data(address, account.owner, account.data, town.ledger.account)
        assert shown is not None, address
        found[shown["parsed"]["type"]] = shown["parsed"]["info"]
    assert {"clock", "rent", "slotHashes", "slotHistory", "epochSchedule", "stakeHistory"} <= set(found)
    history = town.ledger.account(Pubkey.from_string("SysvarS1otHistory11111111111111111111111111"))
    assert history is not None
    bits, blocks = found["slotHistory"]["bits"], history.data[9:-16]
    assert (len(bits), bits.count("1")) == (1_048_576, int.from_bytes(blocks, "little").bit_count())
    assert bits[0] == str(blocks[0] & 1)
    assert found["slotHistory"]["nextSlot"] == int.from_bytes(history.data[-8:], "little")
    assert found["epochSchedule"]["slotsPerEpoch"] == 432_000


def test_a_buffer_with_code_to_be(town: Town) -> None:
    address, authority = Keypair().pubkey(), Keypair().pubkey()
    data = (1).to_bytes(4, "little") + b"\1" + bytes(authority) + b"code"
    account = Account(1_000_000_000, data, UPGRADEABLE_LOADER)
    shown = parsed.account_data(address, account.owner, account.data, town.ledger.account)
    assert shown is not None
    assert shown["parsed"] == {
        "info": {"authority": str(authority), "data": [base64.b64encode(b"code").decode(), "base64"]},
        "type": "buffer",
    }


def _shown(town: Town, address: Pubkey) -> dict[str, Any]:
    account = town.ledger.account(address)
    assert account is not None
    shown = parsed.account_data(address, account.owner, account.data, town.ledger.account)
    assert shown is not None
    return shown
