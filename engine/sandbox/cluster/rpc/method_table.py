"""Every HTTP method of the node, by its wire name, and how many parameters it takes."""

from __future__ import annotations

from collections.abc import Sequence

from engine.sandbox.cluster.ledger.leader import Leader
from engine.sandbox.cluster.ledger.view import View
from engine.sandbox.cluster.rpc.methods_accounts import AccountMethods
from engine.sandbox.cluster.rpc.methods_blocks import BlockMethods
from engine.sandbox.cluster.rpc.methods_chain import ChainMethods
from engine.sandbox.cluster.rpc.methods_cluster import ClusterMethods, Contact
from engine.sandbox.cluster.rpc.methods_history import HistoryMethods
from engine.sandbox.cluster.rpc.methods_sending import SendingMethods
from engine.sandbox.cluster.rpc.methods_supply import SupplyMethods
from engine.sandbox.cluster.rpc.methods_tokens import TokenMethods
from engine.sandbox.cluster.rpc.params import Method, Params
from engine.sandbox.cluster.rpc.program_accounts import ProgramAccounts
from engine.sandbox.cluster.rpc_errors import invalid_params


def methods_of(view: View, leader: Leader, contacts: Sequence[Contact] = ()) -> dict[str, Method]:
    """Every HTTP method of the node, by its wire name. `contacts` are the nodes of its cluster."""
    chain, blocks, cluster = ChainMethods(view), BlockMethods(view), ClusterMethods(view, contacts)
    accounts, tokens, supply = AccountMethods(view), TokenMethods(view), SupplyMethods(view)
    sending, history = SendingMethods(view, leader), HistoryMethods(view)
    # Each with the least and the most parameters that it takes.
    table: dict[str, tuple[Method, int, int]] = {
        "getHealth": (chain.get_health, 0, 0),
        "getGenesisHash": (chain.get_genesis_hash, 0, 0),
        "getSlot": (chain.get_slot, 0, 1),
        "getBlockHeight": (chain.get_block_height, 0, 1),
        "getTransactionCount": (chain.get_transaction_count, 0, 1),
        "getEpochInfo": (chain.get_epoch_info, 0, 1),
        "getEpochSchedule": (chain.get_epoch_schedule, 0, 0),
        "getLatestBlockhash": (chain.get_latest_blockhash, 0, 1),
        "isBlockhashValid": (chain.is_blockhash_valid, 1, 2),
        "getRecentPrioritizationFees": (chain.get_recent_prioritization_fees, 0, 1),
        "getBlock": (blocks.get_block, 1, 2),
        "getBlocks": (blocks.get_blocks, 1, 3),
        "getBlocksWithLimit": (blocks.get_blocks_with_limit, 2, 3),
        "getBlockTime": (blocks.get_block_time, 1, 1),
        "getBlockCommitment": (blocks.get_block_commitment, 1, 1),
        "getBlockProduction": (blocks.get_block_production, 0, 1),
        "getFirstAvailableBlock": (blocks.get_first_available_block, 0, 0),
        "minimumLedgerSlot": (blocks.get_first_available_block, 0, 0),
        "getRecentPerformanceSamples": (blocks.get_recent_performance_samples, 0, 1),
        "getVersion": (cluster.get_version, 0, 0),
        "getIdentity": (cluster.get_identity, 0, 0),
        "getClusterNodes": (cluster.get_cluster_nodes, 0, 0),
        "getSlotLeader": (cluster.get_slot_leader, 0, 1),
        "getSlotLeaders": (cluster.get_slot_leaders, 2, 2),
        "getLeaderSchedule": (cluster.get_leader_schedule, 0, 2),
        "getVoteAccounts": (cluster.get_vote_accounts, 0, 1),
        "getMaxRetransmitSlot": (cluster.get_max_retransmit_slot, 0, 0),
        "getMaxShredInsertSlot": (cluster.get_max_shred_insert_slot, 0, 0),
        "getHighestSnapshotSlot": (cluster.get_highest_snapshot_slot, 0, 0),
        "getSupply": (supply.get_supply, 0, 1),
        "getLargestAccounts": (supply.get_largest_accounts, 0, 1),
        "getInflationGovernor": (supply.get_inflation_governor, 0, 1),
        "getInflationRate": (supply.get_inflation_rate, 0, 0),
        "getInflationReward": (supply.get_inflation_reward, 1, 2),
        "getStakeMinimumDelegation": (supply.get_stake_minimum_delegation, 0, 1),
        "getBalance": (accounts.get_balance, 1, 2),
        "getAccountInfo": (accounts.get_account_info, 1, 2),
        "getMultipleAccounts": (accounts.get_multiple_accounts, 1, 2),
        "getProgramAccounts": (ProgramAccounts(view).answer, 1, 2),
        "getMinimumBalanceForRentExemption": (accounts.get_minimum_balance_for_rent_exemption, 1, 2),
        "getTokenAccountBalance": (tokens.get_token_account_balance, 1, 2),
        "getTokenSupply": (tokens.get_token_supply, 1, 2),
        "getTokenLargestAccounts": (tokens.get_token_largest_accounts, 1, 2),
        "getTokenAccountsByOwner": (tokens.get_token_accounts_by_owner, 2, 3),
        "getTokenAccountsByDelegate": (tokens.get_token_accounts_by_delegate, 2, 3),
        "getFeeForMessage": (sending.get_fee_for_message, 1, 2),
        "requestAirdrop": (sending.request_airdrop, 2, 3),
        "sendTransaction": (sending.send_transaction, 1, 2),
        "simulateTransaction": (sending.simulate_transaction, 1, 2),
        "getSignatureStatuses": (history.get_signature_statuses, 1, 2),
        "getSignaturesForAddress": (history.get_signatures_for_address, 1, 2),
        "getTransaction": (history.get_transaction, 1, 2),
    }
    return {name: _counted(*entry) for name, entry in table.items()}


def _counted(method: Method, least: int, most: int) -> Method:
    """The method behind a node's check of the number of its parameters."""

    def call(params: Params) -> object:
        count = len(params)
        if not least <= count <= most:
            _refuse_count(count, least, most)
        return method(params)

    return call


def _refuse_count(count: int, least: int, most: int) -> None:
    if most == 0:
        raise invalid_params("Invalid parameters: No parameters were expected", f"Got: {count}")
    if least == most:
        expected = f"a tuple of size {least}" if count < least else "fewer elements in array"
        raise invalid_params(f"Invalid params: invalid length {count}, expected {expected}.")
    if count < least:
        raise invalid_params(f"`params` should have at least {least} argument(s)")
    raise invalid_params(
        f"Invalid parameters: Expected from {least} to {most} parameters.", f'"Got: {count}"'
    )
