"""One process of the engine, from its start to its end or death, on a disk that the next one inherits."""

from __future__ import annotations

import asyncio
import contextlib
import copy
from collections.abc import Sequence
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING, Any

from solders.pubkey import Pubkey

from engine import alert_watch, control, runtime, watch
from engine.book import memory
from engine.book.leaf import LEAF_ROWS
from engine.chain import blockhash, lookout
from engine.chain import sender as sending
from engine.chain.jsonrpc import JsonRpc
from engine.chain.pool import RpcPool
from engine.chain.port import RpcFailure
from engine.chain.rpc import RpcReader
from engine.chain.sender import Sender
from engine.control import RUNNING, Gate, GateState
from engine.errors import OperatorError
from engine.journal import intent_log
from engine.journal.intent_log import IntentLog
from engine.journal.journal import Journal
from engine.parts import Parts
from engine.store import outbox
from engine.store.outbox import OutboxShipper
from engine.store.positions import PositionSampler
from engine.watch import Housekeeping
from sim.cluster import VALID_BLOCKS
from sim.database import ModelDatabase
from sim.disk import Disk, InlineExecutor, InlinePromptWriter, InlineWriter, VirtualClock
from sim.loop import VirtualLoop
from sim.network import Feed, Feeds, ModelLines, Network
from sim.nodes import GENESIS, Node

if TYPE_CHECKING:
    from sim.world import World

DEADLY = {  # how likely death is at an effect, at full intensity
    "journal before commit": 0.15,
    "journal after commit": 0.15,
    "socket before write": 0.3,
    "socket after write": 0.3,
    "answer to a send": 0.4,
    "thread before": 0.12,
    "thread after": 0.12,
    "database before commit": 0.2,
    "database after commit": 0.2,
    "answer": 0.005,
}

GOES_AHEAD = 0.75  # of the processes write intents ahead of the journal

_ONLY_SHOWN = ("loop_lag", "risks", "nodes")
_BY_FEEDS = ("confirmations",)  # the simulated feeds give these hints as well


def scale_process() -> None:
    """Set what the engine takes from its modules as a simulation needs it, for the rest of this process.

    What looks round all day and mostly finds nothing to do does so less often: a third of a run's work.
    """
    blockhash.VALID_BLOCKS = VALID_BLOCKS
    blockhash.LEAST_BLOCKS_LEFT = VALID_BLOCKS // 2  # half of a blockhash's life, as everywhere
    sending._WARM_UP_PAUSE_S = 1.2
    lookout.LOOK_S = 1.2  # three slots
    outbox.POLL_S = 0.4
    watch.PERIOD_S = 1.0
    watch.SLOW_TURNS = 8
    alert_watch.PERIOD_S = 15.0
    memory.SLAB_LEAVES = 32  # enough for two symbols; not room for a million positions
    memory._SLAB_ROWS = memory.SLAB_LEAVES * LEAF_ROWS
    intent_log.LOG_BYTES = 64 * 1024  # it is read as a whole at each start
    runtime.settle_beside = _settle_nothing


async def _settle_nothing() -> None:
    """The memory is that of thousands of engines, which share this process."""


class ProcessDied(BaseException):
    """Unwinds the frame in which death struck; nothing that it runs on its way has any effect."""


class Reader(RpcReader):
    """The engine's reader of a node, over a connection that leads into the model."""

    def __init__(
        self, url: str, deadline_s: float, session: Any, witness: Any, *, node: Node, life: Life
    ) -> None:
        super().__init__(url, deadline_s, None, witness)
        self._node = node
        self._rpc = _Line(node, life)  # type: ignore[assignment]  # it has the same one method

    def position_slices(self, program_id: Pubkey, min_slot: int) -> Any:
        """The model's snapshot."""
        return self._node.position_slices(program_id, min_slot)


class _Line(JsonRpc):
    """A node as one process asks it."""

    def __init__(self, node: Node, life: Life) -> None:
        self._node = node
        self._life = life

    async def call(self, method: str, params: Any, deadline_s: float) -> bytes:
        """One request."""
        answer = await self._node.call(method, params, deadline_s)
        self._life.reach("answer")
        return answer

    async def call_many(
        self, method: str, many: Sequence[Sequence[Any]], deadline_s: float
    ) -> list[bytes | RpcFailure]:
        """Several of them by one request."""
        answers = await self._node.call_many(method, many, deadline_s)
        self._life.reach("answer")
        return answers


class _Idle:
    """A loop of the engine that has nothing to do here."""

    async def run(self) -> None:
        """Nothing."""


class Life:
    """One process. `run` returns when it is dead, has ended, or the run is over."""

    def __init__(self, world: World, number: int, random: Random) -> None:
        self.world = world
        self.number = number
        self._random = random
        self.is_alive = True
        self.is_ready = False
        self.why_not_started = ""
        self.clock = VirtualClock(world.timeline)
        self.clock.skew_s = world.skew_s
        self.disk = Disk(
            world.plan, random, world.timeline, lambda: world.is_calm, self.reach, world.observer.count
        )
        control._write = self.disk.write_gate
        network = Network(
            world.nodes,
            random,
            world.cluster,
            world.timeline,
            world.observer,
            self.reach,
            world.observer.count,
        )
        self.loop = VirtualLoop(world.timeline, self.disk.run_inline, self.disk.delay_s, network)
        self.loop.set_exception_handler(self._on_exception)
        self.ending = asyncio.Event()
        self.parts: Parts | None = None
        self.shipper: OutboxShipper | None = None
        self.journal: Journal | None = None

    # --- death ---

    def reach(self, effect: str) -> None:
        """Something outside is about to happen or has happened; here the process may die."""
        if not self.is_alive:
            raise ProcessDied
        if effect == "news":
            return
        if effect != "answer":
            self.world.timeline.note(effect)
        intensity = self.world.plan.intensity("process dies")
        deadly = DEADLY.get(effect, 0.0) * intensity
        if deadly and not self.world.is_calm and self._random.random() < deadly:
            self.world.observer.count(f"death: {effect}")
            self.die()
            raise ProcessDied

    def die(self) -> None:
        """Nothing of this process happens any more."""
        self.world.observer.count("process dies")
        self.world.timeline.note("DEATH")
        self.is_alive = False
        self.loop.stop()

    def run(self, until_s: float) -> None:
        """Live."""
        self.loop.ends_at_s = until_s
        main = self.loop.create_task(self._live())
        main.add_done_callback(lambda _: self.loop.stop())
        try:
            self.loop.run_forever()
        finally:
            self.is_alive = False
            self._bury()
        if main.done() and not main.cancelled() and (error := main.exception()) is not None:
            self._on_end(error)

    def _on_end(self, error: BaseException) -> None:
        if isinstance(error, ProcessDied):
            return
        if isinstance(error, OperatorError | RpcFailure):
            self.why_not_started = str(error)
            self.world.observer.count("start refused")
            self.world.timeline.note(f"not started: {error}")
            return
        self.world.broke(error)

    def _bury(self) -> None:
        """Leave what was not committed behind; the tasks stay where they are."""
        if self.journal is not None:
            self.journal._writer.abandon()  # type: ignore[attr-defined]  # an InlineWriter
            self.journal._close_readers()
            ahead = self.journal._intake._ahead
            if isinstance(ahead, InlinePromptWriter):
                ahead.abandon()
        self.loop.close()
        for task in self.loop.unfinished_tasks():
            task._log_destroy_pending = False  # type: ignore[attr-defined]
            # Closed here and now, and not whenever the collector comes by in the middle of another life.
            with self.world.not_heard(), contextlib.suppress(BaseException):
                task.get_coro().close()  # type: ignore[union-attr]
        # They would be compared with every later task of their number, until the collector comes by.
        asyncio.tasks._all_tasks.clear()  # type: ignore[attr-defined]

    def _on_exception(self, loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        error = context.get("exception")
        if self.is_alive and error is not None and not isinstance(error, ProcessDied):
            self.world.broke(error)

    # --- life ---

    async def _live(self) -> None:
        """As engine.runtime.run_engine, with the world in place of sockets, threads and PostgreSQL."""
        world, settings = self.world, self.world.settings
        pool = RpcPool(settings.rpc_urls, runtime._limits(settings), self.clock, self._make_reader)
        await pool.__aenter__()
        genesis = await pool.genesis_hash()
        assert genesis == GENESIS
        identity = f"{genesis}/{world.signer.address}/{settings.program_id}"
        self.journal = Journal.open(
            world.home / "journal.db",
            identity,
            self.clock.now_ns,
            self._make_writer,
            self._make_ahead if self._random.random() < GOES_AHEAD else None,
        )
        world.observer.recovered(self.journal.open_intents(), self.journal.found_ahead)
        gate = Gate.load(
            world.gate_file,
            self.clock,
            first_start=GateState(1, RUNNING, "engine", self.clock.now_ns(), "first start"),
            has_history=self.journal.last_seq > 0,
            standing_stop=world.standing_stop,
            disk=InlineExecutor(self.disk, self.loop.call_later),
        )
        world.operator.on_gate_loaded(gate)
        await runtime._record_standing_stop(world.standing_stop, self.journal, self.clock)
        database = ModelDatabase(
            world.tables,
            world.plan,
            self._random,
            world.timeline,
            lambda: world.is_calm,
            self.reach,
            world.observer.count,
        )
        self.shipper = OutboxShipper(self.journal, database, self.clock)  # type: ignore[arg-type]
        sender = Sender(
            pool.healthy,
            gate,
            self.clock,
            settings.rpc_timeout_s,
            fan_out=settings.send_to_nodes,
            ready=1,
            lines=ModelLines(),
        )
        await sender.__aenter__()
        parts = Parts(
            settings=settings,
            signer=world.signer,
            chain=pool,
            wire=sender,
            journal=self.journal,
            gate=gate,
            shipping=self.shipper,
            clock=self.clock,
            profile="simulation",
            cluster="simulated",
            version="0",
            ask_to_end=self.ending.set,
            forget_standing_stop=lambda: world.standing_stop.unlink(missing_ok=True),
            make_ids=world.make_ids,
        )
        parts.commands.emergency.belong_to(self.loop)
        # What only draws pictures costs a third of a run, and decides nothing.
        idle = {name: _Idle() for name in (*_ONLY_SHOWN, *_BY_FEEDS)}
        self.parts = copy.copy(parts)
        vars(self.parts).update(feed=self._feeds(parts), **idle)  # where a part is once it is made
        engine = runtime.RunningEngine(self.parts, self.shipper)
        sampler = PositionSampler(database, identity, self.clock)  # type: ignore[arg-type]
        housekeeping = Housekeeping(self.parts, sampler, world.standing_stop)
        lull = self.parts.lull
        loops = [self.shipper.run(lull), sampler.run(lull), housekeeping.run()]
        await runtime._serve(engine, loops, self.ending, self._on_ready)
        await self.journal.close()
        world.observer.count("process ended in order")

    def _on_ready(self, engine: runtime.RunningEngine) -> None:
        self.is_ready = True
        self.world.timeline.note("ready")

    def _make_reader(self, url: str, deadline_s: float, session: Any, witness: Any) -> RpcReader:
        return Reader(url, deadline_s, session, witness, node=self.world.nodes[url], life=self)

    def _make_writer(self, path: Path, deadline_s: float) -> InlineWriter:
        return InlineWriter(path, deadline_s, self.disk, self.world.observer.committed)

    def _make_ahead(self, log: IntentLog) -> InlinePromptWriter:
        return InlinePromptWriter(log, self.disk, self.world.observer.opened)

    def _feeds(self, parts: Parts) -> Feeds:
        world = self.world
        watched = frozenset(parts.ingest.watched)
        return Feeds(
            [
                Feed(
                    node,
                    world.plan,
                    self._random,
                    world.cluster,
                    world.timeline,
                    world.listener(parts.ingest),
                    watched,
                    parts.tracker.hear,
                    self.reach,
                    world.observer.count,
                )
                for node in list(world.nodes.values())[:2]
            ]
        )
