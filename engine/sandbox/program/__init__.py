"""The protocol's program as it runs in the sandbox: its C sources, the built bytes, and its Anchor IDL."""

from __future__ import annotations

from importlib.resources import files

from solders.account import Account
from solders.pubkey import Pubkey

from engine.sandbox.program.idl_accounts import anchor_account, metadata_account


def load() -> bytes:
    """The built program, ready to be given to a cluster."""
    return (files(__name__) / "liquidation_engine.so").read_bytes()


def load_crowd() -> bytes:
    """The strangers' program: it uses as many compute units as its data (u32) says, and changes nothing."""
    return (files(__name__) / "crowd.so").read_bytes()


def idl() -> bytes:
    """The program's Anchor IDL (JSON, format of Anchor 0.30 and later)."""
    return (files(__name__) / "liquidation_engine.json").read_bytes()


def idl_account(program_id: Pubkey) -> tuple[Pubkey, Account]:
    """Address and account in which `Program.fetchIdl` of `@coral-xyz/anchor` finds the IDL."""
    return anchor_account(program_id, idl())


def idl_accounts(program_id: Pubkey) -> dict[Pubkey, Account]:
    """Every account of the IDL by its address: Anchor's own, and that of Anchor 1's metadata program."""
    return dict((idl_account(program_id), metadata_account(program_id, idl())))
