"""Nonce and stake accounts, address lookup tables and upgradeable programs in a node's words."""

from __future__ import annotations

import binascii

from solders.pubkey import Pubkey

from engine.sandbox.cluster.parsed.byte_reader import ByteReader, Unparsable

_LOOKUP_TABLE_HEADER_BYTES = 56
_BUFFER_HEADER_BYTES = 37
_PROGRAM_DATA_HEADER_BYTES = 45


def parse_nonce(data: bytes) -> dict[str, object]:
    """A durable nonce's account; raises Unparsable for what the system program has not made a nonce."""
    reader = ByteReader(data)
    version, state = reader.u32(), reader.u32()
    if version > 1 or state != 1:
        raise Unparsable("no initialized nonce")
    info = {
        "authority": reader.key(),
        "blockhash": reader.key(),
        "feeCalculator": {"lamportsPerSignature": reader.amount()},
    }
    return {"info": info, "type": "initialized"}


def parse_stake(data: bytes) -> dict[str, object]:
    """A stake account; raises Unparsable for other data."""
    reader = ByteReader(data)
    state = reader.u32()
    if state == 0:
        return {"type": "uninitialized"}
    if state == 3:
        return {"type": "rewardsPool"}
    if state > 3:
        raise Unparsable(f"unknown state {state} of a stake account")
    meta = {
        "rentExemptReserve": reader.amount(),
        "authorized": {"staker": reader.key(), "withdrawer": reader.key()},
        "lockup": {
            "unixTimestamp": reader.i64(),
            "epoch": reader.u64(),
            "custodian": reader.key(),
        },
    }
    if state == 1:
        return {"info": {"meta": meta, "stake": None}, "type": "initialized"}
    return {"info": {"meta": meta, "stake": _stake(reader)}, "type": "delegated"}


def _stake(reader: ByteReader) -> dict[str, object]:
    delegation = {
        "voter": reader.key(),
        "stake": reader.amount(),
        "activationEpoch": reader.amount(),
        "deactivationEpoch": reader.amount(),
    }
    reader.f64()  # how fast stake used to warm up: the cluster has one rate for all by now
    return {"delegation": delegation, "creditsObserved": reader.u64()}


def parse_lookup_table(data: bytes) -> dict[str, object]:
    """An address lookup table; raises Unparsable for other data."""
    reader = ByteReader(data)
    state = reader.u32()
    if state == 0:
        return {"type": "uninitialized"}
    addresses = data[_LOOKUP_TABLE_HEADER_BYTES:]
    if state != 1 or len(data) < _LOOKUP_TABLE_HEADER_BYTES or len(addresses) % 32:
        raise Unparsable("no address lookup table")
    info: dict[str, object] = {
        "deactivationSlot": reader.amount(),
        "lastExtendedSlot": reader.amount(),
        "lastExtendedSlotStartIndex": reader.u8(),
    }
    authority = reader.optional_key()
    if authority is not None:
        info["authority"] = authority
    info["addresses"] = [str(Pubkey(addresses[at : at + 32])) for at in range(0, len(addresses), 32)]
    return {"info": info, "type": "lookupTable"}


def parse_upgradeable(data: bytes) -> dict[str, object]:
    """A program, its code, or a buffer with code to be; raises Unparsable for other data."""
    reader = ByteReader(data)
    state = reader.u32()
    if state == 0:
        return {"type": "uninitialized"}
    if state == 1:
        authority = reader.optional_key()
        info = {"authority": authority, "data": _code(data, _BUFFER_HEADER_BYTES, authority)}
        return {"info": info, "type": "buffer"}
    if state == 2:
        return {"info": {"programData": reader.key()}, "type": "program"}
    if state != 3:
        raise Unparsable(f"unknown state {state} of an upgradeable program")
    slot, authority = reader.u64(), reader.optional_key()
    code = _code(data, _PROGRAM_DATA_HEADER_BYTES, authority)
    return {"info": {"authority": authority, "data": code, "slot": slot}, "type": "programData"}


def _code(data: bytes, header_bytes: int, authority: str | None) -> list[str]:
    # Without an authority a node takes the code to begin where the authority would have stood.
    start = header_bytes if authority is not None else header_bytes - 32
    return [binascii.b2a_base64(data[start:], newline=False).decode(), "base64"]
