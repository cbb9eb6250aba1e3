"""What simulateTransaction answers: a transaction's outcome, and everything that it would have done."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
from solders.account import Account
from solders.pubkey import Pubkey

from engine.sandbox.cluster.blocks.blockhashes import Blockhash
from engine.sandbox.cluster.encoding import AccountEncoding, optional_account_json, return_data_json
from engine.sandbox.cluster.ledger.ledger import Simulation
from engine.sandbox.cluster.rpc.transaction_json import (
    TransactionEncoding,
    inner_instructions_json,
    loaded_addresses_json,
    token_balances_json,
)
from engine.sandbox.cluster.transactions.token_balances import token_balances
from engine.sandbox.cluster.transactions.transaction_accounts import TransactionAccounts, accounts_of
from engine.sandbox.cluster.transactions.transaction_loading import AccountOf, loaded_bytes
from engine.sandbox.cluster.transactions.wire_transaction import WireTransaction


def simulation_json(
    simulation: Simulation,
    transaction: WireTransaction,
    account_of: AccountOf,
    *,
    with_inner_instructions: bool,
    replacement: Blockhash | None,
) -> dict[str, object]:
    """All but the accounts; `account_of` reads them as they were in the simulation's bank."""
    execution, accounts = simulation.execution, accounts_of(transaction.message, account_of)
    metadata = None if execution is None or not execution.executed else execution.metadata
    shown: dict[str, object] = {
        "err": simulation.fault,
        "logs": [] if metadata is None else metadata.logs(),
        "accounts": None,
        "unitsConsumed": 0 if metadata is None else metadata.compute_units_consumed(),
        "loadedAccountsDataSize": 0
        if metadata is None
        else loaded_bytes(transaction.message, accounts.every, account_of),
        "returnData": None if metadata is None else return_data_json(metadata),
        "innerInstructions": None
        if metadata is None or not with_inner_instructions
        else inner_instructions_json(metadata, accounts.every, TransactionEncoding.JSON_PARSED),
        "replacementBlockhash": None
        if replacement is None
        else {
            "blockhash": str(replacement.value),
            "lastValidBlockHeight": replacement.last_valid_block_height,
        },
        "fee": None if metadata is None else metadata.fee(),
        "loadedAddresses": loaded_addresses_json(accounts),
    }
    return shown | _balances_json(simulation, accounts, account_of)


def accounts_after_json(
    simulation: Simulation, addresses: Sequence[Pubkey], encoding: AccountEncoding, account_of: AccountOf
) -> list[msgspec.Raw]:
    """The wanted accounts as the transaction would have left them; null for each when it failed."""
    if simulation.fault is not None or simulation.execution is None:
        return [msgspec.Raw(b"null") for _ in addresses]
    after = _after(simulation, account_of)
    return [optional_account_json(after(address), encoding, None, address, after) for address in addresses]


def _after(simulation: Simulation, account_of: AccountOf) -> AccountOf:
    written = {} if simulation.execution is None else simulation.execution.post_accounts

    def account_after(address: Pubkey) -> Account | None:
        account = written[address] if address in written else account_of(address)
        return None if account is None or account.lamports == 0 else account

    return account_after


def _balances_json(
    simulation: Simulation, accounts: TransactionAccounts, account_of: AccountOf
) -> dict[str, object]:
    if simulation.execution is None or not simulation.execution.executed:
        names = ("preBalances", "postBalances", "preTokenBalances", "postTokenBalances")
        return dict.fromkeys(names)
    shown: dict[str, object] = {}
    keys = accounts.every
    for name, read in (("pre", account_of), ("post", _after(simulation, account_of))):
        found = [read(key) for key in keys]
        shown[f"{name}Balances"] = [0 if account is None else account.lamports for account in found]
        shown[f"{name}TokenBalances"] = token_balances_json(token_balances(keys, read))
    if simulation.fault is not None:
        # A transaction that fails moves its fee, and nothing else.
        shown["postTokenBalances"] = shown["preTokenBalances"]
        before = shown["preBalances"]
        assert isinstance(before, list)
        shown["postBalances"] = [before[0] - simulation.execution.metadata.fee(), *before[1:]]
    return shown
