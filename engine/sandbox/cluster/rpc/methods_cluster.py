"""RPC methods about the cluster's nodes: who they are, what they run, who leads, who votes."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import msgspec
from solders.pubkey import Pubkey

from engine.sandbox.cluster.blocks.banks import Commitment
from engine.sandbox.cluster.ledger.machine import SLOTS_PER_EPOCH
from engine.sandbox.cluster.ledger.view import View
from engine.sandbox.cluster.rpc.methods_chain import SOLANA_CORE_VERSION
from engine.sandbox.cluster.rpc.params import Config, Params, no_variant, parse_pubkey
from engine.sandbox.cluster.rpc.vote_accounts import VoteAccount, vote_accounts
from engine.sandbox.cluster.rpc_errors import invalid_params, no_snapshot

MAX_SLOT_LEADERS = 5_000
# Without a newer vote than this many slots, a validator counts as delinquent.
DELINQUENT_AFTER_SLOTS = 128
MAX_EPOCH_CREDITS = 5
_FEATURE_OWNER = Pubkey.from_string("Feature111111111111111111111111111111111111")


@dataclass(frozen=True, slots=True)
class Contact:
    """Where a node of the cluster can be reached, as host:port."""

    rpc: str
    pubsub: str


class ClusterMethods:
    """Answers about nodes. `contacts` are those of the cluster; each of them is the one validator's."""

    def __init__(self, view: View, contacts: Sequence[Contact]) -> None:
        self._view = view
        self._contacts = contacts

    @cached_property
    def _identity(self) -> str:
        return str(self._view.ledger.validator)

    @cached_property
    def _feature_set(self) -> int:
        """The first four bytes of a hash over the active feature gates, as every node sums up its own."""
        features = self._view.program_accounts(_FEATURE_OWNER, Commitment.PROCESSED)
        digest = hashlib.sha256(b"".join(bytes(address) for address, _ in features)).digest()
        return int.from_bytes(digest[:4], "little")

    @cached_property
    def _shred_version(self) -> int:
        """The genesis hash folded into 16 bits, never 0."""
        folded = bytearray(2)
        for index, byte in enumerate(bytes(self._view.ledger.genesis_hash)):
            folded[index % 2] ^= byte
        return max(int.from_bytes(folded, "big"), 1)

    @cached_property
    def _whole_epoch_json(self) -> msgspec.Raw:
        return msgspec.Raw(msgspec.json.encode({self._identity: list(range(SLOTS_PER_EPOCH))}))

    def get_version(self, _params: Params) -> object:
        """Software version, and the identity of the active feature gates."""
        return {"solana-core": SOLANA_CORE_VERSION, "feature-set": self._feature_set}

    def get_identity(self, _params: Params) -> object:
        """The one validator's address."""
        return {"identity": self._identity}

    def get_cluster_nodes(self, _params: Params) -> object:
        """The nodes of the cluster. They answer RPC and WebSocket, and have none of the validators' ports."""
        return [
            {
                "featureSet": self._feature_set,
                "gossip": None,
                "pubkey": self._identity,
                "pubsub": contact.pubsub,
                "rpc": contact.rpc,
                "serveRepair": None,
                "shredVersion": self._shred_version,
                "tpu": None,
                "tpuForwards": None,
                "tpuForwardsQuic": None,
                "tpuQuic": None,
                "tpuVote": None,
                "tvu": None,
                "version": SOLANA_CORE_VERSION,
            }
            for contact in self._contacts
        ]

    # --- leaders ---

    def get_slot_leader(self, params: Params) -> object:
        """The one validator leads every slot."""
        params.config(0).bank(self._view)
        return self._identity

    def get_slot_leaders(self, params: Params) -> object:
        """The leader of each of the slots from a start; raises for epochs whose schedule is not known yet."""
        start, limit = params.integer(0), params.integer(1)
        if limit > MAX_SLOT_LEADERS:
            raise invalid_params(f"Invalid limit; max {MAX_SLOT_LEADERS}")
        if limit:
            for epoch in range(start // SLOTS_PER_EPOCH, (start + limit - 1) // SLOTS_PER_EPOCH + 1):
                if not self._has_schedule(epoch):
                    raise invalid_params(
                        f"Invalid slot range: leader schedule for epoch {epoch} is unavailable"
                    )
        return [self._identity] * limit

    def get_leader_schedule(self, params: Params) -> object:
        """Which slots of an epoch each validator leads; null for an epoch whose schedule is not known yet."""
        slot, config = _slot_and_config(params)
        identity = config.raw("identity")
        wanted = None if identity is None else parse_pubkey(identity)
        bank = self._view.bank(config.commitment())
        if not self._has_schedule((bank.slot if slot is None else slot) // SLOTS_PER_EPOCH):
            return None
        if wanted is not None and wanted != self._view.ledger.validator:
            return {}
        return self._whole_epoch_json

    def _has_schedule(self, epoch: int) -> bool:
        """Schedules are known for the past, for the current epoch and for the one after it."""
        return epoch <= self._view.bank(Commitment.FINALIZED).slot // SLOTS_PER_EPOCH + 1

    # --- votes ---

    def get_vote_accounts(self, params: Params) -> object:
        """The vote accounts that exist. The cluster's own validator has none: its blocks need no votes."""
        config = params.config(0, "RpcGetVoteAccountsConfig")
        wanted = config.raw("votePubkey")
        address = None if wanted is None else parse_pubkey(wanted)
        distance = config.integer("delinquentSlotDistance")
        keep_unstaked = config.flag("keepUnstakedDelinquents")
        commitment = config.commitment()
        slot = self._view.bank(commitment).slot
        oldest_vote = max(slot - (DELINQUENT_AFTER_SLOTS if distance is None else distance), 0)
        found = [
            account
            for account in vote_accounts(self._view, commitment)
            if address is None or account.address == address
        ]
        current = [account for account in found if account.last_vote > oldest_vote]
        # Nobody stakes here, and unstaked delinquents are shown to who asks for them.
        delinquent = [a for a in found if a.last_vote <= oldest_vote] if keep_unstaked else []
        return {
            "current": [_vote_account_json(account) for account in current],
            "delinquent": [_vote_account_json(account) for account in delinquent],
        }

    # --- what only validators with peers have ---

    def get_max_retransmit_slot(self, _params: Params) -> object:
        """The newest slot that reached this node: blocks come whole here, not in shreds."""
        return self._view.slot

    def get_max_shred_insert_slot(self, _params: Params) -> object:
        """The newest slot that reached this node: blocks come whole here, not in shreds."""
        return self._view.slot

    def get_highest_snapshot_slot(self, _params: Params) -> object:
        """This node keeps no snapshots, and says so as a node without them does."""
        raise no_snapshot()


def _slot_and_config(params: Params) -> tuple[int | None, Config]:
    """The two forms of getLeaderSchedule: a slot or null with options behind it, or options alone."""
    first = params.optional(0)
    if isinstance(first, dict):
        return None, Config(first)
    if first is not None and (isinstance(first, bool) or not isinstance(first, int) or first < 0):
        raise no_variant("RpcLeaderScheduleConfigWrapper")
    return first, params.config(1, "RpcLeaderScheduleConfig")


def _vote_account_json(account: VoteAccount) -> dict[str, object]:
    return {
        "activatedStake": 0,
        "commission": account.commission_percent,
        "epochCredits": account.epoch_credits[-MAX_EPOCH_CREDITS:],
        "epochVoteAccount": False,
        "lastVote": account.last_vote,
        "nodePubkey": str(account.node),
        "rootSlot": account.root_slot,
        "votePubkey": str(account.address),
    }
