"""Every HTTP method over a real socket: what it means, and that Solana's own Rust types can read it."""

from __future__ import annotations

import base64
import json
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest
import solders.rpc.responses as rpc
from solders.compute_budget import set_compute_unit_price
from solders.instruction import Instruction
from solders.keypair import Keypair
from solders.message import to_bytes_versioned
from solders.pubkey import Pubkey

from engine.sandbox.cluster import Genesis, Ledger
from engine.sandbox.cluster.ledger.leader import Leader
from engine.sandbox.cluster.ledger.view import View
from engine.sandbox.cluster.rpc.method_table import methods_of

if TYPE_CHECKING:
    from conftest import Node

SOL = 1_000_000_000
EPOCH_SLOTS = 432_000
TOKENS = Pubkey.from_string("TokenkegQfeZyiNwAJbNbGKPFXCWuBvf9Ss623VQ5DA")
MEMOS = Pubkey.from_string("MemoSq4gqABAXKb96qnH8TysNcWxMyWCqXgDLGmfcHr")
PROCESSED, CONFIRMED = {"commitment": "processed"}, {"commitment": "confirmed"}
READABLE = {"encoding": "base64", "maxSupportedTransactionVersion": 0} | CONFIRMED


class Scene:
    """A cluster with some minutes of history: payments to a friend, a token, accounts of a program."""

    def __init__(self, node: Node) -> None:
        self.node, self.town, self.ledger = node, node.town, node.ledger
        self.friend, self.holder, self.program = (Keypair().pubkey() for _ in range(3))
        self.mint, self.tokens = Keypair().pubkey(), Keypair().pubkey()
        self.town.plant(self.mint, SOL, _mint_data(decimals=2, supply=12_345), TOKENS)
        self.town.plant(self.tokens, SOL, _token_data(self.mint, self.holder, self.friend, 12_345), TOKENS)
        self.town.plant(self.program, SOL, b"state", self.program)
        self.town.advance(200)
        memo = Instruction(MEMOS, b"rent", [])
        price = set_compute_unit_price(500)
        self.sent = self.town.land(price, self.town.pay(self.friend, 2 * SOL), memo)
        self.signature, self.slot = str(self.sent.signatures[0]), self.ledger.slot
        self.town.advance(100)
        self.prepared = self.town.sign(self.town.pay(self.friend, SOL))

    @property
    def identity(self) -> str:
        return str(self.ledger.validator)


def _mint_data(decimals: int, supply: int) -> bytes:
    return bytes(36) + supply.to_bytes(8, "little") + bytes([decimals, 1]) + bytes(36)


def _token_data(mint: Pubkey, owner: Pubkey, delegate: Pubkey, amount: int) -> bytes:
    held = bytes(mint) + bytes(owner) + amount.to_bytes(8, "little")
    delegation = (1).to_bytes(4, "little") + bytes(delegate)
    return held + delegation + bytes([1]) + bytes(12) + amount.to_bytes(8, "little") + bytes(36)


@pytest.fixture
async def scene(node: Node) -> AsyncIterator[Scene]:
    yield Scene(node)


@dataclass(frozen=True)
class Answer:
    """What a method answers in the scene."""

    method: str
    means: str
    holds: Callable[[Scene, Any], bool]
    takes: Callable[[Scene], list[Any]] = lambda scene: []


def _b64(data: bytes) -> str:
    return base64.b64encode(data).decode()


ANSWERS = [
    Answer("getHealth", "a node that follows is ok", lambda s, r: r == "ok"),
    Answer(
        "getGenesisHash",
        "the cluster's identity is its genesis hash",
        lambda s, r: r == str(s.ledger.genesis_hash),
    ),
    Answer(
        "getVersion",
        "the version is a version, and features are summed up",
        lambda s, r: r["solana-core"].startswith("3.0.") and 0 < r["feature-set"] < 2**32,
    ),
    Answer(
        "getIdentity",
        "the node is the validator",
        lambda s, r: r == {"identity": s.identity},
    ),
    Answer(
        "getClusterNodes",
        "the one node says where it answers",
        lambda s, r: (
            [(n["pubkey"], f"http://{n['rpc']}", f"ws://{n['pubsub']}", n["gossip"]) for n in r]
            == [(s.identity, s.node.server.rpc_url, s.node.server.ws_url, None)]
            and 1 <= r[0]["shredVersion"] < 2**16
        ),
    ),
    Answer(
        "getSlot",
        "a confirmed slot is one behind the open one",
        lambda s, r: r == s.ledger.slot - 1,
        lambda s: [CONFIRMED],
    ),
    Answer(
        "getBlockHeight",
        "heights stay behind slots by those that had no block",
        lambda s, r: r == s.ledger.block_height < s.ledger.slot,
        lambda s: [PROCESSED],
    ),
    Answer(
        "getTransactionCount",
        "what landed is counted",
        lambda s, r: r == 1,
    ),
    Answer(
        "getEpochInfo",
        "the first epoch is as far as the slot",
        lambda s, r: (
            (r["epoch"], r["slotIndex"], r["slotsInEpoch"]) == (0, r["absoluteSlot"], EPOCH_SLOTS)
            and r["absoluteSlot"] == s.ledger.slot
            and r["transactionCount"] == 1
        ),
        lambda s: [PROCESSED],
    ),
    Answer(
        "getEpochSchedule",
        "epochs are equally long from the start",
        lambda s, r: (r["slotsPerEpoch"], r["warmup"], r["firstNormalSlot"]) == (EPOCH_SLOTS, False, 0),
    ),
    Answer(
        "getLatestBlockhash",
        "the newest blockhash can be used for 150 blocks",
        lambda s, r: (
            r["value"]["blockhash"] == str(s.town.blockhash())
            and r["value"]["lastValidBlockHeight"] == s.ledger.block_height - 1 + 150
        ),
        lambda s: [PROCESSED],
    ),
    Answer(
        "isBlockhashValid",
        "a blockhash of the last block is valid",
        lambda s, r: r["value"] is True and r["context"]["slot"] == s.ledger.slot,
        lambda s: [str(s.town.blockhash()), PROCESSED],
    ),
    Answer(
        "getRecentPrioritizationFees",
        "a slot's fee is what its cheapest transaction paid",
        lambda s, r: {e["slot"]: e["prioritizationFee"] for e in r}[s.slot] == 500 and len(r) == 150,
        lambda s: [[str(s.friend)]],
    ),
    Answer(
        "getBlock",
        "the block of a payment holds it, and follows its parent",
        lambda s, r: (
            [t["transaction"][0] for t in r["transactions"]] == [_b64(bytes(s.sent))]
            and r["parentSlot"] == s.slot - 1
            and r["blockhash"] != r["previousBlockhash"]
        ),
        lambda s: [s.slot, READABLE],
    ),
    Answer(
        "getBlocks",
        "every slot of a range without skips has a block",
        lambda s, r: r == list(range(s.slot - 3, s.slot + 1)),
        lambda s: [s.slot - 3, s.slot],
    ),
    Answer(
        "getBlocksWithLimit",
        "so many blocks come from a slot on",
        lambda s, r: r == [s.slot, s.slot + 1, s.slot + 2],
        lambda s: [s.slot, 3],
    ),
    Answer(
        "getBlockTime",
        "a block was made when its slot began",
        lambda s, r: r == s.ledger.block_time_s(s.slot),
        lambda s: [s.slot],
    ),
    Answer(
        "getBlockCommitment",
        "no stake stands behind a block",
        lambda s, r: r == {"commitment": None, "totalStake": 0},
        lambda s: [s.slot],
    ),
    Answer(
        "getBlockProduction",
        "the validator made a block in each of its slots",
        lambda s, r: (
            r["value"]["byIdentity"] == {s.identity: [10, 10]}
            and r["value"]["range"] == {"firstSlot": s.slot, "lastSlot": s.slot + 9}
        ),
        lambda s: [{"range": {"firstSlot": s.slot, "lastSlot": s.slot + 9}}],
    ),
    Answer(
        "getFirstAvailableBlock",
        "the oldest block is the first one",
        lambda s, r: r == s.ledger.first_slot,
    ),
    Answer(
        "minimumLedgerSlot",
        "the ledger begins with its first block",
        lambda s, r: r == s.ledger.first_slot,
    ),
    Answer(
        "getRecentPerformanceSamples",
        "a minute of slots of 400 ms has 150 of them, and what landed in them",
        lambda s, r: (
            [(e["numSlots"], e["numTransactions"], e["samplePeriodSecs"]) for e in r] == [(150, 1, 60)]
        ),
    ),
    Answer(
        "getSlotLeader",
        "the validator leads",
        lambda s, r: r == s.identity,
    ),
    Answer(
        "getSlotLeaders",
        "the validator leads every slot",
        lambda s, r: r == [s.identity] * 4,
        lambda s: [s.slot, 4],
    ),
    Answer(
        "getLeaderSchedule",
        "all of the epoch's slots are the validator's",
        lambda s, r: list(r) == [s.identity] and r[s.identity] == list(range(EPOCH_SLOTS)),
    ),
    Answer(
        "getVoteAccounts",
        "nobody votes",
        lambda s, r: r == {"current": [], "delinquent": []},
    ),
    Answer(
        "getMaxRetransmitSlot",
        "the newest slot has arrived",
        lambda s, r: r == s.ledger.slot,
    ),
    Answer(
        "getMaxShredInsertSlot",
        "the newest slot is stored",
        lambda s, r: r == s.ledger.slot,
    ),
    Answer(
        "getSupply",
        "all lamports of all accounts circulate",
        lambda s, r: (
            r["value"]["total"]
            == r["value"]["circulating"]
            == sum(a.lamports for _, a in s.ledger.accounts_at(s.ledger.slot - 1))
            and (r["value"]["nonCirculating"], r["value"]["nonCirculatingAccounts"]) == (0, [])
        ),
        lambda s: [CONFIRMED],
    ),
    Answer(
        "getLargestAccounts",
        "the payer is among the 20 richest, in order",
        lambda s, r: (
            len(r["value"]) == 20
            and [e["lamports"] for e in r["value"]]
            == sorted((e["lamports"] for e in r["value"]), reverse=True)
            and {"address": str(s.town.payer.pubkey()), "lamports": s.town.lamports(s.town.payer.pubkey())}
            in r["value"]
        ),
    ),
    Answer(
        "getInflationGovernor",
        "nothing is minted",
        lambda s, r: set(r.values()) == {0.0} and len(r) == 5,
    ),
    Answer(
        "getInflationRate",
        "nothing is minted in the first epoch",
        lambda s, r: r == {"epoch": 0, "foundation": 0.0, "total": 0.0, "validator": 0.0},
    ),
    Answer(
        "getStakeMinimumDelegation",
        "a lamport can be staked where the feature that raises it is not active",
        lambda s, r: r["value"] == 1,
    ),
    Answer(
        "getBalance",
        "a friend has what was paid",
        lambda s, r: r["value"] == 2 * SOL,
        lambda s: [str(s.friend)],
    ),
    Answer(
        "getAccountInfo",
        "an account has its data, owner and lamports",
        lambda s, r: (
            r["value"]["data"] == [_b64(b"state"), "base64"]
            and (r["value"]["owner"], r["value"]["lamports"], r["value"]["space"]) == (str(s.program), SOL, 5)
        ),
        lambda s: [str(s.program), {"encoding": "base64"}],
    ),
    Answer(
        "getMultipleAccounts",
        "accounts come in the order asked for, null for those that do not exist",
        lambda s, r: [entry and entry["lamports"] for entry in r["value"]] == [2 * SOL, None],
        lambda s: [[str(s.friend), str(s.holder)], {"encoding": "base64"}],
    ),
    Answer(
        "getProgramAccounts",
        "a program's accounts are those that it owns",
        lambda s, r: [entry["pubkey"] for entry in r] == [str(s.program)],
        lambda s: [str(s.program), {"encoding": "base64"}],
    ),
    Answer(
        "getMinimumBalanceForRentExemption",
        "rent is two years of 3,480 lamports for each byte, and for 128 more",
        lambda s, r: r == (128 + 165) * 3_480 * 2,
        lambda s: [165],
    ),
    Answer(
        "getTokenAccountBalance",
        "an amount is shown in whole tokens too",
        lambda s, r: (
            r["value"] == {"amount": "12345", "decimals": 2, "uiAmount": 123.45, "uiAmountString": "123.45"}
        ),
        lambda s: [str(s.tokens)],
    ),
    Answer(
        "getTokenSupply",
        "a mint knows what it minted",
        lambda s, r: r["value"]["amount"] == "12345",
        lambda s: [str(s.mint)],
    ),
    Answer(
        "getTokenLargestAccounts",
        "the one holder is the largest",
        lambda s, r: [(e["address"], e["amount"]) for e in r["value"]] == [(str(s.tokens), "12345")],
        lambda s: [str(s.mint)],
    ),
    Answer(
        "getTokenAccountsByOwner",
        "a holder's account of a mint is found",
        lambda s, r: [e["pubkey"] for e in r["value"]] == [str(s.tokens)],
        lambda s: [str(s.holder), {"mint": str(s.mint)}, {"encoding": "base64"}],
    ),
    Answer(
        "getTokenAccountsByDelegate",
        "what a delegate may spend is found",
        lambda s, r: [e["pubkey"] for e in r["value"]] == [str(s.tokens)],
        lambda s: [str(s.friend), {"programId": str(TOKENS)}, {"encoding": "base64"}],
    ),
    Answer(
        "getFeeForMessage",
        "a signature costs 5,000 lamports",
        lambda s, r: r["value"] == 5_000,
        lambda s: [_b64(to_bytes_versioned(s.prepared.message)), PROCESSED],
    ),
    Answer(
        "requestAirdrop",
        "an airdrop is a transaction",
        lambda s, r: len(r) in (87, 88),
        lambda s: [str(s.holder), SOL],
    ),
    Answer(
        "sendTransaction",
        "a sent transaction is known by its signature",
        lambda s, r: r == str(s.prepared.signatures[0]),
        lambda s: [_b64(bytes(s.prepared)), {"encoding": "base64", "preflightCommitment": "processed"}],
    ),
    Answer(
        "simulateTransaction",
        "a rehearsed payment costs its fee and moves its amount",
        lambda s, r: (
            (r["value"]["err"], r["value"]["fee"]) == (None, 5_000)
            and r["value"]["postBalances"][1] - r["value"]["preBalances"][1] == SOL
            and r["value"]["preBalances"][0] - r["value"]["postBalances"][0] == SOL + 5_000
        ),
        lambda s: [_b64(bytes(s.prepared)), {"encoding": "base64"} | PROCESSED],
    ),
    Answer(
        "getSignatureStatuses",
        "a payment of long ago is final",
        lambda s, r: (
            (r["value"][0]["slot"], r["value"][0]["confirmationStatus"], r["value"][0]["confirmations"])
            == (s.slot, "finalized", None)
        ),
        lambda s: [[s.signature], {"searchTransactionHistory": True}],
    ),
    Answer(
        "getSignaturesForAddress",
        "a payment is in the payee's history with its memo",
        lambda s, r: (
            [(e["signature"], e["slot"], e["memo"]) for e in r] == [(s.signature, s.slot, "[4] rent")]
        ),
        lambda s: [str(s.friend)],
    ),
    Answer(
        "getTransaction",
        "a payment is shown with what it did",
        lambda s, r: (
            r["slot"] == s.slot
            and r["transaction"] == [_b64(bytes(s.sent)), "base64"]
            and r["meta"]["postBalances"][1] == 2 * SOL
        ),
        lambda s: [s.signature, READABLE],
    ),
]
# What a real node without snapshots, in its first epoch, refuses too.
REFUSALS = {
    "getHighestSnapshotSlot": ([], -32008, "No snapshot"),
    "getInflationReward": ([[str(MEMOS)]], -32004, "Block not available for slot 432000"),
}


@pytest.mark.parametrize("answer", ANSWERS, ids=lambda answer: f"{answer.method}: {answer.means}")
async def test_an_answer_has_its_meaning_and_is_read_by_solanas_own_types(
    scene: Scene, answer: Answer
) -> None:
    request = {"jsonrpc": "2.0", "id": 1, "method": answer.method, "params": answer.takes(scene)}
    status, body = await scene.node.post(json.dumps(request))
    result = json.loads(body).get("result")
    assert status == 200
    assert result is not None, body
    assert answer.holds(scene, result), result
    type_name = answer.method[0].upper() + answer.method[1:] + "Resp"
    read_by = getattr(rpc, type_name)
    assert isinstance(read_by.from_json(body.decode()), read_by), body


@pytest.mark.parametrize("method", REFUSALS)
async def test_what_this_cluster_has_not_is_refused_as_by_a_node_that_has_it_not(
    scene: Scene, method: str
) -> None:
    params, code, message = REFUSALS[method]
    assert await scene.node.error(method, *params) == {"code": code, "message": message}


def test_every_method_of_the_node_is_asked() -> None:
    ledger = Ledger(Genesis.from_seed(b"names"), lambda: 1.0)
    served = set(methods_of(View(ledger), Leader(ledger)))
    assert {answer.method for answer in ANSWERS} | set(REFUSALS) == served
