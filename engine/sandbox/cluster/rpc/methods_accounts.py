"""RPC methods that read accounts."""

from __future__ import annotations

from functools import partial

from engine.sandbox.cluster.encoding import (
    optional_account_json,
)
from engine.sandbox.cluster.ledger.view import View
from engine.sandbox.cluster.rpc.methods_chain import with_context
from engine.sandbox.cluster.rpc.params import Params, parse_pubkey
from engine.sandbox.cluster.rpc_errors import invalid_request

MAX_MULTIPLE_ACCOUNTS = 100
MAX_ACCOUNT_DATA_BYTES = 10 * 1024 * 1024


class AccountMethods:
    """Answers about accounts, as the bank of the asked commitment sees them."""

    def __init__(self, view: View) -> None:
        self._view = view

    def get_balance(self, params: Params) -> object:
        """Lamports of an account, 0 when it does not exist."""
        address = params.pubkey(0)
        bank = params.config(1).bank(self._view)
        account = self._view.account_at(address, bank.slot)
        return with_context(bank, 0 if account is None else account.lamports)

    def get_account_info(self, params: Params) -> object:
        """One account, null when it does not exist."""
        address, config = params.pubkey(0), params.config(1, "RpcAccountInfoConfig")
        bank = config.bank(self._view)
        account_of = partial(self._view.account_at, slot=bank.slot)
        encoding, data_slice = config.account_encoding(), config.data_slice()
        return with_context(
            bank, optional_account_json(account_of(address), encoding, data_slice, address, account_of)
        )

    def get_multiple_accounts(self, params: Params) -> object:
        """Up to 100 accounts of one bank."""
        addresses = [parse_pubkey(text) for text in params.sequence(0, MAX_MULTIPLE_ACCOUNTS)]
        config = params.config(1, "RpcAccountInfoConfig")
        bank = config.bank(self._view)
        encoding, data_slice = config.account_encoding(), config.data_slice()
        account_of = partial(self._view.account_at, slot=bank.slot)
        return with_context(
            bank,
            [
                optional_account_json(account_of(address), encoding, data_slice, address, account_of)
                for address in addresses
            ],
        )

    def get_minimum_balance_for_rent_exemption(self, params: Params) -> object:
        """The least balance of an account with so many bytes of data."""
        data_bytes = params.integer(0, "usize")
        params.commitment(1)
        if data_bytes > MAX_ACCOUNT_DATA_BYTES:
            raise invalid_request()
        return self._view.ledger.rent_exempt_minimum_lamports(data_bytes)
