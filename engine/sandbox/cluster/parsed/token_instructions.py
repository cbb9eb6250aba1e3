"""Instructions of both SPL token programs and of the associated token program.

A node has one parser for both token programs and calls both `spl-token`; the program id tells them apart.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from solders.pubkey import Pubkey

from engine.sandbox.cluster.parsed.byte_reader import ByteReader, Unparsable
from engine.sandbox.cluster.parsed.instruction_form import (
    Arguments,
    InstructionForm,
    arguments,
    given_arguments,
)
from engine.sandbox.cluster.parsed.token_amounts import AmountDisplay, amount_json
from engine.sandbox.cluster.parsed.token_extension_instructions import (
    EXTENSION_INSTRUCTIONS,
    extension_types,
    parse_extension_instruction,
    parse_interface_instruction,
)

# What an authority may be changed for, by number, and whether the changed account is a mint or an account.
_AUTHORITY_TYPES = (
    ("mintTokens", "mint"),
    ("freezeAccount", "mint"),
    ("accountOwner", "account"),
    ("closeAccount", "account"),
    ("transferFeeConfig", "mint"),
    ("withheldWithdraw", "mint"),
    ("closeMint", "mint"),
    ("interestRate", "mint"),
    ("permanentDelegate", "mint"),
    ("confidentialTransferMint", "mint"),
    ("transferHookProgramId", "mint"),
    ("confidentialTransferFeeConfig", "mint"),
    ("metadataPointer", "mint"),
    ("groupPointer", "mint"),
    ("groupMemberPointer", "mint"),
    ("scaledUiAmount", "mint"),
    ("pause", "mint"),
)
_SET_AUTHORITY = 6


def parse_token(accounts: Sequence[Pubkey], data: bytes) -> dict[str, object]:
    """An instruction of either token program; raises Unparsable for other data."""
    if not accounts:
        raise Unparsable("an instruction without accounts")
    reader = ByteReader(data)
    kind = reader.u8()
    if kind in EXTENSION_INSTRUCTIONS:
        return parse_extension_instruction(kind, accounts, reader)
    if kind == _SET_AUTHORITY:
        return _parse_set_authority(accounts, reader)
    form = _TOKEN.get(kind)
    if form is None:
        return parse_interface_instruction(accounts, data)
    return form.parse(accounts, reader)


def parse_associated_token(accounts: Sequence[Pubkey], data: bytes) -> dict[str, object]:
    """An instruction of the associated token program, whose first form had no data; raises Unparsable."""
    kind = 0 if not data else data[0]
    if kind >= len(_ASSOCIATED_TOKEN) or len(data) > 1:
        raise Unparsable("an unknown instruction")
    return _ASSOCIATED_TOKEN[kind].parse(accounts, ByteReader(data))


def _parse_set_authority(accounts: Sequence[Pubkey], reader: ByteReader) -> dict[str, object]:
    kind = reader.u8()
    if kind >= len(_AUTHORITY_TYPES):
        raise Unparsable("an unknown type of authority")
    word, owned = _AUTHORITY_TYPES[kind]
    new_authority = reader.optional_key()
    form = InstructionForm(
        "setAuthority",
        (owned,),
        lambda _reader: {"authorityType": word, "newAuthority": new_authority},
        authority="authority",
    )
    return form.parse(accounts, reader)


def _token_amount(reader: ByteReader) -> dict[str, object]:
    amount, decimals = reader.u64(), reader.u8()
    return amount_json(amount, AmountDisplay(decimals))


def _new_mint(reader: ByteReader) -> dict[str, object]:
    fields: dict[str, object] = {"decimals": reader.u8(), "mintAuthority": reader.key()}
    freeze_authority = reader.optional_key()
    return fields if freeze_authority is None else fields | {"freezeAuthority": freeze_authority}


def _some_extension_types(reader: ByteReader) -> list[str] | None:
    return extension_types(reader) or None


def _moving(
    name: str,
    accounts: tuple[str, ...],
    authority: str,
    amount: Callable[[ByteReader], object] | None = None,
) -> InstructionForm:
    """What an authority may do with an amount: plain in text, or with the mint's decimals beside it."""
    if amount is None:
        return InstructionForm(name, accounts, authority=authority)
    field = "tokenAmount" if amount is _token_amount else "amount"
    return InstructionForm(name, accounts, arguments(**{field: amount}), authority=authority)


_AMOUNT = ByteReader.amount
_OWNER: Arguments = arguments(owner=ByteReader.key)
_SIGNERS_NEEDED: Arguments = arguments(m=ByteReader.u8)

_TOKEN = {
    0: InstructionForm("initializeMint", ("mint", "rentSysvar"), _new_mint),
    1: InstructionForm("initializeAccount", ("account", "mint", "owner", "rentSysvar")),
    2: InstructionForm(
        "initializeMultisig", ("multisig", "rentSysvar"), _SIGNERS_NEEDED, others="signers", least=3
    ),
    3: _moving("transfer", ("source", "destination"), "authority", _AMOUNT),
    4: _moving("approve", ("source", "delegate"), "owner", _AMOUNT),
    5: _moving("revoke", ("source",), "owner"),
    7: _moving("mintTo", ("mint", "account"), "mintAuthority", _AMOUNT),
    8: _moving("burn", ("account", "mint"), "authority", _AMOUNT),
    9: _moving("closeAccount", ("account", "destination"), "owner"),
    10: _moving("freezeAccount", ("account", "mint"), "freezeAuthority"),
    11: _moving("thawAccount", ("account", "mint"), "freezeAuthority"),
    12: _moving("transferChecked", ("source", "mint", "destination"), "authority", _token_amount),
    13: _moving("approveChecked", ("source", "mint", "delegate"), "owner", _token_amount),
    14: _moving("mintToChecked", ("mint", "account"), "mintAuthority", _token_amount),
    15: _moving("burnChecked", ("account", "mint"), "authority", _token_amount),
    16: InstructionForm("initializeAccount2", ("account", "mint", "rentSysvar"), _OWNER),
    17: InstructionForm("syncNative", ("account",)),
    18: InstructionForm("initializeAccount3", ("account", "mint"), _OWNER),
    19: InstructionForm("initializeMultisig2", ("multisig",), _SIGNERS_NEEDED, others="signers", least=2),
    20: InstructionForm("initializeMint2", ("mint",), _new_mint),
    21: InstructionForm(
        "getAccountDataSize", ("mint",), given_arguments(extensionTypes=_some_extension_types)
    ),
    22: InstructionForm("initializeImmutableOwner", ("account",)),
    23: InstructionForm("amountToUiAmount", ("mint",), arguments(amount=_AMOUNT)),
    24: InstructionForm("uiAmountToAmount", ("mint",), arguments(uiAmount=ByteReader.rest_as_text)),
    25: InstructionForm(
        "initializeMintCloseAuthority", ("mint",), arguments(newAuthority=ByteReader.optional_key)
    ),
    29: InstructionForm(
        "reallocate",
        ("account", "payer", "systemProgram"),
        arguments(extensionTypes=extension_types),
        authority="owner",
    ),
    31: InstructionForm("createNativeMint", ("payer", "nativeMint", "systemProgram")),
    32: InstructionForm("initializeNonTransferableMint", ("mint",)),
    35: InstructionForm("initializePermanentDelegate", ("mint",), arguments(delegate=ByteReader.key)),
    38: _moving("withdrawExcessLamports", ("source", "destination"), "authority"),
}

_ASSOCIATED = ("source", "account", "wallet", "mint", "systemProgram", "tokenProgram")
_ASSOCIATED_TOKEN = (
    InstructionForm("create", _ASSOCIATED),
    InstructionForm("createIdempotent", _ASSOCIATED),
    InstructionForm(
        "recoverNested",
        (
            "nestedSource",
            "nestedMint",
            "destination",
            "nestedOwner",
            "ownerMint",
            "wallet",
            "tokenProgram",
        ),
    ),
)
