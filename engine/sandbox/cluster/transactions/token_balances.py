"""What a transaction's token accounts hold: `preTokenBalances` and `postTokenBalances` of its meta."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from solders.account import Account
from solders.pubkey import Pubkey

from engine.sandbox.cluster.parsed.token_state import (
    NATIVE_MINT,
    NATIVE_MINT_DECIMALS,
    TOKEN_PROGRAMS,
    mint_of,
    token_account_of,
)


@dataclass(frozen=True, slots=True)
class TokenBalance:
    """What one token account held. `account_index` is the account's place among the transaction's accounts;
    `amount` is in the mint's smallest unit, of which 10^decimals make one token."""

    account_index: int
    mint: Pubkey
    owner: Pubkey
    program_id: Pubkey
    amount: int
    decimals: int


def token_balances(
    accounts: Sequence[Pubkey], account_of: Callable[[Pubkey], Account | None]
) -> list[TokenBalance]:
    """The balances of the token accounts among a transaction's accounts, in their order.

    As on a node, there are none when the transaction names neither token program, and none of accounts whose
    mint cannot be read.
    """
    if TOKEN_PROGRAMS.isdisjoint(accounts):
        return []
    balances = []
    for index, address in enumerate(accounts):
        account = account_of(address)
        if account is None or account.owner not in TOKEN_PROGRAMS:
            continue
        held = token_account_of(account.data)
        if held is None:
            continue
        decimals = _decimals_of(held.mint, account.owner, account_of)
        if decimals is not None:
            balances.append(TokenBalance(index, held.mint, held.owner, account.owner, held.amount, decimals))
    return balances


def _decimals_of(
    mint: Pubkey, program_id: Pubkey, account_of: Callable[[Pubkey], Account | None]
) -> int | None:
    if mint == NATIVE_MINT:
        return NATIVE_MINT_DECIMALS
    account = account_of(mint)
    if account is None or account.owner != program_id:
        return None
    state = mint_of(account.data)
    return None if state is None else state.decimals
