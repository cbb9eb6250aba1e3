"""What a transaction asks of the compute budget, what that costs a block, and how well it pays for it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from solders.pubkey import Pubkey

from engine.sandbox.cluster.transactions.wire_transaction import AnyMessage

COMPUTE_BUDGET_PROGRAM = Pubkey.from_string("ComputeBudget111111111111111111111111111111")
MAX_COMPUTE_UNITS = 1_400_000
MAX_LOADED_BYTES = 64 * 1024 * 1024
DEFAULT_INSTRUCTION_UNITS = 200_000
# SIMD-0170: an instruction of a builtin program that names no limit reserves this many units.
BUILTIN_INSTRUCTION_UNITS = 3_000
LAMPORTS_PER_SIGNATURE = 5_000
# Prices of Agave's cost model, in compute units (cost-model/src/block_cost_limits.rs).
SIGNATURE_UNITS = 720
WRITE_LOCK_UNITS = 300
DATA_BYTES_PER_UNIT = 4
LOADED_PAGE_BYTES = 32 * 1024
LOADED_PAGE_UNITS = 8

_SET_COMPUTE_UNIT_LIMIT, _SET_COMPUTE_UNIT_PRICE, _SET_LOADED_BYTES = 2, 3, 4
_MICROLAMPORTS = 1_000_000
_BUILTIN_PROGRAMS = frozenset(
    Pubkey.from_string(address)
    for address in (
        "11111111111111111111111111111111",
        "ComputeBudget111111111111111111111111111111",
        "Vote111111111111111111111111111111111111111",
        "BPFLoader1111111111111111111111111111111111",
        "BPFLoader2111111111111111111111111111111111",
        "BPFLoaderUpgradeab1e11111111111111111111111",
        "LoaderV411111111111111111111111111111111111",
    )
)

# Programs of the runtime that check signatures; the first byte of their data says how many.
_PRECOMPILES = frozenset(
    Pubkey.from_string(address)
    for address in (
        "Ed25519SigVerify111111111111111111111111111",
        "KeccakSecp256k11111111111111111111111111111",
        "Secp256r1SigVerify1111111111111111111111111",
    )
)


@dataclass(frozen=True, slots=True)
class ComputeBudget:
    """What the compute budget instructions of a transaction ask for.

    `unit_price` is in micro-lamports per compute unit; `loaded_bytes` is None when no limit was named.
    """

    unit_limit: int
    unit_price: int
    loaded_bytes: int | None

    @property
    def priority_fee_lamports(self) -> int:
        """The fee beyond that of the signatures, rounded up."""
        return -(-self.unit_limit * self.unit_price // _MICROLAMPORTS)


def compute_budget_of(message: AnyMessage, keys: Sequence[Pubkey]) -> ComputeBudget:
    """Read a message's compute budget. What is malformed counts as not there: the machine refuses it."""
    unit_limit = loaded_bytes = None
    unit_price = default_units = 0
    for instruction in message.instructions:
        program = keys[instruction.program_id_index]
        default_units += (
            BUILTIN_INSTRUCTION_UNITS if program in _BUILTIN_PROGRAMS else DEFAULT_INSTRUCTION_UNITS
        )
        if program == COMPUTE_BUDGET_PROGRAM:
            data = instruction.data
            kind = data[0] if data else None
            if kind == _SET_COMPUTE_UNIT_LIMIT and len(data) >= 5:
                unit_limit = int.from_bytes(data[1:5], "little")
            elif kind == _SET_COMPUTE_UNIT_PRICE and len(data) >= 9:
                unit_price = int.from_bytes(data[1:9], "little")
            elif kind == _SET_LOADED_BYTES and len(data) >= 5:
                loaded_bytes = int.from_bytes(data[1:5], "little")
    units = min(default_units if unit_limit is None else unit_limit, MAX_COMPUTE_UNITS)
    return ComputeBudget(units, unit_price, loaded_bytes)


def fee_lamports(message: AnyMessage) -> int:
    """What a message costs its payer: signatures, those that precompiles check for it too, priority fee."""
    keys = message.account_keys
    checked = sum(
        instruction.data[0]
        for instruction in message.instructions
        if instruction.data and keys[instruction.program_id_index] in _PRECOMPILES
    )
    signatures = message.header.num_required_signatures + checked
    return LAMPORTS_PER_SIGNATURE * signatures + compute_budget_of(message, keys).priority_fee_lamports


def fixed_cost_units(message: AnyMessage, writable_count: int, budget: ComputeBudget) -> int:
    """What a transaction costs a block besides running, as Agave's cost model counts it.

    Signatures, write locks, instruction data, and the pages that it may load.
    """
    data_bytes = sum(len(instruction.data) for instruction in message.instructions)
    loaded = MAX_LOADED_BYTES if budget.loaded_bytes is None else min(budget.loaded_bytes, MAX_LOADED_BYTES)
    return (
        SIGNATURE_UNITS * message.header.num_required_signatures
        + WRITE_LOCK_UNITS * writable_count
        + data_bytes // DATA_BYTES_PER_UNIT
        + -(-loaded // LOADED_PAGE_BYTES) * LOADED_PAGE_UNITS
    )


def priority_of(message: AnyMessage, budget: ComputeBudget, cost_units: int) -> int:
    """How Agave's scheduler ranks a transaction: what the leader earns per unit that it costs the block.

    The leader earns half of the signatures' fee and, since SIMD-0096, all of the priority fee. In
    millionths of a lamport per unit.
    """
    base_lamports = LAMPORTS_PER_SIGNATURE * message.header.num_required_signatures
    reward_lamports = base_lamports - base_lamports // 2 + budget.priority_fee_lamports
    return reward_lamports * _MICROLAMPORTS // (cost_units + 1)
