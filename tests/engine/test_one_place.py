"""A position is in one place only: in line, in flight, cooling, failed. Random histories."""

from __future__ import annotations

import random
from collections import Counter
from contextlib import suppress

from rig import Rig
from simulated import Fate
from solders.account import Account
from solders.pubkey import Pubkey

from engine.chain.port import RpcFailure
from engine.commands import CommandError
from engine.liquidation.queue import Entry, Stage
from engine.protocol.addresses import SYSTEM_PROGRAM

SEEDS = range(4)
STEPS = 45
IN_LINE = frozenset({Stage.QUEUED, Stage.DECIDING})
IN_FLIGHT = frozenset({Stage.SIGNED, Stage.SENT, Stage.LANDED})
SOL = 10**9


def places(rig: Rig) -> dict[Pubkey, list[str]]:
    """Where each position is, told by whoever holds it there; more than one place is a fault."""
    found: dict[Pubkey, list[str]] = {}
    for entry in rig.parts.queue:
        if entry.stage not in IN_FLIGHT:
            found.setdefault(entry.address, []).append("in line" if entry.stage in IN_LINE else "cooling")
    for flight in rig.parts.tracker.flights:
        if not flight.is_owed:
            found.setdefault(flight.intent.position, []).append("in flight")
    for failed in rig.parts.failures.rows:
        found.setdefault(failed.position, []).append("failed")
    return found


def complaints(rig: Rig) -> list[str]:
    """What is wrong with how the parts hold the positions, in words."""
    queue, tracker, failures = rig.parts.queue, rig.parts.tracker, rig.parts.failures
    found = [f"{position} is {where}" for position, where in places(rig).items() if len(where) > 1]
    flights = [flight for flight in tracker.flights if not flight.is_owed]
    followed = {flight.intent.signature for flight in flights}
    open_signatures = {intent.signature for intent in rig.journal.open_intents()}
    found += [f"open, but not followed: {each}" for each in open_signatures - followed]
    found += [f"followed, but not open: {each}" for each in followed - open_signatures]
    positions = Counter(intent.position for intent in rig.journal.open_intents())
    found += [f"{count} open intents of {position}" for position, count in positions.items() if count > 1]
    for flight in flights:
        if queue.get(flight.intent.position) is not flight.entry or flight.entry.stage not in IN_FLIGHT:
            found.append(f"in flight without its entry: {flight.intent.position} {flight.entry.stage}")
    flying = {flight.intent.position for flight in flights}
    in_line = Counter(item[3].address for item in queue._heap if queue._is_in_line(item))
    for entry in queue:
        if entry.stage in IN_FLIGHT and entry.address not in flying:
            found.append(f"{entry.stage} without a flight: {entry.address}")
        if in_line[entry.address] != (entry.stage is Stage.QUEUED):
            found.append(f"{entry.stage}, {in_line[entry.address]} times in line: {entry.address}")
        if failures.is_resting(entry.address):
            found.append(f"resting, but {entry.stage}: {entry.address}")
    waiting = sum(entry.stage is Stage.WAITING for entry in queue)
    if waiting > rig.parts.executor._retries.waiting:
        found.append(f"{waiting} are cooling, {rig.parts.executor._retries.waiting} of them will come back")
    busy = sum(entry.stage is Stage.DECIDING for entry in queue)
    if busy > rig.parts.settings.workers + 1:
        found.append(f"{busy} are being decided by {rig.parts.settings.workers} workers")
    return found


class History:
    """Seeded doings of a market, a node, a wire, somebody else and an operator."""

    def __init__(self, rig: Rig, seed: int) -> None:
        self.rig = rig
        self.random = random.Random(seed)
        self.positions = [self._opened() for _ in range(10)]
        self.mark = 60_000.0
        self.cleared: list[tuple[Entry, Stage]] = []
        self.cooled_when_cleared = 0

    def _opened(self):
        return self.rig.open(collateral_e6=self.random.randrange(1_500, 4_000) * 10**6)

    async def step(self) -> None:
        usual = [self.price, self.price, self.trouble, self.wire, self.rival, self.open]
        seldom = [self.retry, self.dismiss, self.clear, self.stop_and_resume, self.restart, self.poverty]
        if not self.rig.gate.state.is_running and self.random.random() < 0.4:
            await self.stop_and_resume()
        doings = usual if self.random.random() < 0.7 else seldom
        await self.random.choice(doings)()
        await self.rig.settle()
        if any(entry.stage is Stage.WAITING for entry in self.rig.parts.queue) and self.random.random() < 0.3:
            await self.clear()

    async def price(self) -> None:
        self.mark = min(61_000.0, max(55_000.0, self.mark + self.random.uniform(-1_500, 1_000)))
        self.rig.keep_prices_fresh()
        self.rig.price("BTC/USD", self.mark)

    async def trouble(self) -> None:
        failing = self.rig.chain.faults.failing
        methods = (
            "accounts",
            "accounts",
            "statuses",
            "transaction",
            "block_height FINALIZED",
            "signatures_of",
        )
        failing.clear()
        if self.random.random() < 0.5:
            failing[self.random.choice(methods)] = RpcFailure("timeout", is_timeout=True)

    async def wire(self) -> None:
        fates = [Fate.DELIVER, Fate.DROP, Fate.REFUSE, Fate.TIME_OUT, Fate.BREAK]
        self.rig.wire.fates = self.random.choices(fates, k=4)

    async def rival(self) -> None:
        there = [each for each in self.positions if self.rig.on_chain(each) is not None]
        if there:
            self.rig.liquidate_first(self.random.choice(there), self.random.choice([None, 300_000]))

    async def open(self) -> None:
        self.positions.append(self._opened())

    async def retry(self) -> None:
        for failed in self.rig.parts.failures.rows[:3]:
            await self.rig.finish(self.rig.parts.commands.retry("ada", failed.liquidation_id))

    async def dismiss(self) -> None:
        for failed in self.rig.parts.failures.rows[:1]:
            await self.rig.finish(self.rig.parts.commands.dismiss("ada", failed.liquidation_id))

    async def clear(self) -> None:
        queue = self.rig.parts.queue
        stages = [(entry, entry.stage) for entry in queue]
        await self.rig.parts.commands.clear_queue("ada")
        gone = [(entry, stage) for entry, stage in stages if queue.get(entry.address) is not entry]
        self.cleared += gone
        self.cooled_when_cleared += sum(stage is Stage.WAITING for _, stage in gone)

    def came_back(self) -> list[str]:
        """Whoever was cleared may be found again, but as another entry: the old one stays as it was."""
        back = [entry.address for entry, stage in self.cleared if entry.stage is not stage]
        return [f"cleared, and back: {address}" for address in back]

    async def stop_and_resume(self) -> None:
        if self.rig.gate.state.is_running:
            await self.rig.finish(self.rig.parts.commands.stop("ada", "for a while"))
            return
        await self.rig.finish(self._resume())

    async def _resume(self) -> None:
        """Not while a check refuses it: the next one who comes tries again."""
        with suppress(CommandError):
            await self.rig.parts.commands.resume("bob", "go on", self.rig.gate.state.version)

    async def restart(self) -> None:
        self.rig.chain.faults.failing.clear()  # of a node that answers nothing no engine starts
        await self.rig.kill()
        self.rig.boot(RETRY_ATTEMPTS="3")
        await self.rig.start()

    async def poverty(self) -> None:
        lamports = self.random.choice([5_000, SOL, 10 * SOL, 10 * SOL])
        self.rig.ledger.set_account(self.rig.wallet.pubkey(), Account(lamports, b"", SYSTEM_PROGRAM))
        self.rig.tell(self.rig.wallet.pubkey())


async def run(rig: Rig, seed: int) -> Counter[str]:
    """One history, looked at after each of its steps; returns which places positions were in, how often."""
    rig.boot(RETRY_ATTEMPTS="3")
    await rig.start()
    history, seen = History(rig, seed), Counter[str]()
    for step in range(STEPS):
        await history.step()
        assert complaints(rig) + history.came_back() == [], f"seed {seed}, step {step}"
        seen.update(where for (where, *_) in places(rig).values())
        await rig.tick(history.random.choice([0, 1, 2, 35]))
        assert complaints(rig) + history.came_back() == [], f"seed {seed}, after step {step}"
    await rig.kill()
    seen["cleared while cooling"] = history.cooled_when_cleared
    return seen


async def test_a_position_is_in_one_place_only_whatever_happens(tmp_path):
    seen = Counter[str]()
    for seed in SEEDS:
        (tmp_path / str(seed)).mkdir()
        seen += await run(Rig(tmp_path / str(seed)), seed)
    everywhere = {"in line", "in flight", "cooling", "failed", "cleared while cooling"}
    assert {where for where, times in seen.items() if times} == everywhere, "each of them really happened"
