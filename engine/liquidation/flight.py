"""One signed transaction on its way: what was sent, what nodes said of it, what it did."""

from __future__ import annotations

from dataclasses import dataclass

from engine.chain.port import LandedTransaction, SignatureStatus
from engine.domain import Intent, Outcome
from engine.liquidation.outcomes import Stamps
from engine.liquidation.queue import Entry, Stage

READ_PAUSE_NS = 5 * 10**8
MAX_READ_PAUSE_NS = 30 * 10**9


@dataclass(slots=True)
class Flight:
    """One signed transaction whose end is not known yet."""

    intent: Intent
    entry: Entry
    found_at_start: bool = False  # sent by an earlier process: its latency was not ours to see
    may_have_left: bool = False  # true as well for one that an earlier process may have sent
    submitted_at_ns: int | None = None
    last_write_ns: int | None = None  # monotonic
    followed_ns: int = 0  # monotonic
    withheld: bool = False  # a stop came before the first byte
    status: SignatureStatus | None = None  # the last one that said confirmed or more
    confirmed_at_ns: int | None = None
    confirmed_round: int = 0
    landed: LandedTransaction | None = None  # read when final
    outcome: Outcome | None = None  # what that says
    is_timed: bool = False  # its confirmation was told: a fork may confirm it again
    is_counted: bool = False
    finalized_at_ns: int | None = None  # when a status first said so
    final_ns: int = 0  # the same moment, monotonic
    failed_reads: int = 0
    next_read_ns: int = 0  # monotonic
    is_owed: bool = False  # final beyond doubt, its position was set free, its figures were not read yet

    def note_final(self, at_ns: int, monotonic_ns: int) -> None:
        """A status said that it is finalized."""
        if self.finalized_at_ns is None:
            self.finalized_at_ns, self.final_ns = at_ns, monotonic_ns

    def note_unread(self, monotonic_ns: int) -> None:
        """It is final and could not be read: the next time comes after a longer and longer pause."""
        pause_ns = min(READ_PAUSE_NS << min(self.failed_reads, 10), MAX_READ_PAUSE_NS)
        self.failed_reads += 1
        self.next_read_ns = monotonic_ns + pause_ns

    @property
    def is_timeable(self) -> bool:
        """Whether its latency is one of ours: a first attempt, and sent by this process."""
        is_first = self.intent.attempt == 1 and not self.found_at_start
        return is_first and self.submitted_at_ns is not None

    def note_write(self, at_ns: int, monotonic_ns: int) -> None:
        """Bytes left."""
        self.may_have_left = True
        if self.entry.stage is Stage.SIGNED:
            self.entry.stage = Stage.SENT
        if self.submitted_at_ns is None:
            self.submitted_at_ns = at_ns
        self.last_write_ns = monotonic_ns

    def stamps(self, now_ns: int) -> Stamps:
        """What is known of its times; what ends now, and was never seen final, ends at `now_ns`."""
        return Stamps(self.submitted_at_ns, self.confirmed_at_ns, self.finalized_at_ns or now_ns)
