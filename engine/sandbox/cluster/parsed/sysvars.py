"""The cluster's own accounts (clock, rent, recent hashes) in a node's words."""

from __future__ import annotations

from collections.abc import Callable

from solders.pubkey import Pubkey

from engine.sandbox.cluster.parsed.byte_reader import ByteReader, Unparsable

_SLOTS_IN_HISTORY = 1_048_576


def parse_sysvar(address: Pubkey, data: bytes) -> dict[str, object]:
    """A sysvar by its address; raises Unparsable for unknown ones and for data that is too short."""
    known = _SYSVARS.get(address)
    if known is None:
        raise Unparsable("an unknown sysvar")
    name, read = known
    return {"info": read(ByteReader(data)), "type": name}


def _clock(reader: ByteReader) -> object:
    slot, epoch_start_s, epoch, leader_epoch = reader.u64(), reader.i64(), reader.u64(), reader.u64()
    return {
        "epoch": epoch,
        "epochStartTimestamp": epoch_start_s,
        "leaderScheduleEpoch": leader_epoch,
        "slot": slot,
        "unixTimestamp": reader.i64(),
    }


def _epoch_schedule(reader: ByteReader) -> object:
    return {
        "slotsPerEpoch": reader.u64(),
        "leaderScheduleSlotOffset": reader.u64(),
        "warmup": reader.flag(),
        "firstNormalEpoch": reader.u64(),
        "firstNormalSlot": reader.u64(),
    }


def _fees(reader: ByteReader) -> object:
    return {"feeCalculator": _fee_calculator(reader)}


def _fee_calculator(reader: ByteReader) -> object:
    return {"lamportsPerSignature": reader.amount()}


def _recent_blockhashes(reader: ByteReader) -> object:
    return [
        {"blockhash": reader.key(), "feeCalculator": _fee_calculator(reader)} for _ in range(reader.u64())
    ]


def _rent(reader: ByteReader) -> object:
    return {
        "lamportsPerByteYear": reader.amount(),
        "exemptionThreshold": reader.f64(),
        "burnPercent": reader.u8(),
    }


def _slot_hashes(reader: ByteReader) -> object:
    return [{"slot": reader.u64(), "hash": reader.key()} for _ in range(reader.u64())]


def _slot_history(reader: ByteReader) -> object:
    """One digit a slot: whether it had a block."""
    blocks = reader.take(reader.u64() * 8) if reader.flag() else b""
    reader.u64()
    bits = int.from_bytes(blocks, "little")
    return {"bits": f"{bits:0{_SLOTS_IN_HISTORY}b}"[::-1], "nextSlot": reader.u64()}


def _stake_history(reader: ByteReader) -> object:
    return [
        {
            "epoch": reader.u64(),
            "stakeHistory": {
                "effective": reader.u64(),
                "activating": reader.u64(),
                "deactivating": reader.u64(),
            },
        }
        for _ in range(reader.u64())
    ]


def _last_restart_slot(reader: ByteReader) -> object:
    return {"lastRestartSlot": reader.u64()}


def _epoch_rewards(reader: ByteReader) -> object:
    return {
        "distributionStartingBlockHeight": reader.u64(),
        "numPartitions": reader.u64(),
        "parentBlockhash": reader.key(),
        "totalPoints": str(reader.u128()),
        "totalRewards": reader.amount(),
        "distributedRewards": reader.amount(),
        "active": reader.flag(),
    }


_SYSVARS: dict[Pubkey, tuple[str, Callable[[ByteReader], object]]] = {
    Pubkey.from_string(address): (name, read)
    for address, name, read in (
        ("SysvarC1ock11111111111111111111111111111111", "clock", _clock),
        ("SysvarEpochSchedu1e111111111111111111111111", "epochSchedule", _epoch_schedule),
        ("SysvarFees111111111111111111111111111111111", "fees", _fees),
        ("SysvarRecentB1ockHashes11111111111111111111", "recentBlockhashes", _recent_blockhashes),
        ("SysvarRent111111111111111111111111111111111", "rent", _rent),
        ("SysvarS1otHashes111111111111111111111111111", "slotHashes", _slot_hashes),
        ("SysvarS1otHistory11111111111111111111111111", "slotHistory", _slot_history),
        ("SysvarStakeHistory1111111111111111111111111", "stakeHistory", _stake_history),
        ("SysvarLastRestartS1ot1111111111111111111111", "lastRestartSlot", _last_restart_slot),
        ("SysvarEpochRewards1111111111111111111111111", "epochRewards", _epoch_rewards),
    )
}
