"""What the second token program's extensions say in account data, each in a node's words for it."""

from __future__ import annotations

import binascii
from collections.abc import Callable
from decimal import Decimal

from engine.sandbox.cluster.parsed.byte_reader import ByteReader, Unparsable
from engine.sandbox.cluster.parsed.token_state import ACCOUNT_STATES, extensions_of

Field = tuple[str, Callable[[ByteReader], object]]

_CIPHERTEXT_BYTES = 64
_SHORT_CIPHERTEXT_BYTES = 36


def extensions_json(data: bytes) -> list[dict[str, object]]:
    """The extensions of a token account or mint, in order; none at all when one of them is unknown."""
    found = list(extensions_of(data))
    if any(kind not in _EXTENSIONS for kind, _ in found):
        return []
    return [_extension_json(kind, value) for kind, value in found]


def float_text(value: float) -> str:
    """A number as the token tools write it: all digits, no exponent, no `.0`."""
    text = format(Decimal(repr(value)), "f") if value - value == 0 else str(value)
    return text.removesuffix(".0")


def _state_word(reader: ByteReader) -> str:
    """An account state's word; an unknown state counts as uninitialized."""
    state = reader.u8()
    return ACCOUNT_STATES[state if state < len(ACCOUNT_STATES) else 0]


def _base64_of(byte_count: int) -> Callable[[ByteReader], str]:
    """Reads so many bytes into base64, the form in which a node shows keys and ciphertexts of balances."""
    return lambda reader: binascii.b2a_base64(reader.take(byte_count), newline=False).decode()


def _base64_unless_zero(reader: ByteReader) -> str | None:
    """An encryption key in base64, of which zeros stand for none."""
    key = reader.take(32)
    return binascii.b2a_base64(key, newline=False).decode() if any(key) else None


def _extension_json(kind: int, value: bytes) -> dict[str, object]:
    name, fields, length = _EXTENSIONS[kind]
    if fields is None:
        return {"extension": name}
    reader = ByteReader(value)
    try:
        if length is not None and len(value) != length:
            raise Unparsable(f"{len(value)} bytes in an extension of {length}")
        return {"extension": name, "state": {field: read(reader) for field, read in fields}}
    except Unparsable:
        return {"extension": "unparseableExtension"}


def _transfer_fee(reader: ByteReader) -> dict[str, object]:
    return {
        "epoch": reader.u64(),
        "maximumFee": reader.u64(),
        "transferFeeBasisPoints": reader.u16(),
    }


def _multiplier(reader: ByteReader) -> str:
    return float_text(reader.f64())


def _byte_as_flag(reader: ByteReader) -> bool:
    return reader.u8() != 0


def _pairs_of_texts(reader: ByteReader) -> list[tuple[str, str]]:
    return [(reader.short_text(), reader.short_text()) for _ in range(reader.u32())]


_AUTHORITY: Field = ("authority", ByteReader.key_unless_zero)
_CIPHERTEXT = _base64_of(_CIPHERTEXT_BYTES)
_SHORT_CIPHERTEXT = _base64_of(_SHORT_CIPHERTEXT_BYTES)

# Name, fields in the order of the data, and length: None where the length varies, or where there is no state.
_EXTENSIONS: dict[int, tuple[str, tuple[Field, ...] | None, int | None]] = {
    1: (
        "transferFeeConfig",
        (
            ("transferFeeConfigAuthority", ByteReader.key_unless_zero),
            ("withdrawWithheldAuthority", ByteReader.key_unless_zero),
            ("withheldAmount", ByteReader.u64),
            ("olderTransferFee", _transfer_fee),
            ("newerTransferFee", _transfer_fee),
        ),
        108,
    ),
    2: ("transferFeeAmount", (("withheldAmount", ByteReader.u64),), 8),
    3: ("mintCloseAuthority", (("closeAuthority", ByteReader.key_unless_zero),), 32),
    4: (
        "confidentialTransferMint",
        (
            _AUTHORITY,
            ("autoApproveNewAccounts", _byte_as_flag),
            ("auditorElgamalPubkey", _base64_unless_zero),
        ),
        65,
    ),
    5: (
        "confidentialTransferAccount",
        (
            ("approved", _byte_as_flag),
            ("elgamalPubkey", _base64_of(32)),
            ("pendingBalanceLo", _CIPHERTEXT),
            ("pendingBalanceHi", _CIPHERTEXT),
            ("availableBalance", _CIPHERTEXT),
            ("decryptableAvailableBalance", _SHORT_CIPHERTEXT),
            ("allowConfidentialCredits", _byte_as_flag),
            ("allowNonConfidentialCredits", _byte_as_flag),
            ("pendingBalanceCreditCounter", ByteReader.u64),
            ("maximumPendingBalanceCreditCounter", ByteReader.u64),
            ("expectedPendingBalanceCreditCounter", ByteReader.u64),
            ("actualPendingBalanceCreditCounter", ByteReader.u64),
        ),
        295,
    ),
    6: ("defaultAccountState", (("accountState", _state_word),), 1),
    7: ("immutableOwner", None, None),
    8: ("memoTransfer", (("requireIncomingTransferMemos", _byte_as_flag),), 1),
    9: ("nonTransferable", None, None),
    10: (
        "interestBearingConfig",
        (
            ("rateAuthority", ByteReader.key_unless_zero),
            ("initializationTimestamp", ByteReader.i64),
            ("preUpdateAverageRate", ByteReader.i16),
            ("lastUpdateTimestamp", ByteReader.i64),
            ("currentRate", ByteReader.i16),
        ),
        52,
    ),
    11: ("cpiGuard", (("lockCpi", _byte_as_flag),), 1),
    12: ("permanentDelegate", (("delegate", ByteReader.key_unless_zero),), 32),
    13: ("nonTransferableAccount", None, None),
    14: ("transferHook", (_AUTHORITY, ("programId", ByteReader.key_unless_zero)), 64),
    15: ("transferHookAccount", (("transferring", _byte_as_flag),), 1),
    16: (
        "confidentialTransferFeeConfig",
        (
            _AUTHORITY,
            ("withdrawWithheldAuthorityElgamalPubkey", _base64_of(32)),
            ("harvestToMintEnabled", _byte_as_flag),
            ("withheldAmount", _CIPHERTEXT),
        ),
        129,
    ),
    17: ("confidentialTransferFeeAmount", (("withheldAmount", _CIPHERTEXT),), 64),
    18: ("metadataPointer", (_AUTHORITY, ("metadataAddress", ByteReader.key_unless_zero)), 64),
    19: (
        "tokenMetadata",
        (
            ("updateAuthority", ByteReader.key_unless_zero),
            ("mint", ByteReader.key),
            ("name", ByteReader.short_text),
            ("symbol", ByteReader.short_text),
            ("uri", ByteReader.short_text),
            ("additionalMetadata", _pairs_of_texts),
        ),
        None,
    ),
    20: ("groupPointer", (_AUTHORITY, ("groupAddress", ByteReader.key_unless_zero)), 64),
    21: (
        "tokenGroup",
        (
            ("updateAuthority", ByteReader.key_unless_zero),
            ("mint", ByteReader.key),
            ("size", ByteReader.u64),
            ("maxSize", ByteReader.u64),
        ),
        80,
    ),
    22: ("groupMemberPointer", (_AUTHORITY, ("memberAddress", ByteReader.key_unless_zero)), 64),
    23: (
        "tokenGroupMember",
        (("mint", ByteReader.key), ("group", ByteReader.key), ("memberNumber", ByteReader.u64)),
        72,
    ),
    24: (
        "confidentialMintBurn",
        (
            ("confidentialSupply", _CIPHERTEXT),
            ("decryptableSupply", _SHORT_CIPHERTEXT),
            ("supplyElgamalPubkey", _base64_of(32)),
            ("pendingBurn", _CIPHERTEXT),
        ),
        196,
    ),
    25: (
        "scaledUiAmountConfig",
        (
            _AUTHORITY,
            ("multiplier", _multiplier),
            ("newMultiplierEffectiveTimestamp", ByteReader.i64),
            ("newMultiplier", _multiplier),
        ),
        56,
    ),
    26: ("pausableConfig", (_AUTHORITY, ("paused", _byte_as_flag)), 33),
    27: ("pausableAccount", None, None),
}

# The words that instructions use for the types of extensions, which partly differ from those for their state.
EXTENSION_TYPES = tuple(
    {0: "uninitialized", 25: "scaledUiAmount", 26: "pausable"}.get(kind) or _EXTENSIONS[kind][0]
    for kind in range(len(_EXTENSIONS) + 1)
)
