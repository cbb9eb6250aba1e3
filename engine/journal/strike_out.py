"""Intents that were refused and may be on the disk all the same: struck out before any other is taken.

A write that failed, or that nobody waits for any more, may be found at the next start: a frame of the intent
log whose sync failed, a commit of SQLite's whose sync failed (it counts until the next one takes its place),
a commit that came late. Whoever was refused has given its fee back to the day's budget, and its position to
the next transaction. So the journal takes no further intent before it has in writing that these are none:
either one that was refused comes back, or what was opened in its place is there, and never both.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial

from engine.domain import Intent, Outcome, OutcomeClass
from engine.journal import work
from engine.journal.errors import JournalUnavailable
from engine.journal.writer import Writer


class StrikeOut:
    """What is still to be struck out. `on_struck` hears of each commit that did so, and of what it ended."""

    def __init__(
        self,
        writer: Writer,
        now_ns: Callable[[], int],
        on_struck: Callable[[Sequence[Outcome], work.Written], None],
    ) -> None:
        self._writer = writer
        self._now_ns = now_ns
        self._on_struck = on_struck
        self._pending = 0
        self._why = ""

    def why_pending(self) -> str:
        """Why something was refused that is not struck out yet, empty when all is.

        Once the writer is closed it stays: nothing is recorded then.
        """
        return self._why if self._pending else ""

    def frame(self, number: int, then: Callable[[], None], why: JournalUnavailable) -> None:
        """A frame of the intent log failed or is overdue: it is none, whenever the disk has it.

        `then` is called when that is durable.
        """
        self._strike((), number, then, why)

    def intents(self, intents: Sequence[Intent], why: BaseException) -> None:
        """Intents that were to be opened by a commit, which failed or is overdue: what it opens is closed."""
        self._strike([_struck_out(intent) for intent in intents], None, None, why)

    def _strike(
        self,
        outcomes: Sequence[Outcome],
        number: int | None,
        then: Callable[[], None] | None,
        why: BaseException,
    ) -> None:
        def struck(written: work.Written) -> None:
            self._pending -= 1
            self._on_struck(outcomes, written)
            if then is not None:
                then()

        self._pending += 1
        self._why = str(why)
        striking = partial(work.strike_out, struck=outcomes, number=number, recorded_at_ns=self._now_ns())
        try:
            self._writer.keep(striking, struck, 0.0)
        except JournalUnavailable:
            return  # closed: pending it stays


def _struck_out(intent: Intent) -> Outcome:
    return Outcome.not_landed(
        intent.signature, OutcomeClass.NEVER_SENT, "never sent: the journal could not write it in time"
    )
