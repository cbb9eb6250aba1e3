"""Every HTTP method of the node, by its wire name, and how many parameters it takes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

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

PARAMETERS: Final[Mapping[str, tuple[int, int]]] = {
    "getHealth": (0, 0),
    "getGenesisHash": (0, 0),
    "getSlot": (0, 1),
    "getBlockHeight": (0, 1),
    "getTransactionCount": (0, 1),
    "getEpochInfo": (0, 1),
    "getEpochSchedule": (0, 0),
    "getLatestBlockhash": (0, 1),
    "isBlockhashValid": (1, 2),
    "getRecentPrioritizationFees": (0, 1),
    "getBlock": (1, 2),
    "getBlocks": (1, 3),
    "getBlocksWithLimit": (2, 3),
    "getBlockTime": (1, 1),
    "getBlockCommitment": (1, 1),
    "getBlockProduction": (0, 1),
    "getFirstAvailableBlock": (0, 0),
    "minimumLedgerSlot": (0, 0),
    "getRecentPerformanceSamples": (0, 1),
    "getVersion": (0, 0),
    "getIdentity": (0, 0),
    "getClusterNodes": (0, 0),
    "getSlotLeader": (0, 1),
    "getSlotLeaders": (2, 2),
    "getLeaderSchedule": (0, 2),
    "getVoteAccounts": (0, 1),
    "getMaxRetransmitSlot": (0, 0),
    "getMaxShredInsertSlot": (0, 0),
    "getHighestSnapshotSlot": (0, 0),
    "getSupply": (0, 1),
    "getLargestAccounts": (0, 1),
    "getInflationGovernor": (0, 1),
    "getInflationRate": (0, 0),
    "getInflationReward": (1, 2),
    "getStakeMinimumDelegation": (0, 1),
    "getBalance": (1, 2),
    "getAccountInfo": (1, 2),
    "getMultipleAccounts": (1, 2),
    "getProgramAccounts": (1, 2),
    "getMinimumBalanceForRentExemption": (1, 2),
    "getTokenAccountBalance": (1, 2),
    "getTokenSupply": (1, 2),
    "getTokenLargestAccounts": (1, 2),
    "getTokenAccountsByOwner": (2, 3),
    "getTokenAccountsByDelegate": (2, 3),
    "getFeeForMessage": (1, 2),
    "requestAirdrop": (2, 3),
    "sendTransaction": (1, 2),
    "simulateTransaction": (1, 2),
    "getSignatureStatuses": (1, 2),
    "getSignaturesForAddress": (1, 2),
    "getTransaction": (1, 2),
}
"""Every method, with the least and the most parameters that it takes."""


def methods_of(view: View, leader: Leader, contacts: Sequence[Contact] = ()) -> dict[str, Method]:
    """Every HTTP method of the node, by its wire name. `contacts` are the nodes of its cluster."""
    chain, blocks, cluster = ChainMethods(view), BlockMethods(view), ClusterMethods(view, contacts)
    accounts, tokens, supply = AccountMethods(view), TokenMethods(view), SupplyMethods(view)
    sending, history = SendingMethods(view, leader), HistoryMethods(view)
    table: dict[str, Method] = {
        "getHealth": chain.get_health,
        "getGenesisHash": chain.get_genesis_hash,
        "getSlot": chain.get_slot,
        "getBlockHeight": chain.get_block_height,
        "getTransactionCount": chain.get_transaction_count,
        "getEpochInfo": chain.get_epoch_info,
        "getEpochSchedule": chain.get_epoch_schedule,
        "getLatestBlockhash": chain.get_latest_blockhash,
        "isBlockhashValid": chain.is_blockhash_valid,
        "getRecentPrioritizationFees": chain.get_recent_prioritization_fees,
        "getBlock": blocks.get_block,
        "getBlocks": blocks.get_blocks,
        "getBlocksWithLimit": blocks.get_blocks_with_limit,
        "getBlockTime": blocks.get_block_time,
        "getBlockCommitment": blocks.get_block_commitment,
        "getBlockProduction": blocks.get_block_production,
        "getFirstAvailableBlock": blocks.get_first_available_block,
        "minimumLedgerSlot": blocks.get_first_available_block,
        "getRecentPerformanceSamples": blocks.get_recent_performance_samples,
        "getVersion": cluster.get_version,
        "getIdentity": cluster.get_identity,
        "getClusterNodes": cluster.get_cluster_nodes,
        "getSlotLeader": cluster.get_slot_leader,
        "getSlotLeaders": cluster.get_slot_leaders,
        "getLeaderSchedule": cluster.get_leader_schedule,
        "getVoteAccounts": cluster.get_vote_accounts,
        "getMaxRetransmitSlot": cluster.get_max_retransmit_slot,
        "getMaxShredInsertSlot": cluster.get_max_shred_insert_slot,
        "getHighestSnapshotSlot": cluster.get_highest_snapshot_slot,
        "getSupply": supply.get_supply,
        "getLargestAccounts": supply.get_largest_accounts,
        "getInflationGovernor": supply.get_inflation_governor,
        "getInflationRate": supply.get_inflation_rate,
        "getInflationReward": supply.get_inflation_reward,
        "getStakeMinimumDelegation": supply.get_stake_minimum_delegation,
        "getBalance": accounts.get_balance,
        "getAccountInfo": accounts.get_account_info,
        "getMultipleAccounts": accounts.get_multiple_accounts,
        "getProgramAccounts": ProgramAccounts(view).answer,
        "getMinimumBalanceForRentExemption": accounts.get_minimum_balance_for_rent_exemption,
        "getTokenAccountBalance": tokens.get_token_account_balance,
        "getTokenSupply": tokens.get_token_supply,
        "getTokenLargestAccounts": tokens.get_token_largest_accounts,
        "getTokenAccountsByOwner": tokens.get_token_accounts_by_owner,
        "getTokenAccountsByDelegate": tokens.get_token_accounts_by_delegate,
        "getFeeForMessage": sending.get_fee_for_message,
        "requestAirdrop": sending.request_airdrop,
        "sendTransaction": sending.send_transaction,
        "simulateTransaction": sending.simulate_transaction,
        "getSignatureStatuses": history.get_signature_statuses,
        "getSignaturesForAddress": history.get_signatures_for_address,
        "getTransaction": history.get_transaction,
    }
    return {name: _counted(method, *PARAMETERS[name]) for name, method in table.items()}


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
