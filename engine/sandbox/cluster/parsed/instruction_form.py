"""The form of one instruction: its name, what its accounts are called, and what its arguments are."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from solders.pubkey import Pubkey

from engine.sandbox.cluster.parsed.byte_reader import ByteReader, Unparsable

Arguments = Callable[[ByteReader], dict[str, object]]


def no_arguments(_reader: ByteReader) -> dict[str, object]:
    """Nothing to read."""
    return {}


def arguments(**fields: Callable[[ByteReader], object]) -> Arguments:
    """Reads fields one after the other; a field that reads as nothing is still shown, as null."""

    def read(reader: ByteReader) -> dict[str, object]:
        return {name: read_field(reader) for name, read_field in fields.items()}

    return read


def given_arguments(**fields: Callable[[ByteReader], object]) -> Arguments:
    """Reads fields one after the other and leaves out those that read as nothing."""

    def read(reader: ByteReader) -> dict[str, object]:
        found = ((name, read_field(reader)) for name, read_field in fields.items())
        return {name: value for name, value in found if value is not None}

    return read


@dataclass(frozen=True, slots=True)
class InstructionForm:
    """`accounts` are the names of the first accounts, of which `optional` more may follow. `authority` is who
    must sign behind them: alone, or a multisig with its signers behind it, then under another name. `others`
    names the list of all accounts that are left. `least` is how many accounts there must be, when that is
    not the number of the named ones."""

    name: str
    accounts: tuple[str, ...] = ()
    arguments: Arguments = no_arguments
    authority: str | None = None
    multisig: str | None = None
    others: str | None = None
    optional: tuple[str, ...] = ()
    least: int | None = None

    def parse(self, accounts: Sequence[Pubkey], reader: ByteReader) -> dict[str, object]:
        """The instruction in words; raises Unparsable for too few accounts and for cut data."""
        named = len(self.accounts)
        least = named + (self.authority is not None) if self.least is None else self.least
        if len(accounts) < least:
            raise Unparsable(f"{len(accounts)} accounts, {least} needed")
        info: dict[str, object] = self.arguments(reader)
        for name, key in zip(self.accounts, accounts, strict=False):
            info[name] = str(key)
        for position, name in enumerate(self.optional, start=named):
            info[name] = str(accounts[position]) if position < len(accounts) else None
        if self.authority is not None:
            info |= signers(self.authority, accounts[named:], self.multisig)
        if self.others is not None:
            info[self.others] = [str(key) for key in accounts[named:]]
        return {"info": info, "type": self.name}


def signers(authority: str, accounts: Sequence[Pubkey], multisig: str | None = None) -> dict[str, object]:
    """Who signed: `accounts` begin with the authority, and go on with the signers if that is a multisig."""
    if len(accounts) == 1:
        return {authority: str(accounts[0])}
    name = multisig or f"multisig{authority[0].upper()}{authority[1:]}"
    return {name: str(accounts[0]), "signers": [str(key) for key in accounts[1:]]}
