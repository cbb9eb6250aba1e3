"""One RPC endpoint as the pool sees it: how far it is, how well it answers, and whether it is used."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from enum import Enum
from urllib.parse import urlsplit

import structlog

from engine.chain.budget import Budget
from engine.chain.jsonrpc import Session
from engine.chain.port import (
    MIN_CONTEXT_SLOT_NOT_REACHED,
    NODE_UNHEALTHY,
    EndpointReport,
    Level,
    LyingNode,
    RpcFailure,
)
from engine.chain.rise import SLACK, Rise
from engine.chain.rpc import RpcReader, Witness
from engine.clock import Clock

log = structlog.get_logger("chain")

STILL_S = 5.0  # twelve slots: a cluster that makes none for so long is in trouble, or the node is
DISTRUST_S = 10.0  # for the first lie; twice as long for each one that follows
LONGEST_DISTRUST_S = 160.0
FORGIVEN_AFTER_S = 600.0
UNHEALTHY_S = 1.0
FAILURES_IN_A_ROW = 3
OVERTAKEN_IN_A_ROW = 5  # in half a second without an answer: one that is only slow gives some
RECENT_CALLS = 20
WORST_ERROR_PERMILLE = 500
LATENCIES = 200
ENOUGH_LATENCIES = 20
FIRST_PATIENCE_S = 0.1  # before there are latencies to go by
LONGEST_PATIENCE_S = 0.5
SHORTEST_PATIENCE_S = 0.01
VALID_BLOCKS = 150  # the life of a blockhash
SINGLY_S = 60.0  # a node that took no request for many is asked for one at a time

MakeReader = Callable[[str, float, Session, Witness], RpcReader]


class State(Enum):
    """Whether an endpoint is used; only OK ones are, and FAILING ones when nothing else is left."""

    OK = "ok"
    BEHIND = "behind"
    STILL = "still"
    FAILING = "failing"
    RESTING = "resting"
    DISTRUSTED = "distrusted"
    FOREIGN = "foreign"
    UNMET = "unmet"


class Horizon:
    """What all endpoints together have shown: newest slot, highest block; and what is too far behind."""

    def __init__(self, clock: Clock, max_behind_slots: int) -> None:
        self.slots = Rise(clock)
        self.blocks = Rise(clock)
        self.max_behind_slots = max_behind_slots


class Endpoint:
    """One URL with its reader. It is the witness of that reader: what its answers say is judged here."""

    def __init__(
        self,
        name: str,
        url: str,
        session: Session,
        horizon: Horizon,
        clock: Clock,
        *,
        requests_per_s: int,
        deadline_s: float,
        make_reader: MakeReader = RpcReader,
    ) -> None:
        self.name = name
        self.url = url
        self.reader = make_reader(url, deadline_s, session, self)
        self.budget = Budget(requests_per_s, clock)
        self.genesis: str | None = None
        self.is_foreign = False
        self.must_be_met = True  # its genesis hash is asked for before it is used (again)
        self.slot = 0
        self.behind_slots = 0
        self.heard_ns = 0  # when an answer last told its slot
        self.told_slot = 0  # by that answer, however far behind
        self.told_more_ns = 0  # when it last told a later slot than before
        self.snapshot_failed_ns: int | None = None
        self.last_failure = "has not answered yet"
        self._horizon = horizon
        self._clock = clock
        self._progress_ns = clock.monotonic_ns()
        self._resting_until_ns = 0
        self._singly_until_ns = 0
        self._distrusted_until_ns = 0
        self._distrust_s = DISTRUST_S
        self._lie = ""
        self._lies_of_blocks = False
        self.skipped_slots: int | None = None  # as it last told: its slot less its block height
        self._highest = dict.fromkeys(Level, 0)  # the highest block that it told, by level
        self._answered_ns = 0
        self._failures_in_a_row = 0
        self._overtaken_in_a_row = 0
        self.error_permille = 0  # how many of a thousand calls failed, by the last twenty
        self._recent: deque[bool] = deque(maxlen=RECENT_CALLS)
        self._latencies_ns: deque[int] = deque(maxlen=LATENCIES)
        self._sorted_ns: list[int] = []

    # --- what its answers say ---

    def floor(self) -> int | None:
        """The oldest slot that is still good enough."""
        newest = self._horizon.slots.value
        return max(0, newest - self._horizon.max_behind_slots) if newest else None

    def saw_slot(self, slot: int, level: Level) -> None:
        """Judge the slot of an answer; raises RpcFailure when it is made up, or too old for its level."""
        if not self._horizon.slots.believes(slot):
            raise self.lied(f"it answered for slot {slot}, {slot - self._horizon.slots.value} ahead of all")
        if level is not Level.PROCESSED:
            return
        self._horizon.slots.note(slot)
        now_ns = self._clock.monotonic_ns()
        self.heard_ns = now_ns
        if slot > self.told_slot:
            self.told_more_ns = now_ns
        self.told_slot = slot
        if slot > self.slot:
            self.slot, self._progress_ns = slot, now_ns
        self.behind_slots = max(0, self._horizon.slots.value - self.slot)
        if slot < self._horizon.slots.value - self._horizon.max_behind_slots:
            behind = self._horizon.slots.value - slot
            raise RpcFailure(f"the node is {behind} slots behind", code=MIN_CONTEXT_SLOT_NOT_REACHED)

    def saw_progress(self, slot: int, height: int) -> None:
        """Judge a slot and the number of blocks up to it; raises RpcFailure when one of them is made up."""
        self.skipped_slots = slot - height
        self.saw_slot(slot, Level.PROCESSED)
        self.saw_height(height, Level.PROCESSED)

    def saw_height(self, height: int, level: Level) -> None:
        """Judge a block height; raises RpcFailure when it is made up. Blocks are never more than slots.

        Heights of one URL may go back by a few: there can be several nodes behind it.
        """
        newest = self._horizon.slots.value
        if newest and self._horizon.blocks.value > newest + SLACK:
            # Told before any slot was known, and believed: true heights must not look like lies beside it.
            self._horizon.blocks.begin_anew(0)
            self._highest = dict.fromkeys(Level, 0)
        if not self._horizon.blocks.believes(height) or (newest and height > newest + SLACK):
            raise self._lied_of_blocks(f"it told block height {height} at slot {newest}")
        reached = self._highest[level]
        if height < reached - SLACK:
            raise self._lied_of_blocks(f"it told block height {height} after {reached}")
        self._highest[level] = max(height, self._highest[level])
        if level is Level.PROCESSED:
            self._horizon.blocks.note(height)

    def saw_validity(self, last_valid_block_height: int) -> None:
        """Judge a blockhash's last block; raises RpcFailure when it is over, or further than one can live."""
        highest = self._horizon.blocks.value
        if highest and not highest <= last_valid_block_height <= highest + 2 * VALID_BLOCKS:
            raise self._lied_of_blocks(
                f"it told a blockhash valid to {last_valid_block_height} at block {highest}"
            )

    def lied(self, what: str) -> LyingNode:
        """Leave it out for a while, for longer each time; returns the failure to raise."""
        now_ns = self._clock.monotonic_ns()
        if now_ns >= self._distrusted_until_ns:
            trusted_s = (now_ns - self._distrusted_until_ns) / 1e9
            is_first = not self._lie or trusted_s > FORGIVEN_AFTER_S
            self._distrust_s = DISTRUST_S if is_first else min(2 * self._distrust_s, LONGEST_DISTRUST_S)
            log.warning("node is not believed", node=self.name, reason=what)
        self._lie = what
        self._lies_of_blocks = False
        self._distrusted_until_ns = now_ns + int(self._distrust_s * 1e9)
        return LyingNode(self.name, what)

    def _lied_of_blocks(self, what: str) -> LyingNode:
        failure = self.lied(what)
        self._lies_of_blocks = True
        return failure

    def begin_at(self, slot: int) -> None:
        """The newest slot is this one after all: what was told beyond it is forgotten."""
        if self.told_slot > slot:
            self.told_slot = 0  # it made that up
        self.slot, self._progress_ns = self.told_slot, self.told_more_ns
        self.behind_slots = slot - self.told_slot
        self.begin_anew()

    def begin_anew(self) -> None:
        """What blocks it was measured by was made up by somebody else: measure it again."""
        self._highest = dict.fromkeys(Level, 0)
        if self._lies_of_blocks:
            self._lie, self._distrusted_until_ns = "", 0

    # --- how well it answers ---

    def charge(self) -> None:
        """Count a request that is made whatever the budget says."""
        self.budget.charge()

    def room_for(self, count: int) -> int:
        """How many of `count` things one request may ask for, and charge all but the first."""
        if self._clock.monotonic_ns() < self._singly_until_ns:
            return 1
        room = 1
        while room < count and self.budget.take(keep_reserve=True):
            room += 1
        return room

    def ask_singly(self) -> None:
        """A request for many things went wrong: whatever the reason, one at a time may go well."""
        self._singly_until_ns = self._clock.monotonic_ns() + int(SINGLY_S * 1e9)

    def answered(self, latency_ns: int | None) -> None:
        """A good answer came after so long; None when that is not to be compared with others."""
        self._failures_in_a_row = self._overtaken_in_a_row = 0
        self._answered_ns = self._clock.monotonic_ns()
        self._note_call(is_good=True)
        if latency_ns is not None:
            self._note_latency(latency_ns)

    def _note_latency(self, latency_ns: int) -> None:
        self._latencies_ns.append(latency_ns)
        self._sorted_ns = []

    def failed(self, failure: RpcFailure, *, weight: int = 1) -> None:
        """A call failed; what that says of the node depends on how. `weight` is as how many it counts."""
        now_ns = self._clock.monotonic_ns()
        if failure.retry_after_s is not None:
            self.last_failure = str(failure)
            self._resting_until_ns = max(self._resting_until_ns, now_ns + int(failure.retry_after_s * 1e9))
        elif failure.code == NODE_UNHEALTHY:
            self.last_failure = str(failure)
            self._resting_until_ns = max(self._resting_until_ns, now_ns + int(UNHEALTHY_S * 1e9))
        elif failure.code is None:
            self.last_failure = str(failure)
            self._note_call(is_good=False)
            self._failures_in_a_row += weight
            self.must_be_met |= self._failures_in_a_row >= FAILURES_IN_A_ROW
        # Any other error is the node's answer: it works, it only could not tell this.

    def overtaken(self, waited_ns: int) -> None:
        """Another endpoint that was asked later answered first; this one would have taken even longer."""
        self._note_latency(waited_ns)
        self._overtaken_in_a_row += 1
        if self._is_mute():
            self.last_failure = "others answer while it does not"

    def _is_mute(self) -> bool:
        if self._overtaken_in_a_row < OVERTAKEN_IN_A_ROW:
            return False
        return self._clock.monotonic_ns() - self._answered_ns >= LONGEST_PATIENCE_S * 1e9

    def _note_call(self, *, is_good: bool) -> None:
        self._recent.append(is_good)
        self.error_permille = 1000 * self._recent.count(False) // len(self._recent)

    def latency_ns(self, percent: int) -> int | None:
        """A percentile of its recent latencies, None without any."""
        if not self._latencies_ns:
            return None
        if not self._sorted_ns:
            self._sorted_ns = sorted(self._latencies_ns)
        return self._sorted_ns[min(len(self._sorted_ns) - 1, len(self._sorted_ns) * percent // 100)]

    def patience_s(self, *, is_hot: bool) -> float:
        """How long its answer is waited for before another endpoint is asked too."""
        if not is_hot:
            return LONGEST_PATIENCE_S
        p95_ns = self.latency_ns(95) if len(self._latencies_ns) >= ENOUGH_LATENCIES else None
        expected_s = FIRST_PATIENCE_S if p95_ns is None else p95_ns / 1e9
        return min(LONGEST_PATIENCE_S, max(SHORTEST_PATIENCE_S, expected_s))

    # --- whether it is used ---

    @property
    def state(self) -> State:
        """The first thing that keeps it from being used, OK when nothing does.

        Every decision asks for it: what is dear to find out is only found out where it can matter.
        """
        now_ns = self._clock.monotonic_ns()
        if self.is_foreign:
            state = State.FOREIGN
        elif self.genesis is None:
            state = State.UNMET
        elif now_ns < self._distrusted_until_ns:
            state = State.DISTRUSTED
        elif now_ns < self._resting_until_ns:
            state = State.RESTING
        elif self._is_failing():
            state = State.FAILING
        elif self.behind_slots > self._horizon.max_behind_slots:
            state = State.BEHIND
        elif now_ns - self._progress_ns > STILL_S * 1e9:
            state = State.STILL
        else:
            state = State.OK
        return state

    def _is_failing(self) -> bool:
        return (
            self._failures_in_a_row >= FAILURES_IN_A_ROW
            or self._is_mute()
            or (self.error_permille > WORST_ERROR_PERMILLE and len(self._recent) >= RECENT_CALLS // 2)
        )

    def why(self) -> str:
        """Why it is not used, in words; empty when it is."""
        now_ns = self._clock.monotonic_ns()
        resting_s = (self._resting_until_ns - now_ns) / 1e9
        return {
            State.OK: "",
            State.FOREIGN: f"of another cluster: its genesis hash is {self.genesis}",
            State.UNMET: self.last_failure,
            State.DISTRUSTED: f"not believed: {self._lie}",
            State.RESTING: f"left alone for {resting_s:.1f} s: {self.last_failure}",
            State.FAILING: self.last_failure,
            State.BEHIND: f"{self.behind_slots} slots behind",
            State.STILL: f"no new slot for {(now_ns - self._progress_ns) / 1e9:.0f} s",
        }[self.state]

    def report(self) -> EndpointReport:
        """How it stands."""
        return EndpointReport(
            name=self.name,
            state=self.state.value,
            why=self.why(),
            slot=self.slot,
            behind_slots=self.behind_slots,
            error_permille=self.error_permille,
            p50_us=(self.latency_ns(50) or 0) // 1000,
            p99_us=(self.latency_ns(99) or 0) // 1000,
            requests_left=self.budget.left,
            requests_per_s=self.budget.per_s,
        )


def names_of(urls: list[str]) -> list[str]:
    """Each URL's host and port: what follows may be a credential. Equal ones are numbered."""
    names: list[str] = []
    for url in urls:
        parts = urlsplit(url)
        host = f"{parts.hostname}:{parts.port}" if parts.port else f"{parts.hostname}"
        same = sum(name.partition(" #")[0] == host for name in names)
        names.append(f"{host} #{same + 1}" if same else host)
    return names
