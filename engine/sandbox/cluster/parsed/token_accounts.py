"""Token accounts, mints and multisigs in a node's words."""

from __future__ import annotations

from collections.abc import Callable

from solders.account import Account
from solders.pubkey import Pubkey

from engine.sandbox.cluster.parsed.byte_reader import ByteReader, Unparsable
from engine.sandbox.cluster.parsed.token_amounts import (
    AmountDisplay,
    amount_json,
    display_of,
)
from engine.sandbox.cluster.parsed.token_extensions import extensions_json
from engine.sandbox.cluster.parsed.token_state import (
    MINT_BYTES,
    TOKEN_ACCOUNT_BYTES,
    Mint,
    Multisig,
    TokenAccount,
    mint_of,
    multisig_of,
    token_account_of,
)

AccountOf = Callable[[Pubkey], Account | None]
"""Reads an account of the bank that is asked about; None when it does not exist."""

CLOCK_SYSVAR = Pubkey.from_string("SysvarC1ock11111111111111111111111111111111")


def parse_token_account(data: bytes, account_of: AccountOf) -> dict[str, object]:
    """A token program's account; raises Unparsable for other data, and for an account without its mint."""
    held = token_account_of(data)
    if held is not None:
        display = mint_display(held.mint, account_of)
        if display is None:
            raise Unparsable("a token account without its mint")
        return {"info": _with_extensions(_holding_json(held, display), data), "type": "account"}
    mint = mint_of(data)
    if mint is not None:
        return {"info": _with_extensions(_mint_json(mint), data), "type": "mint"}
    multisig = multisig_of(data)
    if multisig is None:
        raise Unparsable("no initialized state of a token program")
    return {"info": _multisig_json(multisig), "type": "multisig"}


def mint_display(mint: Pubkey, account_of: AccountOf) -> AmountDisplay | None:
    """How a mint's amounts are shown in the bank that `account_of` reads; None when there is no such mint."""
    account = account_of(mint)
    if account is None:
        return None
    data = account.data
    # Without extensions, time changes nothing: then there is no need to ask for it.
    return display_of(data, 0 if len(data) == MINT_BYTES else clock_s(account_of))


def clock_s(account_of: AccountOf) -> int:
    """The unix time of the bank that `account_of` reads."""
    clock = account_of(CLOCK_SYSVAR)
    if clock is None:
        return 0
    reader = ByteReader(clock.data)
    reader.take(32)
    return reader.i64()


def _holding_json(held: TokenAccount, display: AmountDisplay) -> dict[str, object]:
    info: dict[str, object] = {
        "isNative": held.rent_reserve_lamports is not None,
        "mint": str(held.mint),
        "owner": str(held.owner),
        "state": held.state,
        "tokenAmount": amount_json(held.amount, display),
    }
    if held.delegate is not None:
        info["delegate"] = str(held.delegate)
        info["delegatedAmount"] = amount_json(held.delegated_amount, display)
    if held.rent_reserve_lamports is not None:
        info["rentExemptReserve"] = amount_json(held.rent_reserve_lamports, display)
    if held.close_authority is not None:
        info["closeAuthority"] = str(held.close_authority)
    return info


def _mint_json(mint: Mint) -> dict[str, object]:
    return {
        "decimals": mint.decimals,
        "freezeAuthority": None if mint.freeze_authority is None else str(mint.freeze_authority),
        "isInitialized": True,
        "mintAuthority": None if mint.mint_authority is None else str(mint.mint_authority),
        "supply": str(mint.supply),
    }


def _multisig_json(multisig: Multisig) -> dict[str, object]:
    return {
        "isInitialized": True,
        "numRequiredSigners": multisig.required,
        "numValidSigners": multisig.valid,
        "signers": [str(signer) for signer in multisig.signers],
    }


def _with_extensions(info: dict[str, object], data: bytes) -> dict[str, object]:
    if len(data) > TOKEN_ACCOUNT_BYTES:
        extensions = extensions_json(data)
        if extensions:
            info["extensions"] = extensions
    return info
