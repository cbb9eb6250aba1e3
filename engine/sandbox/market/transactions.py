"""The signed transactions of the market's participants: traders' openings and contributions to the fund."""

from __future__ import annotations

from collections.abc import Sequence
from random import Random

from solders.compute_budget import set_compute_unit_price
from solders.hash import Hash
from solders.instruction import Instruction
from solders.keypair import Keypair
from solders.message import Message
from solders.pubkey import Pubkey
from solders.transaction import Transaction

from engine.domain import Side
from engine.protocol.addresses import position_address
from engine.protocol.instructions import (
    contribute_to_insurance,
    create_position,
    initialize_insurance_fund,
    open_position,
)
from engine.sandbox.market.population import Opening, Population

_PRIORITY_SHARE = 0.3  # of the traders pay for priority, so that a fee market can be read from the chain
_PRIORITY_MICROLAMPORTS = (100, 20_000)


def priority_microlamports(rng: Random) -> int:
    """What a trader bids for one compute unit; most bid nothing."""
    return rng.randint(*_PRIORITY_MICROLAMPORTS) if rng.random() < _PRIORITY_SHARE else 0


def opening_transaction(
    population: Population, opening: Opening, blockhash: Hash, bid_microlamports: int, program_id: Pubkey
) -> bytes:
    """The transaction by which a trader opens a position: signed, serialized."""
    owner = population.trader_key(opening.trader)
    account = population.account_key(opening)
    instruction = _opening_instruction(opening, owner.pubkey(), account, program_id)
    instructions = [set_compute_unit_price(bid_microlamports)] if bid_microlamports else []
    signers = [owner] if account is None else [owner, account]
    return signed([*instructions, instruction], signers, blockhash)


def position_of(population: Population, opening: Opening, program_id: Pubkey) -> Pubkey:
    """The address that an opening's position has."""
    account = population.account_key(opening)
    if account is not None:
        return account.pubkey()
    return position_address(population.trader_key(opening.trader).pubkey(), opening.symbol, program_id)


def initialize_fund_transaction(authority: Keypair, blockhash: Hash, program_id: Pubkey) -> bytes:
    """The transaction that creates the insurance fund."""
    return signed([initialize_insurance_fund(authority.pubkey(), program_id)], [authority], blockhash)


def contribution_transaction(
    contributor: Keypair, amount_lamports: int, blockhash: Hash, program_id: Pubkey
) -> bytes:
    """The transaction by which a contributor adds to the insurance fund."""
    instruction = contribute_to_insurance(contributor.pubkey(), amount_lamports, program_id)
    return signed([instruction], [contributor], blockhash)


def _opening_instruction(
    opening: Opening, owner: Pubkey, account: Keypair | None, program_id: Pubkey
) -> Instruction:
    if account is None:
        return open_position(
            owner,
            opening.symbol,
            size_e6=opening.size_e6,
            collateral_e6=opening.collateral_e6,
            entry_price_e6=opening.entry_price_e6,
            leverage=opening.leverage,
            program_id=program_id,
        )
    return create_position(
        account.pubkey(),
        owner,
        opening.symbol,
        size_e6=opening.size_e6,
        collateral_e6=opening.collateral_e6,
        entry_price_e6=opening.entry_price_e6,
        leverage=opening.leverage,
        is_long=opening.side is Side.LONG,
        program_id=program_id,
    )


def signed(instructions: Sequence[Instruction], signers: Sequence[Keypair], blockhash: Hash) -> bytes:
    """The wire bytes of a transaction that its first signer pays for."""
    message = Message.new_with_blockhash(instructions, signers[0].pubkey(), blockhash)
    return bytes(Transaction(list(signers), message, blockhash))
