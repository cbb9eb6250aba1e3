"""`jsonParsed` of an instruction: which programs' instructions can be put into words, and by whom."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from solders.pubkey import Pubkey

from engine.sandbox.cluster.parsed.byte_reader import ByteReader, Unparsable
from engine.sandbox.cluster.parsed.native_instructions import (
    parse_loader,
    parse_lookup_table_instruction,
    parse_system,
    parse_upgradeable_loader,
)
from engine.sandbox.cluster.parsed.token_instructions import parse_associated_token, parse_token

_Parser = Callable[[Sequence[Pubkey], bytes], object]


def instruction(program_id: Pubkey, accounts: Sequence[Pubkey], data: bytes) -> dict[str, object] | None:
    """The program's name and the instruction in words; None when the program is none of the known ones, or
    the instruction not its: a node then shows its accounts and its data."""
    known = _PROGRAMS.get(program_id)
    if known is None:
        return None
    name, parse = known
    try:
        return {"program": name, "parsed": parse(accounts, data)}
    except Unparsable:
        return None


def _memo(_accounts: Sequence[Pubkey], data: bytes) -> str:
    return ByteReader(data).rest_as_text()


_PROGRAMS: dict[Pubkey, tuple[str, _Parser]] = {
    Pubkey.from_string(program_id): (name, parse)
    for program_id, name, parse in (
        ("11111111111111111111111111111111", "system", parse_system),
        ("TokenkegQfeZyiNwAJbNbGKPFXCWuBvf9Ss623VQ5DA", "spl-token", parse_token),
        ("TokenzQdBNbLqP5VEhdkAS6EPFLC1PHnBqCXEpPxuEb", "spl-token", parse_token),
        (
            "ATokenGPvbdGVxr1b2hvZbsiqW5xWH25efTNsLJA8knL",
            "spl-associated-token-account",
            parse_associated_token,
        ),
        ("Memo1UhkJRfHyvLMcVucJwxXeuD728EqVDDwQDxFMNo", "spl-memo", _memo),
        ("MemoSq4gqABAXKb96qnH8TysNcWxMyWCqXgDLGmfcHr", "spl-memo", _memo),
        (
            "AddressLookupTab1e1111111111111111111111111",
            "address-lookup-table",
            parse_lookup_table_instruction,
        ),
        ("BPFLoader2111111111111111111111111111111111", "bpf-loader", parse_loader),
        (
            "BPFLoaderUpgradeab1e11111111111111111111111",
            "bpf-upgradeable-loader",
            parse_upgradeable_loader,
        ),
    )
}
