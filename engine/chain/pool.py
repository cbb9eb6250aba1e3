"""Several RPC endpoints as one cluster: whoever is current answers, and if it does not, another one."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Self, TypeVar

import structlog
from solders.pubkey import Pubkey
from solders.signature import Signature

from engine.chain.census import Census
from engine.chain.endpoint import (
    Endpoint,
    Horizon,
    MakeReader,
    State,
    names_of,
)
from engine.chain.jsonrpc import Session
from engine.chain.lookout import Lookout
from engine.chain.port import (
    MIN_CONTEXT_SLOT_NOT_REACHED,
    AccountRead,
    EndpointReport,
    FreshBlockhash,
    LandedTransaction,
    Level,
    PositionSlice,
    RpcFailure,
    SignatureStatus,
    Simulation,
)
from engine.chain.rpc import RpcReader
from engine.chain.testimony import Testimony
from engine.clock import Clock

log = structlog.get_logger("chain")

R = TypeVar("R")
Ask = Callable[[RpcReader], Awaitable[R]]

SLOW_NS = 250_000_000
MUCH_SLOWER = 4
POOR_ERROR_PERMILLE = 100
NOTICEABLY_BEHIND_SLOTS = 2
SNAPSHOT_REST_NS = 60 * 10**9


@dataclass(frozen=True, slots=True)
class PoolLimits:
    """The operator's settings of a pool; `requests_per_s` has one entry for each URL."""

    requests_per_s: Sequence[int]
    deadline_s: float = 5.0
    max_behind_slots: int = 5
    genesis_hash: str | None = None


class RpcPool:
    """The engine's `Chain` over endpoints, in the order of the settings. Use as an async context manager."""

    def __init__(
        self,
        urls: Sequence[str],
        limits: PoolLimits,
        clock: Clock,
        make_reader: MakeReader = RpcReader,
    ) -> None:
        self._urls = list(urls)
        self._make_reader = make_reader
        self._limits = limits
        self._clock = clock
        self._horizon = Horizon(clock, limits.max_behind_slots)
        self._statuses_slot = 0  # the newest slot at which statuses were told
        self._census = Census()
        self._testimony = Testimony(self.healthy, self._attempt)
        self._session: Session | None = None
        self._watch: asyncio.Task[None] | None = None
        self.nodes: list[Endpoint] = []
        self._lookout = Lookout(self.nodes, self._horizon, clock, limits.genesis_hash)

    async def __aenter__(self) -> Self:
        self._session = Session()
        for name, url, per_s in zip(
            names_of(self._urls), self._urls, self._limits.requests_per_s, strict=True
        ):
            self.nodes.append(
                Endpoint(
                    name,
                    url,
                    self._session,
                    self._horizon,
                    self._clock,
                    requests_per_s=per_s,
                    deadline_s=self._limits.deadline_s,
                    make_reader=self._make_reader,
                )
            )
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._watch is not None:
            self._watch.cancel()
            await asyncio.gather(self._watch, return_exceptions=True)
        if self._session is not None:
            self._session.close()

    # --- how it stands ---

    def is_current(self) -> bool:
        """Whether an endpoint is there on which things can be decided."""
        return any(node.state is State.OK for node in self.nodes)

    def why_not_current(self) -> str:
        """What is wrong with each endpoint; empty while one is current."""
        if self.is_current():
            return ""
        return "; ".join(f"{node.name} {node.state.value}: {node.why()}" for node in self.nodes)

    def tip(self) -> int:
        """The newest slot that was believed."""
        return self._horizon.slots.value

    def block_tip(self) -> int:
        """The highest block height that was believed, 0 before the first."""
        return self._horizon.blocks.value

    def endpoints(self) -> list[EndpointReport]:
        """How each endpoint stands, in the order of the settings."""
        return [node.report() for node in self.nodes]

    def disputes(self) -> list[str]:
        """In words: transactions of ours about which endpoints contradict each other; they are held."""
        return self._testimony.disputes

    def healthy(self) -> list[Endpoint]:
        """The endpoints to use, best first. Those that only fail are the last resort, lagging ones never."""
        states = [(node, node.state) for node in self.nodes]
        good = [node for node, state in states if state is State.OK]
        if not good:
            good = [node for node, state in states if state is State.FAILING and not self._is_behind(node)]
        if len(good) < 2:
            return good
        p95s = [p95 for node in good if (p95 := node.latency_ns(95)) is not None]
        fastest_ns = min(p95s, default=0)
        return sorted(good, key=lambda node: self._demerits(node, fastest_ns))

    def _demerits(self, node: Endpoint, fastest_ns: int) -> int:
        """What speaks against asking it first; equals keep the order of the settings."""
        p95_ns = node.latency_ns(95) or 0
        return (
            (node.error_permille > POOR_ERROR_PERMILLE)
            + (node.behind_slots > NOTICEABLY_BEHIND_SLOTS)
            + (p95_ns > SLOW_NS and p95_ns > MUCH_SLOWER * fastest_ns)
        )

    def _is_behind(self, node: Endpoint) -> bool:
        return node.behind_slots > self._limits.max_behind_slots

    # --- reads ---

    async def genesis_hash(self) -> str:
        """Meet the endpoints and watch them from now on: the identity of their cluster.

        Raises WrongCluster when none is of it, RpcFailure when none answers.
        """
        genesis = await self._lookout.meet(self._limits.deadline_s)
        if self._watch is None:
            await self._lookout.look()
            self._watch = asyncio.create_task(self._lookout.run())
        return genesis

    async def slot(self) -> int:
        """The current slot at processed."""
        return await self._ask(lambda reader: reader.slot())

    async def block_height(self, level: Level) -> int:
        """The block height at a commitment level."""
        return await self._ask(lambda reader: reader.block_height(level))

    async def account(self, address: Pubkey, level: Level = Level.PROCESSED) -> AccountRead:
        """One account."""
        return await self._ask(lambda reader: reader.account(address, level))

    async def accounts(self, addresses: Sequence[Pubkey]) -> list[AccountRead]:
        """Up to a hundred accounts at processed, in the order asked for."""
        return await self._ask(lambda reader: reader.accounts(addresses), is_hot=True)

    async def latest_blockhash(self) -> FreshBlockhash:
        """A blockhash at confirmed."""
        return await self._ask(lambda reader: reader.latest_blockhash(), is_hot=True)

    async def statuses(
        self, signatures: Sequence[Signature], *, search_history: bool, above_height: int | None = None
    ) -> list[SignatureStatus | None]:
        """The status of each signature, None where no node that has come far enough knows it."""
        if above_height is not None:
            return await self._statuses_of_all(signatures, above_height)
        return await self._ask(
            lambda reader: self._statuses_of_one(reader, signatures, search_history=search_history),
            is_hot=True,
        )

    async def _statuses_of_one(
        self, reader: RpcReader, signatures: Sequence[Signature], *, search_history: bool
    ) -> list[SignatureStatus | None]:
        """What is unknown to a node that is behind an earlier answer may be known by now: it is no answer."""
        slot, statuses = await reader.statuses_at(signatures, search_history=search_history)
        if slot < self._statuses_slot and None in statuses:
            raise RpcFailure(
                f"the node tells statuses of slot {slot}, after {self._statuses_slot}",
                code=MIN_CONTEXT_SLOT_NOT_REACHED,
            )
        self._statuses_slot = max(self._statuses_slot, slot)
        return await self._testimony.weigh(
            self._node_of(reader), slot, signatures, statuses, history_searched=search_history
        )

    def _node_of(self, reader: RpcReader) -> Endpoint:
        return next(node for node in self.nodes if node.reader is reader)

    async def _statuses_of_all(
        self, signatures: Sequence[Signature], above_height: int
    ) -> list[SignatureStatus | None]:
        """Ask every current endpoint: one that knows a signature is believed before all that do not.

        None needs each of those that answer to have finalized what is above the height. So neither one that
        lags nor one that makes heights up can have a transaction taken for expired that may still land. As
        long as those that are not believed are as many, they have a say too: it may be them who are right.
        """
        nodes = self.healthy()
        doubted = [node for node in self.nodes if node.state is State.DISTRUSTED]
        if len(doubted) >= len(nodes):
            nodes = [*nodes, *doubted]
        answers = await asyncio.gather(
            *(
                self._attempt(
                    node,
                    lambda reader: reader.statuses(
                        signatures, search_history=True, above_height=above_height
                    ),
                )
                for node in nodes
            ),
            return_exceptions=True,
        )
        told = [answer for answer in answers if not isinstance(answer, BaseException)]
        failures = [answer for answer in answers if isinstance(answer, BaseException)]
        best = self._testimony.of_all(told)
        for failure in failures:
            if not isinstance(failure, RpcFailure) or not told or (None in best and _objects(failure)):
                raise failure
        if not told:
            raise RpcFailure(self._nobody())
        return best

    async def transaction(self, signature: Signature, level: Level) -> LandedTransaction | None:
        """A landed transaction at CONFIRMED or FINALIZED; a final one only if its status says the same."""
        if level is not Level.FINALIZED:
            return await self._ask(lambda reader: reader.transaction(signature, level))
        if not self._testimony.is_final(signature):
            (status,) = await self.statuses([signature], search_history=True)
            if status is None or status.level is not Level.FINALIZED:
                return None
        return await self._ask(lambda reader: self._final_transaction(reader, signature))

    async def _final_transaction(self, reader: RpcReader, signature: Signature) -> LandedTransaction | None:
        landed = await reader.transaction(signature, Level.FINALIZED)
        self._testimony.hear(self._node_of(reader), signature, landed)
        return landed

    async def final_transactions(self, signatures: Sequence[Signature]) -> dict[Signature, LandedTransaction]:
        """Of these finalized transactions those that one endpoint tells by one request, perhaps none."""
        final = [each for each in signatures if self._testimony.is_final(each)]
        if not final:
            return {}
        return await self._ask(lambda reader: self._final_together(reader, final), is_timed=False)

    async def _final_together(
        self, reader: RpcReader, signatures: Sequence[Signature]
    ) -> dict[Signature, LandedTransaction]:
        node = self._node_of(reader)
        asked = signatures[: node.room_for(len(signatures))]
        if len(asked) < 2:
            return {}
        try:
            told = await reader.transactions(asked, Level.FINALIZED)
        except RpcFailure:
            node.ask_singly()
            raise
        for signature, landed in told.items():
            self._testimony.hear(node, signature, landed)
        return told

    async def simulate(self, raw: bytes, watched: Sequence[Pubkey]) -> Simulation:
        """What a transaction would do now, with a blockhash of the node's own and no signature checked."""
        return await self._ask(lambda reader: reader.simulate(raw, watched))

    async def signatures_of(
        self, address: Pubkey, *, before: Signature | None, limit: int
    ) -> list[Signature]:
        """Signatures that name an address, newest first, at finalized."""
        return await self._ask(lambda reader: reader.signatures_of(address, before=before, limit=limit))

    async def balance(self, address: Pubkey) -> int:
        """Lamports of an account at processed."""
        return await self._ask(lambda reader: reader.balance(address))

    async def recent_priority_fees(self, writable: Sequence[Pubkey]) -> list[int]:
        """Recently paid priority fees in micro-lamports per compute unit."""
        return await self._ask(lambda reader: reader.recent_priority_fees(writable))

    async def position_slices(self, program_id: Pubkey, min_slot: int) -> AsyncIterator[PositionSlice]:
        """Every account of the program that starts with the position discriminator, from one endpoint.

        One that broke off, or lacks most of them, is the last to be asked for the next snapshot.
        """
        node = min(self.healthy(), key=self._rests_from_snapshots, default=None)
        if node is None:
            raise RpcFailure(self._nobody())
        node.charge()
        count = 0
        try:
            async for part in node.reader.position_slices(program_id, min_slot):
                count += len(part[0])
                yield part
        except RpcFailure as failure:
            node.snapshot_failed_ns = self._clock.monotonic_ns()
            node.failed(failure)
            raise
        before = self._census.taken
        if not self._census.takes(count):
            node.snapshot_failed_ns = self._clock.monotonic_ns()
            raise RpcFailure(f"{node.name} tells {count} positions where there were {before}: read again")
        node.snapshot_failed_ns = None

    def _rests_from_snapshots(self, node: Endpoint) -> bool:
        failed_ns = node.snapshot_failed_ns
        return failed_ns is not None and self._clock.monotonic_ns() - failed_ns < SNAPSHOT_REST_NS

    # --- asking one after another ---

    async def _ask(self, ask: Ask[R], *, is_hot: bool = False, is_timed: bool = True) -> R:
        """Ask the best endpoint, the next when it fails or keeps us waiting; the first good answer wins.

        What is not `is_timed` takes longer than other reads, and says nothing of how quick a node is.
        """
        tried: dict[Endpoint, int] = {}  # and when
        running: dict[asyncio.Task[R], Endpoint] = {}
        failure: RpcFailure | None = None
        try:
            while True:
                node = await self._next(tried, is_hot=is_hot, may_wait=not running)
                if node is None and not running:
                    raise failure or RpcFailure(self._nobody())
                if node is not None:
                    tried[node] = self._clock.monotonic_ns()
                    if len(self.nodes) == 1:
                        return await self._attempt(node, ask, is_timed=is_timed)
                    running[asyncio.create_task(self._attempt(node, ask, is_timed=is_timed))] = node
                patience_s = None if node is None else node.patience_s(is_hot=is_hot)
                for task in await self._first_of(running, patience_s):
                    answerer = running.pop(task)
                    error = task.exception()
                    if error is None:
                        self._note_overtaken(tried, answerer, running)
                        return task.result()
                    if not isinstance(error, RpcFailure):
                        raise error
                    failure = error
        finally:
            for task in running:
                task.cancel()
            if running:  # one may have failed in the moment in which another answered
                await asyncio.gather(*running, return_exceptions=True)

    async def _attempt(self, node: Endpoint, ask: Ask[R], *, is_timed: bool = True) -> R:
        started_ns = self._clock.monotonic_ns()
        try:
            answer = await ask(node.reader)
        except RpcFailure as failure:
            node.failed(failure)
            raise
        node.answered(self._clock.monotonic_ns() - started_ns if is_timed else None)
        return answer

    async def _next(self, tried: Collection[Endpoint], *, is_hot: bool, may_wait: bool) -> Endpoint | None:
        """The best endpoint that was not asked yet and has a request left; waits for one if there is none."""
        waited_s = 0.0
        while True:
            nodes = [node for node in self.healthy() if node not in tried]
            for node in nodes:
                if node.budget.take(keep_reserve=not is_hot):
                    return node
            if not nodes or not may_wait:
                return None
            pause_s = min(node.budget.wait_s(keep_reserve=not is_hot) for node in nodes)
            waited_s += pause_s
            if waited_s > self._limits.deadline_s:
                raise RpcFailure("the request budget of every node is spent; raise RPC_REQUESTS_PER_S")
            await self._clock.sleep(pause_s)

    async def _first_of(
        self, running: dict[asyncio.Task[R], Endpoint], patience_s: float | None
    ) -> list[asyncio.Task[R]]:
        """Whatever is done first; nothing when patience ends before."""
        if patience_s is None:
            await asyncio.wait(running, return_when=asyncio.FIRST_COMPLETED)
        else:
            timer = asyncio.ensure_future(self._clock.sleep(patience_s))
            try:
                await asyncio.wait({*running, timer}, return_when=asyncio.FIRST_COMPLETED)
            finally:
                timer.cancel()
        return [task for task in running if task.done()]

    def _note_overtaken(
        self, tried: Mapping[Endpoint, int], answerer: Endpoint, running: Mapping[asyncio.Task[R], Endpoint]
    ) -> None:
        now_ns = self._clock.monotonic_ns()
        for node in running.values():
            if tried[node] < tried[answerer]:
                node.overtaken(now_ns - tried[node])

    def _nobody(self) -> str:
        return f"no node can be asked: {self.why_not_current() or 'none is left'}"


def _objects(failure: RpcFailure) -> bool:
    """Whether a node says that it is too early to tell; one that says nothing has no objection."""
    return failure.code == MIN_CONTEXT_SLOT_NOT_REACHED
