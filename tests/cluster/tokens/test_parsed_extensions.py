"""Token-2022's extensions, initialized and used through the real program, in the words that a node has."""

from __future__ import annotations

import base64
import struct
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import pytest
from solders.instruction import AccountMeta, Instruction
from solders.keypair import Keypair
from solders.pubkey import Pubkey

from engine.sandbox.cluster import parsed
from engine.sandbox.cluster.parsed.token_amounts import amount_json, display_of

if TYPE_CHECKING:
    from conftest import Coins

    from engine.sandbox.cluster.blocks.history import LandedTransaction

Words = Callable[["LandedTransaction"], list[Any]]
NOBODY = bytes(32)
# The base state padded to 165 bytes, then what kind of account it is, then each extension behind 4 bytes.
EXTENSIONS_AT = 166
YEAR_S = 31_556_736


def _size(*extension_bytes: int) -> int:
    return EXTENSIONS_AT + sum(4 + size for size in extension_bytes)


def _info(words: list[Any], position: int) -> tuple[str, dict[str, Any]]:
    assert words[position]["program"] == "spl-token"
    return words[position]["parsed"]["type"], words[position]["parsed"]["info"]


def test_transfer_fees(coins_2022: Coins, words: Words) -> None:
    coins, key, owner = coins_2022, Keypair(), coins_2022.owner
    o, m = str(owner), str(key.pubkey())
    configure = coins.ask(
        "initialize_transfer_fee_config",
        mint=key.pubkey(),
        transfer_fee_config_authority=owner,
        withdraw_withheld_authority=owner,
        transfer_fee_basis_points=100,
        maximum_fee=5_000,
    )
    mint = coins.mint(configure, key=key, size=_size(108))
    source, dest = coins.account(mint, size=_size(8)), coins.account(mint, size=_size(8))
    coins.issue(mint, source, 1_000_000)
    fee = {"transferFeeBasisPoints": 100, "maximumFee": 5_000, "epoch": 0}
    assert coins.info(mint)["extensions"] == [
        {
            "extension": "transferFeeConfig",
            "state": {
                "transferFeeConfigAuthority": o,
                "withdrawWithheldAuthority": o,
                "withheldAmount": 0,
                "olderTransferFee": fee,
                "newerTransferFee": fee,
            },
        }
    ]
    pay = bytes((26, 1)) + struct.pack("<QBQ", 100_000, 6, 1_000)
    paid = coins.run(coins.call(pay, source, mint, dest, owner, signed_by=owner))
    assert coins.info(dest)["extensions"] == [
        {"extension": "transferFeeAmount", "state": {"withheldAmount": 1_000}}
    ]
    assert coins.info(dest)["tokenAmount"]["amount"] == "99000"
    kind, info = _info(words(paid), 0)
    assert kind == "transferCheckedWithFee"
    assert info["feeAmount"] == {
        "amount": "1000",
        "decimals": 6,
        "uiAmount": 0.001,
        "uiAmountString": "0.001",
    }
    assert {name: info[name] for name in ("source", "mint", "destination", "authority")} == {
        "source": str(source),
        "mint": m,
        "destination": str(dest),
        "authority": o,
    }
    taken = {"mint": mint, "dest": source, "authority": owner}
    landed = coins.run(
        coins.ask("withdraw_withheld_tokens_from_accounts", sources=[dest], signers=[], **taken),
        coins.ask("harvest_withheld_tokens_to_mint", mint=mint, sources=[dest]),
        coins.ask("withdraw_withheld_tokens_from_mint", **taken),
        coins.call(bytes((26, 5)) + struct.pack("<HQ", 7, 9), mint, owner, signed_by=owner),
    )
    taken_by = {"mint": m, "feeRecipient": str(source), "withdrawWithheldAuthority": o}
    assert [_info(words(landed), position) for position in range(4)] == [
        ("withdrawWithheldTokensFromAccounts", {**taken_by, "sourceAccounts": [str(dest)]}),
        ("harvestWithheldTokensToMint", {"mint": m, "sourceAccounts": [str(dest)]}),
        ("withdrawWithheldTokensFromMint", taken_by),
        (
            "setTransferFee",
            {
                "mint": m,
                "transferFeeBasisPoints": 7,
                "maximumFee": 9,
                "transferFeeConfigAuthority": o,
            },
        ),
    ]


def test_the_extensions_of_a_mint_in_the_order_of_their_making(coins_2022: Coins) -> None:
    coins, key, owner = coins_2022, Keypair(), bytes(coins_2022.owner)
    other = Keypair().pubkey()
    mint = key.pubkey()
    coins.mint(
        coins.call(b"\x19\x01" + owner, mint),
        coins.call(b"\x1c\x00\x02", mint),
        coins.call(b"\x20", mint),
        coins.call(b"\x23" + bytes(other), mint),
        coins.call(b"\x24\x00" + owner + NOBODY, mint),
        coins.call(b"\x27\x00" + NOBODY + bytes(mint), mint),
        coins.call(b"\x28\x00" + owner + bytes(other), mint),
        coins.call(b"\x29\x00" + owner + bytes(other), mint),
        coins.call(b"\x2c\x00" + owner, mint),
        key=key,
        size=_size(32, 1, 0, 32, 64, 64, 64, 64, 33),
        freezer=coins.owner,
    )
    o = str(coins.owner)
    assert coins.info(mint)["extensions"] == [
        {"extension": "mintCloseAuthority", "state": {"closeAuthority": o}},
        {"extension": "defaultAccountState", "state": {"accountState": "frozen"}},
        {"extension": "nonTransferable"},
        {"extension": "permanentDelegate", "state": {"delegate": str(other)}},
        {"extension": "transferHook", "state": {"authority": o, "programId": None}},
        {"extension": "metadataPointer", "state": {"authority": None, "metadataAddress": str(mint)}},
        {"extension": "groupPointer", "state": {"authority": o, "groupAddress": str(other)}},
        {"extension": "groupMemberPointer", "state": {"authority": o, "memberAddress": str(other)}},
        {"extension": "pausableConfig", "state": {"authority": o, "paused": False}},
    ]


def test_the_instructions_that_made_and_change_them(coins_2022: Coins, words: Words) -> None:
    coins, key, o = coins_2022, Keypair(), str(coins_2022.owner)
    mint, owner = key.pubkey(), coins_2022.owner
    m = str(mint)
    landed = coins.run(
        coins.allocate(key, _size(32, 1, 64, 64, 33)),
        coins.call(b"\x19\x00", mint),
        coins.call(b"\x1c\x00\x01", mint),
        coins.call(b"\x24\x00" + bytes(owner) + NOBODY, mint),
        coins.call(b"\x27\x00" + bytes(owner) + bytes(mint), mint),
        coins.call(b"\x2c\x00" + bytes(owner), mint),
        coins.ask("initialize_mint2", mint=mint, decimals=0, mint_authority=owner, freeze_authority=owner),
        coins.call(b"\x1c\x01\x02", mint, owner, signed_by=owner),
        coins.call(b"\x24\x01" + bytes(mint), mint, owner, signed_by=owner),
        coins.call(b"\x27\x01" + NOBODY, mint, owner, signed_by=owner),
        coins.call(b"\x2c\x01", mint, owner, signed_by=owner),
        coins.call(b"\x2c\x02", mint, owner, signed_by=owner),
        signers=[key],
    )
    shown = words(landed)
    assert [_info(shown, position) for position in (1, 2, 3, 4, 5, 7, 8, 9, 10, 11)] == [
        ("initializeMintCloseAuthority", {"mint": m, "newAuthority": None}),
        ("initializeDefaultAccountState", {"mint": m, "accountState": "initialized"}),
        ("initializeTransferHook", {"mint": m, "authority": o}),
        ("initializeMetadataPointer", {"mint": m, "authority": o, "metadataAddress": m}),
        ("initializePausableConfig", {"mint": m, "authority": o}),
        ("updateDefaultAccountState", {"mint": m, "accountState": "frozen", "freezeAuthority": o}),
        ("updateTransferHook", {"mint": m, "programId": m, "authority": o}),
        ("updateMetadataPointer", {"mint": m, "authority": o}),
        ("pause", {"mint": m, "authority": o}),
        ("resume", {"mint": m, "authority": o}),
    ]


def test_the_extensions_of_an_account(coins_2022: Coins, words: Words) -> None:
    coins, owner = coins_2022, coins_2022.owner
    account = coins.account(coins.mint())
    types = struct.pack("<HH", 8, 11)
    signed = AccountMeta(owner, True, False)
    landed = coins.run(
        Instruction(
            coins.program_id,
            b"\x1d" + types,
            [
                AccountMeta(account, False, True),
                AccountMeta(owner, True, True),
                AccountMeta(Pubkey.default(), False, False),
                signed,
            ],
        ),
        coins.call(b"\x1e\x00", account, owner, signed_by=owner),
        coins.call(b"\x22\x00", account, owner, signed_by=owner),
        coins.call(b"\x22\x01", account, owner, signed_by=owner),
    )
    a, o = str(account), str(owner)
    assert [_info(words(landed), position) for position in range(4)] == [
        (
            "reallocate",
            {
                "account": a,
                "payer": o,
                "systemProgram": str(Pubkey.default()),
                "owner": o,
                "extensionTypes": ["memoTransfer", "cpiGuard"],
            },
        ),
        ("enableRequiredMemoTransfers", {"account": a, "owner": o}),
        ("enableCpiGuard", {"account": a, "owner": o}),
        ("disableCpiGuard", {"account": a, "owner": o}),
    ]
    assert coins.info(account)["extensions"] == [
        {"extension": "memoTransfer", "state": {"requireIncomingTransferMemos": True}},
        {"extension": "cpiGuard", "state": {"lockCpi": False}},
    ]


def test_metadata_on_the_mint_itself(coins_2022: Coins, words: Words) -> None:
    coins, key, owner = coins_2022, Keypair(), coins_2022.owner
    mint = key.pubkey()
    point = coins.call(b"\x27\x00" + bytes(owner) + bytes(mint), mint)
    coins.mint(point, key=key, size=_size(64))

    def text(value: str) -> bytes:
        return struct.pack("<I", len(value.encode())) + value.encode()

    begin = bytes((210, 225, 30, 162, 88, 184, 77, 141)) + text("Münze") + text("MNZ") + text("https://x")
    update = bytes((221, 233, 49, 45, 181, 202, 220, 200))
    landed = coins.run(
        # The program wants the rent of what the mint grows by to be there already.
        coins.town.pay(mint, 10_000_000),
        coins.call(begin, mint, owner, mint, owner, signed_by=owner),
        coins.call(update + b"\x03" + text("colour") + text("red"), mint, owner, signed_by=owner),
        coins.call(update + b"\x01" + text("M"), mint, owner, signed_by=owner),
    )
    named = {"metadata": str(mint), "updateAuthority": str(owner)}
    assert [_info(words(landed), position) for position in (1, 2, 3)] == [
        (
            "initializeTokenMetadata",
            {
                **named,
                "mint": str(mint),
                "mintAuthority": str(owner),
                "name": "Münze",
                "symbol": "MNZ",
                "uri": "https://x",
            },
        ),
        ("updateTokenMetadataField", {**named, "field": "colour", "value": "red"}),
        ("updateTokenMetadataField", {**named, "field": "symbol", "value": "M"}),
    ]
    assert coins.info(mint)["extensions"][1] == {
        "extension": "tokenMetadata",
        "state": {
            "updateAuthority": str(owner),
            "mint": str(mint),
            "name": "Münze",
            "symbol": "M",
            "uri": "https://x",
            "additionalMetadata": [("colour", "red")],
        },
    }


def test_groups_and_members(coins_2022: Coins, words: Words) -> None:
    coins, owner = coins_2022, coins_2022.owner
    group, member = Keypair(), Keypair()
    for key, kind in ((group, b"\x28\x00"), (member, b"\x29\x00")):
        own = coins.call(kind + bytes(owner) + bytes(key.pubkey()), key.pubkey())
        coins.mint(own, key=key, size=_size(64))
    g, m, o = group.pubkey(), member.pubkey(), owner
    begin = bytes((121, 113, 108, 39, 54, 51, 0, 4)) + bytes(owner) + struct.pack("<Q", 3)
    join = bytes((152, 32, 222, 176, 223, 237, 116, 134))
    landed = coins.run(
        coins.town.pay(g, 10_000_000),
        coins.town.pay(m, 10_000_000),
        coins.call(begin, g, g, o, signed_by=o),
        coins.call(join, m, m, o, g, o, signed_by=o),
    )
    assert [_info(words(landed), position) for position in (2, 3)] == [
        (
            "initializeTokenGroup",
            {
                "group": str(g),
                "mint": str(g),
                "mintAuthority": str(o),
                "updateAuthority": str(o),
                "maxSize": 3,
            },
        ),
        (
            "initializeTokenGroupMember",
            {
                "member": str(m),
                "memberMint": str(m),
                "memberMintAuthority": str(o),
                "group": str(g),
                "groupUpdateAuthority": str(o),
            },
        ),
    ]
    assert coins.info(g)["extensions"][1] == {
        "extension": "tokenGroup",
        "state": {"updateAuthority": str(o), "mint": str(g), "size": 1, "maxSize": 3},
    }
    assert coins.info(m)["extensions"][1] == {
        "extension": "tokenGroupMember",
        "state": {"mint": str(m), "group": str(g), "memberNumber": 1},
    }


def test_the_extensions_of_confidential_mints(coins_2022: Coins) -> None:
    coins, key, owner = coins_2022, Keypair(), bytes(coins_2022.owner)
    mint, auditor, secret = key.pubkey(), bytes(range(32)), bytes(range(1, 37))
    coins.mint(
        coins.ask(
            "initialize_transfer_fee_config",
            mint=mint,
            transfer_fee_config_authority=coins.owner,
            withdraw_withheld_authority=coins.owner,
            transfer_fee_basis_points=1,
            maximum_fee=1,
        ),
        coins.call(b"\x1b\x00" + owner + b"\x01" + NOBODY, mint),
        coins.call(b"\x25\x00" + owner + auditor, mint),
        coins.call(b"\x2a\x00" + auditor + secret, mint),
        key=key,
        size=_size(108, 65, 129, 196),
    )
    o, empty = str(coins.owner), base64.b64encode(bytes(64)).decode()
    assert coins.info(mint)["extensions"][1:] == [
        {
            "extension": "confidentialTransferMint",
            "state": {"authority": o, "autoApproveNewAccounts": True, "auditorElgamalPubkey": None},
        },
        {
            "extension": "confidentialTransferFeeConfig",
            "state": {
                "authority": o,
                "withdrawWithheldAuthorityElgamalPubkey": base64.b64encode(auditor).decode(),
                "harvestToMintEnabled": True,
                "withheldAmount": empty,
            },
        },
        {
            "extension": "confidentialMintBurn",
            "state": {
                "confidentialSupply": empty,
                "decryptableSupply": base64.b64encode(secret).decode(),
                "supplyElgamalPubkey": base64.b64encode(auditor).decode(),
                "pendingBurn": empty,
            },
        },
    ]


@pytest.mark.parametrize("amount", [0, 1, 999_999, 123_456_789_012, 2**63 + 12345])
@pytest.mark.parametrize("kind", ["interest", "scale"])
def test_amounts_are_shown_as_the_program_itself_shows_them(
    coins_2022: Coins, kind: str, amount: int
) -> None:
    coins, key = coins_2022, Keypair()
    mint = key.pubkey()
    if kind == "interest":
        configure = b"\x21\x00" + bytes(coins.owner) + struct.pack("<h", 725)
        coins.mint(coins.call(configure, mint), key=key, size=_size(52))
    else:
        configure = b"\x2b\x00" + bytes(coins.owner) + struct.pack("<d", 1.0625)
        coins.mint(coins.call(configure, mint), key=key, size=_size(56))
    coins.town.now_s += 3 * YEAR_S
    coins.town.advance()
    landed = coins.run(coins.ask("amount_to_ui_amount", mint=mint, amount=amount))
    said = landed.metadata.return_data().data.decode()
    account = coins.town.ledger.account(mint)
    assert account is not None
    display = display_of(account.data, coins.town.ledger.unix_time_s)
    assert display is not None
    shown = amount_json(amount, display)
    assert shown["uiAmountString"] == said
    assert shown["uiAmount"] == float(said)
    (extension,) = coins.info(mint)["extensions"]
    state = extension["state"]
    if kind == "interest":
        assert extension["extension"] == "interestBearingConfig"
        assert (state["currentRate"], state["rateAuthority"]) == (725, str(coins.owner))
    else:
        assert extension["extension"] == "scaledUiAmountConfig"
        assert (state["multiplier"], state["newMultiplier"]) == ("1.0625", "1.0625")


def test_an_account_is_shown_by_the_interest_of_its_mint(coins_2022: Coins) -> None:
    coins, key = coins_2022, Keypair()
    configure = b"\x21\x00" + bytes(coins.owner) + struct.pack("<h", 500)
    mint = coins.mint(coins.call(configure, key.pubkey()), key=key, size=_size(52))
    account = coins.account(mint)
    coins.issue(mint, account, 1_000_000)
    coins.town.advance()
    coins.town.now_s += YEAR_S
    coins.town.advance()
    amount = coins.info(account)["tokenAmount"]
    assert (amount["amount"], amount["decimals"]) == ("1000000", 6)
    # A token at 5 % for a year, compounded at every moment.
    assert amount["uiAmount"] == pytest.approx(1.051271, abs=2e-6)


def test_interest_beyond_all_numbers_has_no_number(coins_2022: Coins) -> None:
    coins, key = coins_2022, Keypair()
    configure = b"\x21\x00" + bytes(coins.owner) + struct.pack("<h", 32_767)
    mint = coins.mint(coins.call(configure, key.pubkey()), key=key, size=_size(52))
    account = coins.town.ledger.account(mint)
    assert account is not None
    display = display_of(account.data, coins.town.ledger.unix_time_s + 1_000 * YEAR_S)
    assert display is not None
    assert amount_json(5, display) == {
        "amount": "5",
        "decimals": 6,
        "uiAmount": None,
        "uiAmountString": "inf",
    }


@pytest.mark.parametrize(
    ("multiplier", "text"),
    [(2.0, "2"), (0.5, "0.5"), (1e22, "1" + "0" * 22), (1e-7, "0.0000001"), (1.0625, "1.0625")],
)
def test_multipliers_are_written_without_exponent(multiplier: float, text: str) -> None:
    program = Pubkey.from_string("TokenzQdBNbLqP5VEhdkAS6EPFLC1PHnBqCXEpPxuEb")
    update = b"\x2b\x01" + struct.pack("<dq", multiplier, 9)
    keys = [Keypair().pubkey() for _ in range(2)]
    shown: Any = parsed.instruction(program, keys, update)
    assert shown["parsed"] == {
        "type": "updateMultiplier",
        "info": {
            "mint": str(keys[0]),
            "newMultiplier": text,
            "newMultiplierTimestamp": 9,
            "authority": str(keys[1]),
        },
    }
