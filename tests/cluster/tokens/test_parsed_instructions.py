"""Instructions that real programs executed, in the words that a node has for them."""

from __future__ import annotations

import base64
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import pytest
from solders import system_program as system
from solders.instruction import AccountMeta, Instruction
from solders.keypair import Keypair
from solders.pubkey import Pubkey
from spl.memo.constants import MEMO_PROGRAM_ID
from spl.memo.instructions import create_memo
from spl.memo.models import MemoParams
from spl.token import instructions as spl
from spl.token.constants import ASSOCIATED_TOKEN_PROGRAM_ID, TOKEN_PROGRAM_ID
from spl.token.models import AuthorityType

from engine.sandbox.cluster import parsed

if TYPE_CHECKING:
    from conftest import Coins, Town

    from engine.sandbox.cluster.blocks.history import LandedTransaction

Words = Callable[["LandedTransaction"], list[Any]]
RENT = "SysvarRent111111111111111111111111111111111"
RECENT_BLOCKHASHES = "SysvarRecentB1ockHashes11111111111111111111"
SYSTEM = "11111111111111111111111111111111"


def _token(kind: str, **info: object) -> dict[str, object]:
    return {"program": "spl-token", "parsed": {"type": kind, "info": info}}


def _system(kind: str, **info: object) -> dict[str, object]:
    return {"program": "system", "parsed": {"type": kind, "info": info}}


def _tokens(amount: int) -> dict[str, object]:
    """What a node makes of an amount with two decimals."""
    return {
        "amount": str(amount),
        "decimals": 2,
        "uiAmount": amount / 100,
        "uiAmountString": f"{amount / 100:.2f}".rstrip("0").rstrip("."),
    }


def test_making_a_mint_and_accounts(coins: Coins, words: Words) -> None:
    keys = mint, first, second, third = [Keypair() for _ in range(4)]
    owner, freezer = coins.owner, Keypair().pubkey()
    named = {"mint": mint.pubkey(), "owner": owner}
    landed = coins.run(
        *(coins.allocate(key, 82 if key is mint else 165) for key in keys),
        coins.ask(
            "initialize_mint",
            mint=mint.pubkey(),
            decimals=2,
            mint_authority=owner,
            freeze_authority=freezer,
        ),
        coins.ask("initialize_account", account=first.pubkey(), **named),
        coins.ask("initialize_account2", account=second.pubkey(), **named),
        coins.ask("initialize_account3", account=third.pubkey(), **named),
        signers=keys,
    )
    allocated, *_, made, by_account, by_data, without_rent = words(landed)
    assert allocated == _system(
        "createAccount",
        source=str(owner),
        newAccount=str(mint.pubkey()),
        lamports=coins.town.ledger.rent_exempt_minimum_lamports(82),
        space=82,
        owner=str(coins.program_id),
    )
    assert made == _token(
        "initializeMint",
        mint=str(mint.pubkey()),
        decimals=2,
        mintAuthority=str(owner),
        freezeAuthority=str(freezer),
        rentSysvar=RENT,
    )
    common = {"mint": str(mint.pubkey()), "owner": str(owner)}
    assert by_account == _token("initializeAccount", account=str(first.pubkey()), rentSysvar=RENT, **common)
    assert by_data == _token("initializeAccount2", account=str(second.pubkey()), rentSysvar=RENT, **common)
    assert without_rent == _token("initializeAccount3", account=str(third.pubkey()), **common)


def test_a_mint_without_a_freeze_authority_shows_none(coins: Coins, words: Words) -> None:
    key = Keypair()
    fields = {"mint": key.pubkey(), "decimals": 0, "mint_authority": coins.owner}
    landed = coins.run(coins.allocate(key, 82), coins.ask("initialize_mint2", **fields), signers=[key])
    assert words(landed)[1] == _token(
        "initializeMint2", mint=str(key.pubkey()), decimals=0, mintAuthority=str(coins.owner)
    )


def test_moving_tokens(coins: Coins, words: Words) -> None:
    mint, owner, delegate = coins.mint(decimals=2), coins.owner, Keypair().pubkey()
    source, dest = coins.account(mint), coins.account(mint)
    checked = {"mint": mint, "owner": owner, "decimals": 2}
    landed = coins.run(
        coins.ask("mint_to", mint=mint, dest=source, mint_authority=owner, amount=1000),
        coins.ask("mint_to_checked", mint=mint, dest=source, mint_authority=owner, amount=55, decimals=2),
        coins.ask("transfer", source=source, dest=dest, owner=owner, amount=10),
        coins.ask("transfer_checked", source=source, dest=dest, amount=110, **checked),
        coins.ask("approve", source=source, delegate=delegate, owner=owner, amount=3),
        coins.ask("approve_checked", source=source, delegate=delegate, amount=4, **checked),
        coins.ask("revoke", account=source, owner=owner),
        coins.ask("burn", account=source, mint=mint, owner=owner, amount=5),
        coins.ask("burn_checked", account=source, amount=200, **checked),
    )
    m, s, d, o, by = str(mint), str(source), str(dest), str(owner), str(delegate)
    assert words(landed) == [
        _token("mintTo", mint=m, account=s, amount="1000", mintAuthority=o),
        _token("mintToChecked", mint=m, account=s, tokenAmount=_tokens(55), mintAuthority=o),
        _token("transfer", source=s, destination=d, amount="10", authority=o),
        _token("transferChecked", source=s, mint=m, destination=d, tokenAmount=_tokens(110), authority=o),
        _token("approve", source=s, delegate=by, amount="3", owner=o),
        _token("approveChecked", source=s, mint=m, delegate=by, tokenAmount=_tokens(4), owner=o),
        _token("revoke", source=s, owner=o),
        _token("burn", account=s, mint=m, amount="5", authority=o),
        _token("burnChecked", account=s, mint=m, tokenAmount=_tokens(200), authority=o),
    ]
    assert words(landed)[1]["parsed"]["info"]["tokenAmount"] == {
        "amount": "55",
        "decimals": 2,
        "uiAmount": 0.55,
        "uiAmountString": "0.55",
    }


def test_freezing_handing_over_and_closing(coins: Coins, words: Words) -> None:
    mint, owner, heir = coins.mint(freezer=coins.owner), coins.owner, Keypair().pubkey()
    account = coins.account(mint)
    held = {"account": account, "mint": mint, "authority": owner}
    landed = coins.run(
        coins.ask("freeze_account", **held),
        coins.ask("thaw_account", **held),
        coins.ask("close_account", account=account, dest=owner, owner=owner),
        coins.ask(
            "set_authority",
            account=mint,
            authority=AuthorityType.FREEZE_ACCOUNT,
            current_authority=owner,
            new_authority=heir,
        ),
        coins.ask(
            "set_authority", account=mint, authority=AuthorityType.MINT_TOKENS, current_authority=owner
        ),
    )
    m, a, o = str(mint), str(account), str(owner)
    assert words(landed) == [
        _token("freezeAccount", account=a, mint=m, freezeAuthority=o),
        _token("thawAccount", account=a, mint=m, freezeAuthority=o),
        _token("closeAccount", account=a, destination=o, owner=o),
        _token("setAuthority", mint=m, authorityType="freezeAccount", newAuthority=str(heir), authority=o),
        _token("setAuthority", mint=m, authorityType="mintTokens", newAuthority=None, authority=o),
    ]


def test_a_multisig_and_what_it_signs(coins: Coins, words: Words) -> None:
    multisig, old, members = Keypair(), Keypair(), [Keypair() for _ in range(2)]
    signers = [member.pubkey() for member in members]
    made = coins.run(
        coins.allocate(multisig, 355),
        coins.allocate(old, 355),
        coins.ask("initialize_multisig2", multisig=multisig.pubkey(), m=2, signers=signers),
        coins.ask("initialize_multisig", multisig=old.pubkey(), m=1, signers=signers),
        signers=[multisig, old],
    )
    listed = [str(signer) for signer in signers]
    assert words(made)[2:] == [
        _token("initializeMultisig2", multisig=str(multisig.pubkey()), m=2, signers=listed),
        _token("initializeMultisig", multisig=str(old.pubkey()), m=1, signers=listed, rentSysvar=RENT),
    ]
    mint = coins.mint()
    account = coins.account(mint, multisig.pubkey())
    coins.issue(mint, account, 9)
    landed = coins.run(
        coins.ask(
            "transfer", source=account, dest=account, owner=multisig.pubkey(), amount=9, signers=signers
        ),
        signers=members,
    )
    assert words(landed) == [
        _token(
            "transfer",
            source=str(account),
            destination=str(account),
            amount="9",
            multisigAuthority=str(multisig.pubkey()),
            signers=listed,
        )
    ]


def test_asking_a_mint_for_amounts_and_sizes(coins: Coins, words: Words) -> None:
    mint = coins.mint()
    landed = coins.run(
        coins.ask("amount_to_ui_amount", mint=mint, amount=1_500_000),
        coins.ask("ui_amount_to_amount", mint=mint, ui_amount="0.25"),
        coins.ask("get_account_data_size", mint=mint),
    )
    m = str(mint)
    assert words(landed) == [
        _token("amountToUiAmount", mint=m, amount="1500000"),
        _token("uiAmountToAmount", mint=m, uiAmount="0.25"),
        _token("getAccountDataSize", mint=m),
    ]


@pytest.mark.parametrize("idempotent", [False, True])
def test_an_associated_account_with_all_it_calls(coins: Coins, words: Words, idempotent: bool) -> None:
    mint, wallet = coins.mint(), Keypair().pubkey()
    build = (
        spl.create_idempotent_associated_token_account if idempotent else spl.create_associated_token_account
    )
    landed = coins.run(build(coins.owner, wallet, mint, coins.program_id))
    account = spl.get_associated_token_address(wallet, mint, coins.program_id)
    assert words(landed) == [
        {
            "program": "spl-associated-token-account",
            "parsed": {
                "type": "createIdempotent" if idempotent else "create",
                "info": {
                    "source": str(coins.owner),
                    "account": str(account),
                    "wallet": str(wallet),
                    "mint": str(mint),
                    "systemProgram": SYSTEM,
                    "tokenProgram": str(coins.program_id),
                },
            },
        }
    ]
    keys = landed.accounts.every
    (calls,) = [group for group in landed.metadata.inner_instructions() if group]
    inner = [
        parsed.instruction(keys[call.program_id_index], [keys[i] for i in call.accounts], call.data)
        for call in (entry.instruction() for entry in calls)
    ]
    named = {"account": str(account), "mint": str(mint), "owner": str(wallet)}
    assert inner[-2:] == [
        _token("initializeImmutableOwner", account=str(account)),
        _token("initializeAccount3", **named),
    ]
    assert inner[0] == _token("getAccountDataSize", mint=str(mint), extensionTypes=["immutableOwner"])


def test_memos_are_their_text(town: Town, words: Words) -> None:
    memo = create_memo(
        MemoParams(program_id=MEMO_PROGRAM_ID, signer=town.payer.pubkey(), message="grüezi".encode())
    )
    transaction = town.land(memo)
    landed = town.ledger.history.get(transaction.signatures[0])
    assert landed is not None
    assert words(landed) == [{"program": "spl-memo", "parsed": "grüezi"}]
    assert parsed.instruction(MEMO_PROGRAM_ID, [], b"\xff\xfe") is None


def test_the_system_program(town: Town, words: Words) -> None:
    payer, other, new = town.payer.pubkey(), Keypair().pubkey(), Keypair()
    seeded = Pubkey.create_with_seed(payer, "rainy day", Pubkey.default())
    sol = 1_000_000_000
    transaction = town.land(
        town.pay(other, sol),
        system.create_account_with_seed(
            system.CreateAccountWithSeedParams(
                from_pubkey=payer,
                to_pubkey=seeded,
                base=payer,
                seed="rainy day",
                lamports=sol,
                space=0,
                owner=Pubkey.default(),
            )
        ),
        system.transfer_with_seed(
            system.TransferWithSeedParams(
                from_pubkey=seeded,
                from_base=payer,
                from_seed="rainy day",
                from_owner=Pubkey.default(),
                to_pubkey=new.pubkey(),
                lamports=sol // 2,
            )
        ),
        system.allocate(system.AllocateParams(pubkey=new.pubkey(), space=8)),
        system.assign(system.AssignParams(pubkey=new.pubkey(), owner=TOKEN_PROGRAM_ID)),
        signers=[new],
    )
    landed = town.ledger.history.get(transaction.signatures[0])
    assert landed is not None
    assert landed.fault is None
    p, n, default = str(payer), str(new.pubkey()), str(Pubkey.default())
    assert words(landed) == [
        _system("transfer", source=p, destination=str(other), lamports=sol),
        _system(
            "createAccountWithSeed",
            source=p,
            newAccount=str(seeded),
            base=p,
            seed="rainy day",
            lamports=sol,
            space=0,
            owner=default,
        ),
        _system(
            "transferWithSeed",
            source=str(seeded),
            sourceBase=p,
            destination=n,
            lamports=sol // 2,
            sourceSeed="rainy day",
            sourceOwner=default,
        ),
        _system("allocate", account=n, space=8),
        _system("assign", account=n, owner=str(TOKEN_PROGRAM_ID)),
    ]


def test_the_life_of_a_nonce(town: Town, words: Words) -> None:
    nonce, payer, heir = Keypair(), town.payer.pubkey(), Keypair()
    town.advance()
    made = town.land(*system.create_nonce_account(payer, nonce.pubkey(), payer, 2_000_000), signers=[nonce])
    town.advance()
    moved = town.land(
        system.advance_nonce_account(
            system.AdvanceNonceAccountParams(nonce_pubkey=nonce.pubkey(), authorized_pubkey=payer)
        ),
        system.authorize_nonce_account(
            system.AuthorizeNonceAccountParams(
                nonce_pubkey=nonce.pubkey(), authorized_pubkey=payer, new_authority=heir.pubkey()
            )
        ),
        system.withdraw_nonce_account(
            system.WithdrawNonceAccountParams(
                nonce_pubkey=nonce.pubkey(),
                authorized_pubkey=heir.pubkey(),
                to_pubkey=payer,
                lamports=1_000,
            )
        ),
        signers=[heir],
    )
    landed = [town.ledger.history.get(transaction.signatures[0]) for transaction in (made, moved)]
    assert all(entry is not None for entry in landed)
    n, p, h = str(nonce.pubkey()), str(payer), str(heir.pubkey())
    initialized = _system(
        "initializeNonce",
        nonceAccount=n,
        recentBlockhashesSysvar=RECENT_BLOCKHASHES,
        rentSysvar=RENT,
        nonceAuthority=p,
    )
    assert words(landed[0])[1] == initialized  # type: ignore[arg-type]
    assert words(landed[1]) == [  # type: ignore[arg-type]
        _system(
            "advanceNonce",
            nonceAccount=n,
            recentBlockhashesSysvar=RECENT_BLOCKHASHES,
            nonceAuthority=p,
        ),
        _system("authorizeNonce", nonceAccount=n, nonceAuthority=p, newAuthorized=h),
        _system(
            "withdrawFromNonce",
            nonceAccount=n,
            destination=p,
            recentBlockhashesSysvar=RECENT_BLOCKHASHES,
            rentSysvar=RENT,
            nonceAuthority=h,
            lamports=1_000,
        ),
    ]


def test_lookup_tables_and_loaders() -> None:
    keys = [Keypair().pubkey() for _ in range(8)]
    table, authority, payer, other, *_ = named = [str(key) for key in keys]
    tables = Pubkey.from_string("AddressLookupTab1e1111111111111111111111111")
    loader = Pubkey.from_string("BPFLoaderUpgradeab1e11111111111111111111111")
    common = {"lookupTableAccount": table, "lookupTableAuthority": authority}

    def words_of(program: Pubkey, accounts: int, kind: int, data: bytes = b"") -> Any:
        shown = parsed.instruction(program, keys[:accounts], kind.to_bytes(4, "little") + data)
        return None if shown is None else (shown["parsed"]["type"], shown["parsed"]["info"])

    created = (7).to_bytes(8, "little") + b"\xfe"
    extended = (1).to_bytes(8, "little") + bytes(keys[7])
    paid = {"payerAccount": payer, "systemProgram": other}
    assert words_of(tables, 4, 0, created) == (
        "createLookupTable",
        {**common, **paid, "recentSlot": 7, "bumpSeed": 254},
    )
    assert words_of(tables, 2, 2, extended) == (
        "extendLookupTable",
        {**common, "newAddresses": [named[7]]},
    )
    assert words_of(tables, 4, 2, extended)[1] == {**common, **paid, "newAddresses": [named[7]]}
    assert words_of(tables, 3, 4) == ("closeLookupTable", {**common, "recipient": payer})
    written = (4).to_bytes(4, "little") + (3).to_bytes(8, "little") + b"elf"
    assert words_of(loader, 2, 1, written) == (
        "write",
        {"offset": 4, "bytes": base64.b64encode(b"elf").decode(), "account": table, "authority": authority},
    )
    assert words_of(loader, 2, 4) == (
        "setAuthority",
        {"account": table, "authority": authority, "newAuthority": None},
    )
    assert words_of(loader, 2, 0) == ("initializeBuffer", {"account": table, "authority": authority})
    assert words_of(loader, 1, 0) == ("initializeBuffer", {"account": table})
    assert words_of(loader, 7, 3)[0] == "upgrade"
    assert words_of(loader, 6, 3) is None


@pytest.mark.parametrize(
    ("program", "accounts", "data"),
    [
        (TOKEN_PROGRAM_ID, 3, b""),
        (TOKEN_PROGRAM_ID, 3, b"\x03\x01"),  # a transfer whose amount is cut
        (TOKEN_PROGRAM_ID, 2, b"\x03" + bytes(8)),  # a transfer without an authority
        (TOKEN_PROGRAM_ID, 0, b"\x11"),
        (TOKEN_PROGRAM_ID, 3, b"\xc8" + bytes(20)),  # no such instruction
        (TOKEN_PROGRAM_ID, 2, b"\x06\x63\x00"),  # no such type of authority
        (TOKEN_PROGRAM_ID, 1, b"\x15\xff\xff"),  # no such type of extension
        (Pubkey.default(), 2, b"\x02\x00\x00"),
        (Pubkey.default(), 2, b"\x63\x00\x00\x00"),
        (ASSOCIATED_TOKEN_PROGRAM_ID, 6, b"\x09"),
        (ASSOCIATED_TOKEN_PROGRAM_ID, 5, b"\x01"),
        (Pubkey.from_string("ComputeBudget111111111111111111111111111111"), 0, b"\x02\x00\x00\x00\x00"),
    ],
)
def test_what_cannot_be_parsed_is_left_as_it_is(program: Pubkey, accounts: int, data: bytes) -> None:
    keys = [Keypair().pubkey() for _ in range(accounts)]
    assert parsed.instruction(program, keys, data) is None


def test_the_oldest_form_of_an_associated_account_has_no_data() -> None:
    metas = [AccountMeta(Keypair().pubkey(), False, False) for _ in range(7)]
    instruction = Instruction(ASSOCIATED_TOKEN_PROGRAM_ID, b"", metas)
    keys = [meta.pubkey for meta in instruction.accounts]
    shown = parsed.instruction(instruction.program_id, keys, bytes(instruction.data))
    assert shown is not None
    assert shown["parsed"]["type"] == "create"
