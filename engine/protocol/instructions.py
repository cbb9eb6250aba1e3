"""Builds the program's instructions, and recognises them in transactions that landed."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from functools import cache
from hashlib import sha256

from solders.instruction import AccountMeta, Instruction
from solders.pubkey import Pubkey

from engine.protocol.addresses import PROGRAM_ID, SYSTEM_PROGRAM, insurance_fund_address, position_address


class Name(StrEnum):
    """The program's instructions by their Anchor names.

    The published program lacks `add_collateral` and `close_position`: the sandbox's traders need them.
    """

    OPEN_POSITION = "open_position"
    CREATE_POSITION = "create_position"
    ADD_COLLATERAL = "add_collateral"
    CLOSE_POSITION = "close_position"
    INITIALIZE_INSURANCE_FUND = "initialize_insurance_fund"
    CONTRIBUTE_TO_INSURANCE = "contribute_to_insurance"
    LIQUIDATE_PARTIAL = "liquidate_partial"
    LIQUIDATE_FULL = "liquidate_full"


@cache
def discriminator(name: Name) -> bytes:
    """Anchor's first eight bytes of an instruction: sha256("global:NAME")[:8]."""
    return sha256(f"global:{name.value}".encode()).digest()[:8]


_BY_DISCRIMINATOR = {discriminator(name): name for name in Name}
_LIQUIDATIONS = (Name.LIQUIDATE_PARTIAL, Name.LIQUIDATE_FULL)


@dataclass(frozen=True, slots=True)
class LiquidationCall:
    """A liquidation as an instruction asks for it; amount_e6 is None for a full one."""

    position: Pubkey
    amount_e6: int | None


def _borsh_string(text: str) -> bytes:
    raw = text.encode()
    return len(raw).to_bytes(4, "little") + raw


def _terms(size_e6: int, collateral_e6: int, entry_price_e6: int, leverage: int) -> bytes:
    return b"".join(
        (
            size_e6.to_bytes(8, "little"),
            collateral_e6.to_bytes(8, "little"),
            entry_price_e6.to_bytes(8, "little"),
            leverage.to_bytes(2, "little"),
        )
    )


def open_position(
    owner: Pubkey,
    symbol: str,
    *,
    size_e6: int,
    collateral_e6: int,
    entry_price_e6: int,
    leverage: int,
    program_id: Pubkey = PROGRAM_ID,
) -> Instruction:
    """Open a long position of the deployed generation at the owner's PDA for the symbol."""
    data = discriminator(Name.OPEN_POSITION) + _borsh_string(symbol)
    data += _terms(size_e6, collateral_e6, entry_price_e6, leverage)
    accounts = [
        AccountMeta(position_address(owner, symbol, program_id), is_signer=False, is_writable=True),
        AccountMeta(owner, is_signer=True, is_writable=True),
        AccountMeta(SYSTEM_PROGRAM, is_signer=False, is_writable=False),
    ]
    return Instruction(program_id, data, accounts)


def create_position(
    position: Pubkey,
    user: Pubkey,
    symbol: str,
    *,
    size_e6: int,
    collateral_e6: int,
    entry_price_e6: int,
    leverage: int,
    is_long: bool,
    program_id: Pubkey = PROGRAM_ID,
) -> Instruction:
    """Open a position of the documented generation in a new account that signs for itself."""
    data = discriminator(Name.CREATE_POSITION) + _borsh_string(symbol)
    data += _terms(size_e6, collateral_e6, entry_price_e6, leverage) + bytes([is_long])
    accounts = [
        AccountMeta(position, is_signer=True, is_writable=True),
        AccountMeta(user, is_signer=True, is_writable=True),
        AccountMeta(SYSTEM_PROGRAM, is_signer=False, is_writable=False),
    ]
    return Instruction(program_id, data, accounts)


def add_collateral(
    position: Pubkey, owner: Pubkey, *, amount_e6: int, program_id: Pubkey = PROGRAM_ID
) -> Instruction:
    """Raise a position's collateral by `amount_e6` (1e-6 USD); its owner signs."""
    data = discriminator(Name.ADD_COLLATERAL) + amount_e6.to_bytes(8, "little")
    accounts = [
        AccountMeta(position, is_signer=False, is_writable=True),
        AccountMeta(owner, is_signer=True, is_writable=False),
    ]
    return Instruction(program_id, data, accounts)


def close_position(
    position: Pubkey,
    owner: Pubkey,
    *,
    price_account: Pubkey,
    sol_price_account: Pubkey,
    program_id: Pubkey = PROGRAM_ID,
) -> Instruction:
    """Close a position that is not liquidatable; its owner signs and receives the account's rent.

    The two price accounts trail as they do in a liquidation, and are checked alike.
    """
    accounts = [
        AccountMeta(position, is_signer=False, is_writable=True),
        AccountMeta(owner, is_signer=True, is_writable=True),
        AccountMeta(price_account, is_signer=False, is_writable=False),
        AccountMeta(sol_price_account, is_signer=False, is_writable=False),
    ]
    return Instruction(program_id, discriminator(Name.CLOSE_POSITION), accounts)


def initialize_insurance_fund(authority: Pubkey, program_id: Pubkey = PROGRAM_ID) -> Instruction:
    """Create the insurance fund's account; the authority pays its rent."""
    return Instruction(
        program_id,
        discriminator(Name.INITIALIZE_INSURANCE_FUND),
        _fund_accounts(authority, program_id),
    )


def contribute_to_insurance(
    contributor: Pubkey, amount_lamports: int, program_id: Pubkey = PROGRAM_ID
) -> Instruction:
    """Move lamports from the contributor into the insurance fund."""
    data = discriminator(Name.CONTRIBUTE_TO_INSURANCE) + amount_lamports.to_bytes(8, "little")
    return Instruction(program_id, data, _fund_accounts(contributor, program_id))


def _fund_accounts(signer: Pubkey, program_id: Pubkey) -> list[AccountMeta]:
    return [
        AccountMeta(insurance_fund_address(program_id), is_signer=False, is_writable=True),
        AccountMeta(signer, is_signer=True, is_writable=True),
        AccountMeta(SYSTEM_PROGRAM, is_signer=False, is_writable=False),
    ]


def liquidate(
    position: Pubkey,
    liquidator: Pubkey,
    *,
    fund: Pubkey,
    price_account: Pubkey,
    sol_price_account: Pubkey,
    amount_e6: int | None,
    program_id: Pubkey = PROGRAM_ID,
) -> Instruction:
    """Liquidate `amount_e6` size units of a position, or all of it when that is None.

    The two price accounts trail as Anchor "remaining accounts": a program that checks solvency reads them.
    """
    if amount_e6 is None:
        data = discriminator(Name.LIQUIDATE_FULL)
    else:
        data = discriminator(Name.LIQUIDATE_PARTIAL) + amount_e6.to_bytes(8, "little")
    accounts = [
        AccountMeta(position, is_signer=False, is_writable=True),
        AccountMeta(fund, is_signer=False, is_writable=True),
        AccountMeta(liquidator, is_signer=True, is_writable=True),
        AccountMeta(price_account, is_signer=False, is_writable=False),
        AccountMeta(sol_price_account, is_signer=False, is_writable=False),
    ]
    return Instruction(program_id, data, accounts)


def instruction_name(data: bytes) -> Name | None:
    """Which instruction of the program these bytes call, or None."""
    return _BY_DISCRIMINATOR.get(bytes(data[:8]))


def read_liquidation(data: bytes, accounts: list[Pubkey]) -> LiquidationCall | None:
    """The liquidation that an instruction asks for, or None when it is another instruction or malformed."""
    name = instruction_name(data)
    if name not in _LIQUIDATIONS or not accounts:
        return None
    if name is Name.LIQUIDATE_FULL:
        return LiquidationCall(accounts[0], None)
    if len(data) != 16:
        return None
    return LiquidationCall(accounts[0], int.from_bytes(data[8:16], "little"))
