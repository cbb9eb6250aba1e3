"""Keeps an eye on the endpoints: which cluster they are of, and how far each of them is."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import structlog

from engine.chain.clusters import cluster_name
from engine.chain.endpoint import FAILURES_IN_A_ROW, Endpoint, Horizon, State
from engine.chain.port import MIN_CONTEXT_SLOT_NOT_REACHED, RpcFailure
from engine.chain.rise import SLACK
from engine.clock import Clock
from engine.errors import WrongCluster

log = structlog.get_logger("chain")

LOOK_S = 0.4  # a slot
LOOK_DEADLINE_S = 0.5
FAR_LOOK_DEADLINE_S = 2.0
MEET_AGAIN_S = 60.0
FOREIGN_AGAIN_S = 10.0
UNREACHED_S = 10.0
RISING_S = 2.0


_TELLING = (State.OK, State.BEHIND, State.STILL)
_HEARD = (*_TELLING, State.DISTRUSTED)


class Lookout:
    """Looks at every endpoint once a slot; one that was away tells its cluster before it is used again."""

    def __init__(
        self, nodes: Sequence[Endpoint], horizon: Horizon, clock: Clock, genesis_hash: str | None
    ) -> None:
        self._nodes = nodes
        self._horizon = horizon
        self._clock = clock
        self._expected = genesis_hash
        self._met_ns: dict[Endpoint, int] = {}

    async def meet(self, deadline_s: float) -> str:
        """The cluster that the endpoints are of: the expected one, or that of the first in the settings.

        Without an expected one, and with the first not answering, the others have to agree. Raises
        WrongCluster, or RpcFailure when nobody answers.
        """
        failures = await asyncio.gather(*(self._meet(node, deadline_s) for node in self._nodes))
        known = [node for node in self._nodes if node.genesis is not None]
        if not known:
            raise next(failure for failure in failures if failure is not None)
        if self._expected is None:
            if self._nodes[0].genesis is None and len({node.genesis for node in known}) > 1:
                raise WrongCluster(
                    f"The RPC endpoints are of different clusters ({_clusters_of(known)}) and "
                    f"{self._nodes[0].name}, the first, does not answer: set SOLANA_GENESIS_HASH, or take "
                    "the wrong ones out of SOLANA_RPC_URL"
                )
            self._expected = known[0].genesis
        for node in known:
            self._judge_cluster(node)
        if all(node.is_foreign for node in known):
            raise WrongCluster(
                f"Every RPC endpoint that answers is of another cluster ({_clusters_of(known)}) than "
                "SOLANA_GENESIS_HASH says: correct SOLANA_RPC_URL or SOLANA_GENESIS_HASH"
            )
        assert self._expected is not None
        return self._expected

    async def run(self) -> None:
        """Look once a slot; ends only by cancellation."""
        async with asyncio.TaskGroup() as looking:
            for node in self._nodes:
                looking.create_task(self._keep_looking_at(node))

    async def look(self) -> None:
        """One look at every endpoint that may be asked."""
        await asyncio.gather(*(self._look_at(node) for node in self._nodes))

    async def _keep_looking_at(self, node: Endpoint) -> None:
        """Each endpoint at its own pace: one that does not answer must not delay the look at others."""
        while True:
            await self._clock.sleep(LOOK_S)
            try:
                await self._look_at(node)
            except Exception:
                # A fault of ours must not leave the engine with what was known of its nodes at that time.
                log.exception("looking after a node broke", node=node.name)

    async def _look_at(self, node: Endpoint) -> None:
        await self._ask_what_is_due(node)
        self._expose_lone_leader()
        self._give_up_what_nobody_reaches()
        self._expose_odd_heights()

    async def _ask_what_is_due(self, node: Endpoint) -> None:
        now_ns = self._clock.monotonic_ns()
        state = node.state
        if state is State.RESTING or not node.budget.take(keep_reserve=False):
            return
        met_ago_s = (now_ns - self._met_ns[node]) / 1e9 if node in self._met_ns else None
        again_s = FOREIGN_AGAIN_S if node.is_foreign else MEET_AGAIN_S
        if node.must_be_met or met_ago_s is None or met_ago_s >= again_s:
            if await self._meet(node, FAR_LOOK_DEADLINE_S) is not None:
                return
            self._judge_cluster(node)
        if not node.is_foreign:
            await self._probe(node)

    async def _probe(self, node: Endpoint) -> None:
        """Its slot; one that is far away has more time to tell."""
        p99_ns = node.latency_ns(99)
        is_far = p99_ns is not None and p99_ns > LOOK_DEADLINE_S * 5e8
        started_ns = self._clock.monotonic_ns()
        try:
            await node.reader.progress(FAR_LOOK_DEADLINE_S if is_far else LOOK_DEADLINE_S)
        except RpcFailure as failure:
            if failure.code != MIN_CONTEXT_SLOT_NOT_REACHED:
                # A look is light: a node that lets it wait lets everything wait.
                node.failed(failure, weight=FAILURES_IN_A_ROW if failure.is_timeout else 1)
                return
        node.answered(self._clock.monotonic_ns() - started_ns)

    async def _meet(self, node: Endpoint, deadline_s: float) -> RpcFailure | None:
        """Ask for its genesis hash; returns the failure when it does not tell."""
        try:
            node.genesis = await node.reader.genesis_hash(deadline_s)
        except RpcFailure as failure:
            node.failed(failure)
            return failure
        self._met_ns[node] = self._clock.monotonic_ns()
        node.must_be_met = False
        return None

    def _judge_cluster(self, node: Endpoint) -> None:
        node.is_foreign = node.genesis != self._expected

    def _expose_lone_leader(self) -> None:
        """Of three or more, one that is far ahead of all others, who agree, has made its slot up."""
        peers = sorted(
            (node for node in self._nodes if node.slot and node.state in _TELLING),
            key=lambda node: node.slot,
        )
        if len(peers) < 3:
            return
        *_, before, second, leader = peers
        if leader.slot > second.slot + SLACK and second.slot - before.slot <= SLACK:
            what = f"it tells slot {leader.slot} where the others tell {second.slot}"
            leader.slot = 0
            self._horizon.slots.begin_anew(second.slot)
            self._horizon.blocks.begin_anew(max(0, second.slot - (second.skipped_slots or 0)))
            for node in peers:
                node.begin_anew()
                node.behind_slots = max(0, second.slot - node.slot)
            leader.lied(what)

    def _give_up_what_nobody_reaches(self) -> None:
        """A newest slot far above what everybody tells, for long, while slots go on below it, was made up.

        The first answer of all has nothing to be measured by: without this, one lie in it would have every
        true answer taken for an old one, until the cluster gets there.
        """
        slots = self._horizon.slots
        if slots.rested_s < UNREACHED_S:
            return
        now_ns = self._clock.monotonic_ns()
        rising = [node.told_slot for node in self._nodes if now_ns - node.told_more_ns < RISING_S * 1e9]
        newest = max(rising, default=0)
        if newest and newest + SLACK < slots.value:
            log.warning("the newest slot was made up", slot=slots.value, told_now=newest)
            slots.begin_anew(newest)
            self._horizon.blocks.begin_anew(0)
            for node in self._nodes:
                node.begin_at(newest)

    def _expose_odd_heights(self) -> None:
        """How many slots brought no block is the same for all: whoever is against most has made it up.

        One that told a wrong height first must not make the others look like liars.
        """
        told = [
            (node, node.skipped_slots)
            for node in self._nodes
            if node.skipped_slots is not None and node.state in _HEARD
        ]
        groups = [[each for each in told if abs(each[1] - skipped) <= SLACK] for _, skipped in told]
        most = max(groups, key=len, default=[])
        if len(most) == len(told) or 2 * len(most) <= len(told):
            return
        skipped = most[0][1]
        for node, odd in told:
            if abs(odd - skipped) > SLACK:
                node.lied(f"it tells of {odd} slots without a block where the others tell of {skipped}")
                node.skipped_slots = None
        self._horizon.blocks.begin_anew(max(0, self._horizon.slots.value - skipped))
        for node, _ in most:
            node.begin_anew()


def _clusters_of(nodes: Sequence[Endpoint]) -> str:
    return ", ".join(f"{node.name}: {cluster_name(node.genesis or '')} {node.genesis}" for node in nodes)
