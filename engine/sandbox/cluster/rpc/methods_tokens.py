"""RPC methods about SPL tokens: balances, supplies, and the token accounts of an owner, delegate or mint.

There is no index by owner or mint: a question goes through the token program's accounts of the bank.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterator
from functools import partial

import msgspec
from solders.account import Account
from solders.pubkey import Pubkey

from engine.sandbox.cluster.blocks.banks import Bank
from engine.sandbox.cluster.encoding import AccountEncoding, keyed_account_json, parsed_token_entries
from engine.sandbox.cluster.ledger.view import View
from engine.sandbox.cluster.parsed.token_accounts import clock_s
from engine.sandbox.cluster.parsed.token_amounts import (
    NATIVE_DISPLAY,
    AmountDisplay,
    amount_json,
    display_of,
)
from engine.sandbox.cluster.parsed.token_state import (
    DELEGATE_OFFSET,
    MINT_OFFSET,
    NATIVE_MINT,
    OWNER_OFFSET,
    TOKEN_PROGRAM,
    TOKEN_PROGRAMS,
    amount_in,
    is_token_account,
    mint_of,
    token_account_of,
)
from engine.sandbox.cluster.rpc.methods_chain import with_context
from engine.sandbox.cluster.rpc.params import Params, parse_pubkey, wrong_type
from engine.sandbox.cluster.rpc_errors import invalid_params

MAX_LARGEST_ACCOUNTS = 20
_HAS_DELEGATE = (1).to_bytes(4, "little")


class TokenMethods:
    """Answers about token accounts and mints, as the bank of the asked commitment sees them."""

    def __init__(self, view: View) -> None:
        self._view = view

    def get_token_account_balance(self, params: Params) -> object:
        """What a token account holds."""
        address, bank = params.pubkey(0), self._view.bank(params.commitment(1))
        account = self._view.account_at(address, bank.slot)
        if account is None:
            raise invalid_params("Invalid param: could not find account")
        held = token_account_of(account.data) if account.owner in TOKEN_PROGRAMS else None
        if held is None:
            raise invalid_params("Invalid param: not a Token account")
        _, display = self._mint(held.mint, bank)
        return with_context(bank, amount_json(held.amount, display))

    def get_token_supply(self, params: Params) -> object:
        """How much of a mint there is."""
        address, bank = params.pubkey(0), self._view.bank(params.commitment(1))
        account = self._view.account_at(address, bank.slot)
        if account is None:
            raise invalid_params("Invalid param: could not find account")
        if account.owner not in TOKEN_PROGRAMS:
            raise invalid_params("Invalid param: not a Token mint")
        mint, display = mint_of(account.data), display_of(account.data, self._clock_s(bank))
        if mint is None or display is None:
            raise invalid_params("Invalid param: mint could not be unpacked")
        return with_context(bank, amount_json(mint.supply, display))

    def get_token_largest_accounts(self, params: Params) -> object:
        """The up to 20 accounts that hold most of a mint, the largest first."""
        mint, bank = params.pubkey(0), self._view.bank(params.commitment(1))
        program, display = self._token_mint(mint, bank)
        holdings = (
            (amount_in(account.data), bytes(address))
            for address, account in self._token_accounts(program, bank, _field(MINT_OFFSET, mint))
        )
        return with_context(
            bank,
            [
                {"address": str(Pubkey(address)), **amount_json(amount, display)}
                for amount, address in heapq.nlargest(MAX_LARGEST_ACCOUNTS, holdings)
            ],
        )

    def get_token_accounts_by_owner(self, params: Params) -> object:
        """The token accounts of an owner, of one mint or of one token program."""
        return self._accounts_of(params, _field(OWNER_OFFSET, params.pubkey(0)))

    def get_token_accounts_by_delegate(self, params: Params) -> object:
        """The token accounts that a delegate may spend from, of one mint or of one token program."""
        delegate = _HAS_DELEGATE + bytes(params.pubkey(0))
        end = DELEGATE_OFFSET + len(delegate)
        return self._accounts_of(params, lambda data: data[DELEGATE_OFFSET:end] == delegate)

    # --- inside ---

    def _accounts_of(self, params: Params, belongs: Callable[[bytes], bool]) -> object:
        wanted, config = params.raw(1), params.config(2, "RpcAccountInfoConfig")
        bank = config.bank(self._view)
        encoding, data_slice = config.account_encoding(), config.data_slice()
        program, mint = self._program_and_mint(wanted, bank)
        of_mint = None if mint is None else _field(MINT_OFFSET, mint)
        found = [
            (address, account)
            for address, account in self._token_accounts(program, bank, belongs)
            if of_mint is None or of_mint(account.data)
        ]
        found.sort(key=lambda pair: bytes(pair[0]))
        if encoding is AccountEncoding.JSON_PARSED:
            entries = list(parsed_token_entries(found, partial(self._view.account_at, slot=bank.slot)))
        else:
            entries = [
                keyed_account_json(address, account, encoding, data_slice) for address, account in found
            ]
        return with_context(bank, msgspec.Raw(f"[{','.join(entries)}]".encode()))

    def _token_accounts(
        self, program: Pubkey, bank: Bank, belongs: Callable[[bytes], bool]
    ) -> Iterator[tuple[Pubkey, Account]]:
        account_at, slot = self._view.account_at, bank.slot
        for address in self._view.program_addresses(program, slot):
            account = account_at(address, slot)
            if account is not None:
                data = account.data
                if belongs(data) and is_token_account(data):
                    yield address, account

    def _program_and_mint(self, wanted: object, bank: Bank) -> tuple[Pubkey, Pubkey | None]:
        """Which token program is asked about, and of which mint's accounts; None stands for all of them."""
        if not isinstance(wanted, dict):
            raise wrong_type(wanted, "string or map")
        if len(wanted) != 1:
            raise invalid_params("Invalid params: invalid value: map, expected map with a single key.")
        ((kind, value),) = wanted.items()
        if kind == "mint":
            mint = parse_pubkey(value)
            return self._token_mint(mint, bank)[0], mint
        if kind != "programId":
            raise invalid_params(
                f"Invalid params: unknown variant `{str(kind)[:64]}`, expected `mint` or `programId`."
            )
        program = parse_pubkey(value)
        if program not in TOKEN_PROGRAMS:
            raise invalid_params("Invalid param: unrecognized Token program id")
        return program, None

    def _token_mint(self, mint: Pubkey, bank: Bank) -> tuple[Pubkey, AmountDisplay]:
        program, display = self._mint(mint, bank)
        if program not in TOKEN_PROGRAMS:
            raise invalid_params("Invalid param: not a Token mint")
        return program, display

    def _mint(self, mint: Pubkey, bank: Bank) -> tuple[Pubkey, AmountDisplay]:
        """The program of a mint, and how its amounts are shown; wrapped SOL needs no account to be known."""
        if mint == NATIVE_MINT:
            return TOKEN_PROGRAM, NATIVE_DISPLAY
        account = self._view.account_at(mint, bank.slot)
        if account is None:
            raise invalid_params("Invalid param: could not find mint")
        display = display_of(account.data, self._clock_s(bank))
        if display is None:
            raise invalid_params("Invalid param: Token mint could not be unpacked")
        return account.owner, display

    def _clock_s(self, bank: Bank) -> int:
        return clock_s(partial(self._view.account_at, slot=bank.slot))


def _field(offset: int, key: Pubkey) -> Callable[[bytes], bool]:
    expected, end = bytes(key), offset + Pubkey.LENGTH
    return lambda data: data[offset:end] == expected
