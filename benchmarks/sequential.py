"""The plain way to liquidate, as a baseline: poll all accounts, check in floats, then one after the other.

It is what most published liquidators of this kind do, written as well as that allows: solana-py's client, a
poll each two seconds, a float health factor, and for each position in turn a blockhash, a transaction, a
confirmation. It keeps no journal, no queue and no database, which makes it faster than it should be.
"""

from __future__ import annotations

import asyncio
import json
import time
from dataclasses import dataclass, field
from pathlib import Path

from solana.rpc.async_api import AsyncClient
from solana.rpc.commitment import Confirmed
from solana.rpc.models import TxOpts
from solders.keypair import Keypair
from solders.message import MessageV0
from solders.pubkey import Pubkey
from solders.transaction import VersionedTransaction

from engine.api.launcher import SandboxDescriptor
from engine.domain import Position, Side
from engine.protocol.accounts import decode_position
from engine.protocol.addresses import FEEDS, insurance_fund_address
from engine.protocol.instructions import liquidate
from engine.protocol.pyth import decode_price_update

POLL_S = 2.0


@dataclass(slots=True)
class Sequential:
    """What the loop did, how long it worked, and how long each position waited from being found to sent."""

    liquidated: int = 0
    failed: int = 0
    busy_s: float = 0.0
    detect_to_submit_ms: list[float] = field(default_factory=list)

    @property
    def per_second(self) -> float:
        """Liquidations per second of work, waiting between polls not counted."""
        return self.liquidated / self.busy_s if self.busy_s else 0.0


def read_wallet(descriptor: SandboxDescriptor) -> Keypair:
    """The sandbox's funded wallet."""
    return Keypair.from_bytes(bytes(json.loads(Path(descriptor.wallet_path).read_text())))


async def liquidate_one_by_one(
    descriptor: SandboxDescriptor, wallet: Keypair, *, enough: int, deadline_s: float
) -> Sequential:
    """Run the loop until it has liquidated `enough` positions or `deadline_s` is over."""
    program = Pubkey.from_string(descriptor.program_id)
    done, end = Sequential(), time.monotonic() + deadline_s
    async with AsyncClient(descriptor.rpc_url, commitment=Confirmed, timeout=10) as client:
        while done.liquidated < enough and time.monotonic() < end:
            polled = time.monotonic()
            found = await _find(client, program)
            began = time.monotonic()
            for position in found:
                if done.liquidated >= enough or time.monotonic() >= end:
                    break
                await _liquidate(client, wallet, program, position, found_at=began, done=done)
            if found:
                done.busy_s += time.monotonic() - began
            await asyncio.sleep(max(0.0, polled + POLL_S - time.monotonic()))
    return done


async def _find(client: AsyncClient, program: Pubkey) -> list[Position]:
    """The positions whose health factor, in floats, is below 1, in the order in which the node lists them."""
    prices = {}
    for symbol, feed in FEEDS.items():
        account = (await client.get_account_info(feed.account)).value
        if account is not None:
            update = decode_price_update(account.data)
            prices[symbol] = update.price * 10**update.exponent
    accounts = (await client.get_program_accounts(program, encoding="base64")).value
    found = []
    for keyed in accounts:
        try:
            position = decode_position(keyed.pubkey, keyed.account.data, 0)
        except ValueError:
            continue  # the insurance fund
        if position.symbol in prices and _health(position, prices[position.symbol]) < 1:
            found.append(position)
    return found


def _health(position: Position, mark: float) -> float:
    size, entry = position.size_e6 / 1e6, position.entry_price_e6 / 1e6
    move = mark - entry if position.side is Side.LONG else entry - mark
    equity = position.collateral_e6 / 1e6 + size * move
    steps = ((20, 0.025), (50, 0.01), (100, 0.005), (500, 0.0025), (1000, 0.001))
    maintenance = next(ratio for most, ratio in steps if position.leverage <= most)
    return equity / (size * mark) / maintenance


async def _liquidate(
    client: AsyncClient,
    wallet: Keypair,
    program: Pubkey,
    position: Position,
    *,
    found_at: float,
    done: Sequential,
) -> None:
    blockhash = (await client.get_latest_blockhash(Confirmed)).value.blockhash
    instruction = liquidate(
        position.address,
        wallet.pubkey(),
        fund=insurance_fund_address(program),
        price_account=FEEDS[position.symbol].account,
        sol_price_account=FEEDS["SOL/USD"].account,
        amount_e6=None,
        program_id=program,
    )
    message = MessageV0.try_compile(wallet.pubkey(), [instruction], [], blockhash)
    transaction = VersionedTransaction(message, [wallet])
    signature = (await client.send_transaction(transaction, opts=TxOpts(skip_preflight=True))).value
    done.detect_to_submit_ms.append((time.monotonic() - found_at) * 1000)
    status = (await client.confirm_transaction(signature, Confirmed)).value[0]
    if status is not None and status.err is None:
        done.liquidated += 1
    else:
        done.failed += 1
