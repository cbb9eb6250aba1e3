"""Instructions of the system program, of address lookup tables and of the program loaders."""

from __future__ import annotations

import binascii
from collections.abc import Mapping, Sequence

from solders.pubkey import Pubkey

from engine.sandbox.cluster.parsed.byte_reader import ByteReader, Unparsable
from engine.sandbox.cluster.parsed.instruction_form import InstructionForm, arguments

_KEY = ByteReader.key
_U64 = ByteReader.u64
_TEXT = ByteReader.long_text
_RECENT_BLOCKHASHES = "recentBlockhashesSysvar"


def parse_system(accounts: Sequence[Pubkey], data: bytes) -> dict[str, object]:
    """An instruction of the system program; raises Unparsable for other data."""
    return _parse(_SYSTEM, accounts, data)


def parse_lookup_table_instruction(accounts: Sequence[Pubkey], data: bytes) -> dict[str, object]:
    """An instruction of the address lookup table program; raises Unparsable for other data."""
    parsed = _parse(_LOOKUP_TABLE, accounts, data)
    info = parsed["info"]
    if parsed["type"] == "extendLookupTable" and len(accounts) >= 4 and isinstance(info, dict):
        info |= {"payerAccount": str(accounts[2]), "systemProgram": str(accounts[3])}
    return parsed


def parse_upgradeable_loader(accounts: Sequence[Pubkey], data: bytes) -> dict[str, object]:
    """An instruction of the upgradeable loader; raises Unparsable for other data."""
    parsed = _parse(_UPGRADEABLE_LOADER, accounts, data)
    info = parsed["info"]
    if parsed["type"] == "initializeBuffer" and len(accounts) > 1 and isinstance(info, dict):
        info["authority"] = str(accounts[1])
    return parsed


def parse_loader(accounts: Sequence[Pubkey], data: bytes) -> dict[str, object]:
    """An instruction of the loader that deploys for good; raises Unparsable for other data."""
    return _parse(_LOADER, accounts, data)


def _parse(
    forms: Mapping[int, InstructionForm], accounts: Sequence[Pubkey], data: bytes
) -> dict[str, object]:
    reader = ByteReader(data)
    form = forms.get(reader.u32())
    if form is None or not accounts:
        raise Unparsable("an unknown instruction, or one without accounts")
    return form.parse(accounts, reader)


def _written_bytes(reader: ByteReader) -> str:
    return binascii.b2a_base64(reader.take(reader.u64()), newline=False).decode()


def _keys(reader: ByteReader) -> list[str]:
    return [reader.key() for _ in range(reader.u64())]


_SYSTEM = dict(
    enumerate(
        (
            InstructionForm(
                "createAccount",
                ("source", "newAccount"),
                arguments(lamports=_U64, space=_U64, owner=_KEY),
            ),
            InstructionForm("assign", ("account",), arguments(owner=_KEY)),
            InstructionForm("transfer", ("source", "destination"), arguments(lamports=_U64)),
            InstructionForm(
                "createAccountWithSeed",
                ("source", "newAccount"),
                arguments(base=_KEY, seed=_TEXT, lamports=_U64, space=_U64, owner=_KEY),
            ),
            InstructionForm("advanceNonce", ("nonceAccount", _RECENT_BLOCKHASHES, "nonceAuthority")),
            InstructionForm(
                "withdrawFromNonce",
                ("nonceAccount", "destination", _RECENT_BLOCKHASHES, "rentSysvar", "nonceAuthority"),
                arguments(lamports=_U64),
            ),
            InstructionForm(
                "initializeNonce",
                ("nonceAccount", _RECENT_BLOCKHASHES, "rentSysvar"),
                arguments(nonceAuthority=_KEY),
            ),
            InstructionForm(
                "authorizeNonce", ("nonceAccount", "nonceAuthority"), arguments(newAuthorized=_KEY)
            ),
            InstructionForm("allocate", ("account",), arguments(space=_U64)),
            InstructionForm(
                "allocateWithSeed",
                ("account",),
                arguments(base=_KEY, seed=_TEXT, space=_U64, owner=_KEY),
                least=2,
            ),
            InstructionForm(
                "assignWithSeed", ("account",), arguments(base=_KEY, seed=_TEXT, owner=_KEY), least=2
            ),
            InstructionForm(
                "transferWithSeed",
                ("source", "sourceBase", "destination"),
                arguments(lamports=_U64, sourceSeed=_TEXT, sourceOwner=_KEY),
            ),
            InstructionForm("upgradeNonce", ("nonceAccount",)),
        )
    )
)

_TABLE = ("lookupTableAccount", "lookupTableAuthority")
_LOOKUP_TABLE = dict(
    enumerate(
        (
            InstructionForm(
                "createLookupTable",
                (*_TABLE, "payerAccount", "systemProgram"),
                arguments(recentSlot=_U64, bumpSeed=ByteReader.u8),
            ),
            InstructionForm("freezeLookupTable", _TABLE),
            InstructionForm("extendLookupTable", _TABLE, arguments(newAddresses=_keys)),
            InstructionForm("deactivateLookupTable", _TABLE),
            InstructionForm("closeLookupTable", (*_TABLE, "recipient")),
        )
    )
)

_WRITTEN = arguments(offset=ByteReader.u32, bytes=_written_bytes)
_LOADER = {
    0: InstructionForm("write", ("account",), _WRITTEN),
    1: InstructionForm("finalize", ("account",), least=2),
}
_UPGRADEABLE_LOADER = dict(
    enumerate(
        (
            InstructionForm("initializeBuffer", ("account",)),
            InstructionForm("write", ("account", "authority"), _WRITTEN),
            InstructionForm(
                "deployWithMaxDataLen",
                (
                    "payerAccount",
                    "programDataAccount",
                    "programAccount",
                    "bufferAccount",
                    "rentSysvar",
                    "clockSysvar",
                    "systemProgram",
                    "authority",
                ),
                arguments(maxDataLen=_U64),
            ),
            InstructionForm(
                "upgrade",
                (
                    "programDataAccount",
                    "programAccount",
                    "bufferAccount",
                    "spillAccount",
                    "rentSysvar",
                    "clockSysvar",
                    "authority",
                ),
            ),
            InstructionForm("setAuthority", ("account", "authority"), optional=("newAuthority",)),
            InstructionForm("close", ("account", "recipient", "authority"), optional=("programAccount",)),
            InstructionForm(
                "extendProgram",
                ("programDataAccount", "programAccount"),
                arguments(additionalBytes=ByteReader.u32),
                optional=("systemProgram", "payerAccount"),
            ),
            InstructionForm("setAuthorityChecked", ("account", "authority", "newAuthority")),
        )
    )
)
