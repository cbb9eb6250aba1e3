"""Instructions of the second token program's extensions, and of the metadata and group interfaces it serves.

Those of confidential transfers have no words here: they are shown as data.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from solders.pubkey import Pubkey

from engine.sandbox.cluster.parsed.byte_reader import ByteReader, Unparsable
from engine.sandbox.cluster.parsed.instruction_form import (
    InstructionForm,
    arguments,
    given_arguments,
    signers,
)
from engine.sandbox.cluster.parsed.token_amounts import AmountDisplay, amount_json
from engine.sandbox.cluster.parsed.token_extensions import EXTENSION_TYPES, float_text
from engine.sandbox.cluster.parsed.token_state import ACCOUNT_STATES

_U64 = ByteReader.u64
_KEY_UNLESS_ZERO = ByteReader.key_unless_zero
_WITHDRAW_FROM_ACCOUNTS = (26, 3)


def parse_extension_instruction(
    kind: int, accounts: Sequence[Pubkey], reader: ByteReader
) -> dict[str, object]:
    """An extension's instruction, whose own kind is the next byte; raises Unparsable for unknown ones."""
    inner = reader.u8()
    if (kind, inner) == _WITHDRAW_FROM_ACCOUNTS:
        return _withdraw_from_accounts(accounts, reader)
    form = EXTENSION_INSTRUCTIONS[kind].get(inner)
    if form is None:
        raise Unparsable("an unknown instruction of an extension")
    return form.parse(accounts, reader)


def parse_interface_instruction(accounts: Sequence[Pubkey], data: bytes) -> dict[str, object]:
    """An instruction of the token metadata or token group interface; raises Unparsable for other data."""
    form = _INTERFACES.get(data[:8])
    if form is None:
        raise Unparsable("an unknown instruction")
    return form.parse(accounts, ByteReader(data[8:]))


def extension_types(reader: ByteReader) -> list[str]:
    """The types of extensions that the rest of the data lists."""
    listed = reader.rest()
    if len(listed) % 2:
        raise Unparsable("half a type of extension")
    kinds = [int.from_bytes(listed[at : at + 2], "little") for at in range(0, len(listed), 2)]
    if any(kind >= len(EXTENSION_TYPES) for kind in kinds):
        raise Unparsable("an unknown type of extension")
    return [EXTENSION_TYPES[kind] for kind in kinds]


def _withdraw_from_accounts(accounts: Sequence[Pubkey], reader: ByteReader) -> dict[str, object]:
    """The number of accounts to withdraw from says where the signers end."""
    count = reader.u8()
    if len(accounts) < 3 + count:
        raise Unparsable(f"{len(accounts)} accounts, {3 + count} needed")
    end = len(accounts) - count
    info: dict[str, object] = {"mint": str(accounts[0]), "feeRecipient": str(accounts[1])}
    info["sourceAccounts"] = [str(key) for key in accounts[end:]]
    info |= signers("withdrawWithheldAuthority", accounts[2:end])
    return {"info": info, "type": "withdrawWithheldTokensFromAccounts"}


def _amount_and_fee(reader: ByteReader) -> dict[str, object]:
    amount, display, fee = reader.u64(), AmountDisplay(reader.u8()), reader.u64()
    return {"tokenAmount": amount_json(amount, display), "feeAmount": amount_json(fee, display)}


def _given_state(reader: ByteReader) -> str:
    state = reader.u8()
    if state >= len(ACCOUNT_STATES):
        raise Unparsable("an unknown account state")
    return ACCOUNT_STATES[state]


def _multiplier(reader: ByteReader) -> str:
    return float_text(reader.f64())


def _metadata_field(reader: ByteReader) -> str:
    kind = reader.u8()
    if kind == 3:
        return reader.short_text()
    if kind > 3:
        raise Unparsable("an unknown metadata field")
    return ("name", "symbol", "uri")[kind]


def _optional_u64(reader: ByteReader) -> int | None:
    return reader.u64() if reader.flag() else None


def _pointer(name: str, address: str) -> dict[int, InstructionForm]:
    """Extensions that point from a mint to another address: to initialize, and to point elsewhere."""
    target: dict[str, Callable[[ByteReader], object]] = {address: _KEY_UNLESS_ZERO}
    return {
        0: InstructionForm(
            f"initialize{name}", ("mint",), given_arguments(authority=_KEY_UNLESS_ZERO, **target)
        ),
        1: InstructionForm(f"update{name}", ("mint",), given_arguments(**target), authority="authority"),
    }


def _switch(on: str, off: str, owned: str, authority: str, first: int = 0) -> dict[int, InstructionForm]:
    return {
        first: InstructionForm(on, (owned,), authority=authority),
        first + 1: InstructionForm(off, (owned,), authority=authority),
    }


_FEE = {"transferFeeBasisPoints": ByteReader.u16, "maximumFee": _U64}

EXTENSION_INSTRUCTIONS: Mapping[int, Mapping[int, InstructionForm]] = {
    26: {
        0: InstructionForm(
            "initializeTransferFeeConfig",
            ("mint",),
            given_arguments(
                transferFeeConfigAuthority=ByteReader.optional_key,
                withdrawWithheldAuthority=ByteReader.optional_key,
                **_FEE,
            ),
        ),
        1: InstructionForm(
            "transferCheckedWithFee",
            ("source", "mint", "destination"),
            _amount_and_fee,
            authority="authority",
        ),
        2: InstructionForm(
            "withdrawWithheldTokensFromMint",
            ("mint", "feeRecipient"),
            authority="withdrawWithheldAuthority",
        ),
        4: InstructionForm("harvestWithheldTokensToMint", ("mint",), others="sourceAccounts"),
        5: InstructionForm(
            "setTransferFee",
            ("mint",),
            arguments(**_FEE),
            authority="transferFeeConfigAuthority",
            # So spelled by every node.
            multisig="multisigtransferFeeConfigAuthority",
        ),
    },
    28: {
        0: InstructionForm("initializeDefaultAccountState", ("mint",), arguments(accountState=_given_state)),
        1: InstructionForm(
            "updateDefaultAccountState",
            ("mint",),
            arguments(accountState=_given_state),
            authority="freezeAuthority",
        ),
    },
    30: _switch("enableRequiredMemoTransfers", "disableRequiredMemoTransfers", "account", "owner"),
    33: {
        0: InstructionForm(
            "initializeInterestBearingConfig",
            ("mint",),
            arguments(rateAuthority=_KEY_UNLESS_ZERO, rate=ByteReader.i16),
        ),
        1: InstructionForm(
            "updateInterestBearingConfigRate",
            ("mint",),
            arguments(newRate=ByteReader.i16),
            authority="rateAuthority",
        ),
    },
    34: _switch("enableCpiGuard", "disableCpiGuard", "account", "owner"),
    36: _pointer("TransferHook", "programId"),
    39: _pointer("MetadataPointer", "metadataAddress"),
    40: _pointer("GroupPointer", "groupAddress"),
    41: _pointer("GroupMemberPointer", "memberAddress"),
    43: {
        0: InstructionForm(
            "initializeScaledUiAmountConfig",
            ("mint",),
            arguments(authority=_KEY_UNLESS_ZERO, multiplier=_multiplier),
        ),
        1: InstructionForm(
            "updateMultiplier",
            ("mint",),
            arguments(newMultiplier=_multiplier, newMultiplierTimestamp=ByteReader.i64),
            authority="authority",
        ),
    },
    44: {
        0: InstructionForm("initializePausableConfig", ("mint",), arguments(authority=_KEY_UNLESS_ZERO)),
        **_switch("pause", "resume", "mint", "authority", first=1),
    },
}

_METADATA = ("metadata", "updateAuthority")
_GROUP = ("group", "updateAuthority")
# By the first 8 bytes, which are the start of the SHA-256 of each instruction's name in its interface.
_INTERFACES: Mapping[bytes, InstructionForm] = {
    bytes((210, 225, 30, 162, 88, 184, 77, 141)): InstructionForm(
        "initializeTokenMetadata",
        (*_METADATA, "mint", "mintAuthority"),
        arguments(name=ByteReader.short_text, symbol=ByteReader.short_text, uri=ByteReader.short_text),
    ),
    bytes((221, 233, 49, 45, 181, 202, 220, 200)): InstructionForm(
        "updateTokenMetadataField", _METADATA, arguments(field=_metadata_field, value=ByteReader.short_text)
    ),
    bytes((234, 18, 32, 56, 89, 141, 37, 181)): InstructionForm(
        "removeTokenMetadataKey", _METADATA, arguments(idempotent=ByteReader.flag, key=ByteReader.short_text)
    ),
    bytes((215, 228, 166, 228, 84, 100, 86, 123)): InstructionForm(
        "updateTokenMetadataAuthority", _METADATA, arguments(newAuthority=_KEY_UNLESS_ZERO)
    ),
    bytes((250, 166, 180, 250, 13, 12, 184, 70)): InstructionForm(
        "emitTokenMetadata", ("metadata",), given_arguments(start=_optional_u64, end=_optional_u64)
    ),
    bytes((121, 113, 108, 39, 54, 51, 0, 4)): InstructionForm(
        "initializeTokenGroup",
        ("group", "mint", "mintAuthority"),
        arguments(updateAuthority=_KEY_UNLESS_ZERO, maxSize=_U64),
    ),
    bytes((108, 37, 171, 143, 248, 30, 18, 110)): InstructionForm(
        "updateTokenGroupMaxSize", _GROUP, arguments(maxSize=_U64)
    ),
    bytes((161, 105, 88, 1, 237, 221, 216, 203)): InstructionForm(
        "updateTokenGroupAuthority", _GROUP, arguments(newAuthority=_KEY_UNLESS_ZERO)
    ),
    bytes((152, 32, 222, 176, 223, 237, 116, 134)): InstructionForm(
        "initializeTokenGroupMember",
        ("member", "memberMint", "memberMintAuthority", "group", "groupUpdateAuthority"),
    ),
}
