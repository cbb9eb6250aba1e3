"""An engine put together from its real parts on a simulated cluster, driven slot by slot."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from simulated import SLOT_S, Fate, SimulatedChain, SimulatedWire, VirtualClock, make_position, rent_paying
from solders.account import Account
from solders.hash import Hash
from solders.keypair import Keypair
from solders.message import MessageV0
from solders.pubkey import Pubkey
from solders.transaction import VersionedTransaction

from engine.chain.frames import AccountNews
from engine.chain.port import Chain, RpcFailure
from engine.control import RUNNING, Gate, GateState
from engine.domain import Outcome, Position
from engine.journal.journal import Journal
from engine.journal.prompt_writer import PromptWriter
from engine.journal.records import FailedLiquidation, OutboxKind
from engine.liquidation.flight import Flight
from engine.liquidation.queue import Entry
from engine.liquidation.tracker import Wire
from engine.parts import Parts
from engine.protocol.accounts import FUND_DISCRIMINATOR, encode_position
from engine.protocol.addresses import (
    FEEDS,
    PROGRAM_ID,
    PYTH_RECEIVER,
    SYSTEM_PROGRAM,
    insurance_fund_address,
)
from engine.protocol.instructions import liquidate
from engine.protocol.pyth import PriceUpdate, encode_price_update
from engine.runtime import RunningEngine, _decide
from engine.sandbox import program
from engine.sandbox.cluster.blocks.banks import Commitment
from engine.sandbox.cluster.blocks.genesis import Genesis
from engine.sandbox.cluster.ledger.ledger import Ledger
from engine.settings import load_settings
from engine.wallet.secret import SecretKey
from engine.wallet.signer import KeypairSigner

FUND = insurance_fund_address()
SOL = 10**9


@dataclass
class Shipping:
    """A database that is there; shipping itself has its own tests."""

    state: str = "ok"
    message: str = ""


class Rig:
    """One engine with its cluster. `tick` is one slot; `until` ticks until a condition holds."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.clock = VirtualClock()
        self.ledger = Ledger(Genesis.from_seed(b"engine", nonce=b"n" * 32), lambda: self.clock.now_ns() / 1e9)
        self.ledger.add_program(PROGRAM_ID, program.load())
        self.wallet = Keypair.from_seed(bytes(range(32)))
        self.ledger.set_account(self.wallet.pubkey(), Account(10 * SOL, b"", SYSTEM_PROGRAM))
        self.chain = SimulatedChain(self.ledger)
        self.tasks: list[asyncio.Task[Any]] = []
        self.asked_to_end = asyncio.Event()
        self.standing_stop = directory / "STOP"
        self._plant_fund()
        for symbol, dollars in (("SOL/USD", 150), ("BTC/USD", 60_000), ("ETH/USD", 3_000)):
            self.write_price(symbol, dollars)

    def boot(self, **environment: str) -> None:
        """Put an engine together on what is on disk, as a new process would."""
        environ = {"SOLANA_RPC_URL": "http://127.0.0.1:1", "WORKERS": "4", **environment}
        identity = f"{self.ledger.genesis_hash}/{self.wallet.pubkey()}/{PROGRAM_ID}"
        self.journal = Journal.open(
            self.directory / "journal.db", identity, self.clock.now_ns, make_ahead=PromptWriter
        )
        first = GateState(1, RUNNING, "engine", self.clock.now_ns(), "first start")
        self.gate = Gate.load(
            self.directory / "gate.json",
            self.clock,
            first_start=first,
            has_history=self.journal.last_seq > 0,
            standing_stop=self.standing_stop,
        )
        self.wire = SimulatedWire(self.ledger, self.gate, self.clock.now_ns)
        chain, wire = self.transport()
        self.parts: Parts = Parts(
            settings=load_settings(environ),
            signer=KeypairSigner(SecretKey(self.wallet), "a test"),
            chain=chain,
            wire=wire,
            journal=self.journal,
            gate=self.gate,
            shipping=Shipping(),
            clock=self.clock,
            profile="test",
            cluster="simulated",
            version="0",
            ask_to_end=self.asked_to_end.set,
            forget_standing_stop=lambda: self.standing_stop.unlink(missing_ok=True),
        )

    def transport(self) -> tuple[Chain, Wire]:
        """The cluster as the engine sees it, and its way out."""
        return self.chain, self.wire

    async def start(self, *, wait: bool = True) -> None:
        """Snapshot, reconcile, decide: as the runtime does it."""
        self.spawn(self.parts.ingest.run())
        self.spawn(self.parts.prices.run())
        self.parts.ingest.on_connected()
        await self.parts.blockhashes.refresh()
        ready = asyncio.Event()
        engine = RunningEngine(self.parts, None)  # nothing is shipped here
        self.spawn(_decide(engine, lambda _: ready.set()))
        if wait:
            await self.until(ready.is_set)

    def spawn(self, work: Coroutine[Any, Any, Any]) -> asyncio.Task[Any]:
        task = asyncio.ensure_future(work)
        self.tasks.append(task)
        return task

    async def finish(self, work: Coroutine[Any, Any, Any]) -> Any:
        """Tick until a piece of work has come to its end."""
        task = self.spawn(work)
        await self.until(task.done)
        return task.result()

    async def kill(self) -> None:
        """End every task where it is, as a process that dies would; the disk stays."""
        broken = [task for task in self.tasks if task.done() and not task.cancelled() and task.exception()]
        for task in self.tasks:
            task.cancel()
        await asyncio.gather(*self.tasks, return_exceptions=True)
        self.tasks.clear()
        await self.parts.commands.settle_audits()
        await self.journal.close()
        assert not broken, broken

    async def settle(self) -> None:
        """Let everything run that waits for neither time nor news."""
        idle = 0
        deadline = time.monotonic() + 5
        while idle < 2 and time.monotonic() < deadline:
            for _ in range(15):
                await asyncio.sleep(0)
            idle = idle + 1 if self.journal.is_idle else 0
            if not idle:
                await asyncio.sleep(0.0005)

    async def tick(self, count: int = 1) -> None:
        """One slot: the ledger closes a block, time passes, the engine hears of it."""
        for _ in range(count):
            self.ledger.advance_slot()
            await self.clock.advance(SLOT_S)
            if not self.chain.faults.failing:
                await self.parts.blockhashes.refresh()
            self.parts.ingest.on_slot(self.ledger.slot)
            await self.settle()

    async def until(self, condition: Callable[[], Any], slots: int = 400) -> None:
        """Tick until the condition holds; fails when that takes too many slots."""
        await self.settle()
        for _ in range(slots):
            if condition():
                return
            await self.tick()
        raise AssertionError(f"the condition did not come true in {slots} slots")

    # --- what the world does ---

    def price(self, symbol: str, dollars: float, **changes: Any) -> None:
        """The oracle publishes, and the engine hears of it."""
        self.write_price(symbol, dollars, **changes)
        self.tell(FEEDS[symbol].account)

    def keep_prices_fresh(self) -> None:
        """Publish the same prices again, now."""
        for symbol in FEEDS:
            current = self.parts.board.current(symbol)
            self.price(symbol, current.price_e6 / 1e6)

    def open(self, **changes: Any) -> Position:
        """A trader opens a position, and the engine hears of it: 20x long, one BTC at 60,000 with 3,000."""
        position = make_position(**changes)
        self.write(position)
        if hasattr(self, "parts"):
            self.tell(position.address)
        return position

    def write(self, position: Position) -> None:
        data = encode_position(position)
        self.ledger.set_account(position.address, rent_paying(self.ledger, data, PROGRAM_ID))

    def liquidate_first(self, position: Position, amount_e6: int | None = None) -> Pubkey:
        """Somebody else's liquidation, for the next block; returns who it is."""
        rival = Keypair.from_seed(bytes(reversed(range(32))))
        self.ledger.set_account(rival.pubkey(), Account(10 * SOL, b"", SYSTEM_PROGRAM))
        instruction = liquidate(
            position.address,
            rival.pubkey(),
            fund=FUND,
            price_account=FEEDS[position.symbol].account,
            sol_price_account=FEEDS["SOL/USD"].account,
            amount_e6=amount_e6,
        )
        latest = self.ledger.latest_blockhash(self.ledger.bank(Commitment.CONFIRMED))
        blockhash = Hash.from_bytes(bytes(latest.value))
        message = MessageV0.try_compile(rival.pubkey(), [instruction], [], blockhash)
        self.ledger.submit(bytes(VersionedTransaction(message, [rival])), skip_preflight=True)
        return rival.pubkey()

    def close(self, address: Pubkey, *, tell: bool = True) -> None:
        """Somebody else closes the account."""
        self.ledger.set_account(address, Account(0, b"", SYSTEM_PROGRAM))
        if tell:
            self.parts.ingest.on_accounts([AccountNews(address, b"", SYSTEM_PROGRAM, self.ledger.slot, 0)])

    def tell(self, address: Pubkey) -> None:
        """A notification of the account as it is."""
        account = self.ledger.account(address)
        assert account is not None
        slot = self.ledger.slot
        news = AccountNews(address, bytes(account.data), account.owner, slot, account.lamports)
        self.parts.ingest.on_accounts([news])

    def fund_wallet(self, lamports: int) -> None:
        """The wallet holds this much from now on, and the engine hears of it."""
        self.ledger.set_account(self.wallet.pubkey(), Account(lamports, b"", SYSTEM_PROGRAM))
        self.tell(self.wallet.pubkey())

    def write_price(self, symbol: str, dollars: float, **changes: Any) -> None:
        """The oracle publishes, and nobody hears of it yet."""
        now_s = self.clock.now_ns() // 10**9
        update = PriceUpdate(
            write_authority=PYTH_RECEIVER,
            feed_id=FEEDS[symbol].feed_id,
            price=round(dollars * 10**8),
            conf=0,
            exponent=-8,
            publish_time_s=now_s,
            prev_publish_time_s=now_s,
            ema_price=self.ledger.slot,  # another message in each slot
            ema_conf=0,
            posted_slot=self.ledger.slot,
        )
        data = encode_price_update(replace(update, **changes))
        self.ledger.set_account(FEEDS[symbol].account, rent_paying(self.ledger, data, PYTH_RECEIVER))

    def _plant_fund(self, balance: int = 1000 * SOL) -> None:
        numbers = (balance, balance, 0, 0)
        data = FUND_DISCRIMINATOR + bytes(self.wallet.pubkey())
        data += b"".join(number.to_bytes(8, "little") for number in numbers) + b"\xff"
        self.ledger.set_account(FUND, rent_paying(self.ledger, data, PROGRAM_ID, balance))

    # --- how far a liquidation has come ---

    async def in_flight(self, fate: Fate = Fate.DROP) -> tuple[Position, Flight]:
        """A position whose transaction is signed and out."""
        self.wire.fate = fate
        position = self.open()
        self.price("BTC/USD", 58_000)
        await self.until(lambda: self.wire.sent)
        await self.settle()
        return position, self.parts.tracker.flights[0]

    async def given_up(self) -> tuple[Position, FailedLiquidation]:
        """A liquidation that a node's trouble defeats; then the trouble is over."""
        self.chain.faults.failing["accounts"] = RpcFailure("node error: busy")
        position = self.open()
        self.price("BTC/USD", 58_000)
        await self.settle()
        await self.clock.advance(2)
        await self.settle()
        (failed,) = self.parts.failures.rows
        self.chain.faults.failing.clear()
        return position, failed

    async def recover_unheard(self) -> None:
        """What waits for its connection comes too late: the price is back, and the engine hears it later."""
        sent = len(self.wire.sent)
        self.write_price("BTC/USD", 60_000)
        self.wire.connected.set()
        await self.until(lambda: len(self.wire.sent) > sent)
        self.price("BTC/USD", 60_000)

    # --- what came of it ---

    def entry(self, position: Position) -> Entry | None:
        return self.parts.queue.get(position.address)

    def ended(self, position: Position) -> Callable[[], bool]:
        """Whether the position's liquidation has come to its end; for `until`."""
        return lambda: position.address not in self.parts.queue and not len(self.parts.tracker)

    def outcomes(self) -> list[Outcome]:
        """Every recorded outcome, oldest first."""
        found = []
        for intent in self._intents():
            for attempt, outcome in self.journal.attempts_of(intent, 100):
                if outcome is not None:
                    found.append((attempt.created_at_ns, outcome))
        return [outcome for _, outcome in sorted(found, key=lambda pair: pair[0])]

    def recorded(self, kind: OutboxKind) -> list[dict[str, Any]]:
        """What the journal has to ship of one kind."""
        return [row.payload for row in self.journal.outbox(10_000) if row.kind is kind]

    def _intents(self) -> list[Pubkey]:
        return list(
            dict.fromkeys(Pubkey.from_string(row["position"]) for row in self.recorded(OutboxKind.INTENT))
        )

    def on_chain(self, position: Position) -> Account | None:
        return self.ledger.account(position.address)
