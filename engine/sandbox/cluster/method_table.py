"""Every HTTP method of the node, by its wire name."""

from __future__ import annotations

from engine.sandbox.cluster.leader import Leader
from engine.sandbox.cluster.methods_accounts import AccountMethods
from engine.sandbox.cluster.methods_chain import ChainMethods
from engine.sandbox.cluster.methods_tokens import TokenMethods
from engine.sandbox.cluster.methods_transactions import TransactionMethods
from engine.sandbox.cluster.params import Method
from engine.sandbox.cluster.view import View


def methods_of(view: View, leader: Leader) -> dict[str, Method]:
    """Every HTTP method of the node, by its wire name."""
    chain, accounts = ChainMethods(view), AccountMethods(view)
    tokens, transactions = TokenMethods(view), TransactionMethods(view, leader)
    return {
        "getHealth": chain.get_health,
        "getVersion": chain.get_version,
        "getGenesisHash": chain.get_genesis_hash,
        "getIdentity": chain.get_identity,
        "getSlot": chain.get_slot,
        "getSlotLeader": chain.get_slot_leader,
        "getBlockHeight": chain.get_block_height,
        "getBlockTime": chain.get_block_time,
        "getEpochInfo": chain.get_epoch_info,
        "getEpochSchedule": chain.get_epoch_schedule,
        "getFirstAvailableBlock": chain.get_first_available_block,
        "minimumLedgerSlot": chain.get_first_available_block,
        "getTransactionCount": chain.get_transaction_count,
        "getLatestBlockhash": chain.get_latest_blockhash,
        "isBlockhashValid": chain.is_blockhash_valid,
        "getRecentPrioritizationFees": chain.get_recent_prioritization_fees,
        "getBalance": accounts.get_balance,
        "getAccountInfo": accounts.get_account_info,
        "getMultipleAccounts": accounts.get_multiple_accounts,
        "getProgramAccounts": accounts.get_program_accounts,
        "getMinimumBalanceForRentExemption": accounts.get_minimum_balance_for_rent_exemption,
        "getTokenAccountBalance": tokens.get_token_account_balance,
        "getTokenAccountsByDelegate": tokens.get_token_accounts_by_delegate,
        "getTokenAccountsByOwner": tokens.get_token_accounts_by_owner,
        "getTokenLargestAccounts": tokens.get_token_largest_accounts,
        "getTokenSupply": tokens.get_token_supply,
        "getFeeForMessage": transactions.get_fee_for_message,
        "requestAirdrop": transactions.request_airdrop,
        "sendTransaction": transactions.send_transaction,
        "simulateTransaction": transactions.simulate_transaction,
        "getSignatureStatuses": transactions.get_signature_statuses,
        "getSignaturesForAddress": transactions.get_signatures_for_address,
        "getTransaction": transactions.get_transaction,
    }
