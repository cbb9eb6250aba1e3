"""How intents come into the journal: those of one turn together, ahead of it where its log takes them.

Ahead means: durable in the log, and a moment later in the journal, with the next commit that it makes or
soon by themselves. Where the log cannot take them they wait for a commit of their own.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import structlog
from solders.pubkey import Pubkey
from solders.signature import Signature

from engine.domain import Intent
from engine.journal import encoding, work
from engine.journal.errors import IntentAlreadyOpen, JournalUnavailable
from engine.journal.intent_log import LogFull
from engine.journal.prompt_writer import PromptWriter
from engine.journal.strike_out import StrikeOut
from engine.journal.writer import Writer

log = structlog.get_logger("journal")

TAKE_OVER_S = 0.01
TURNS_FIRST = 2  # of the loop: an account is asked for by then
REMEMBERED = 10_000  # signatures of intents that were opened: while a blockhash is good, one may come again

_Asked = tuple[Intent, asyncio.Future[None]]


class Intake:
    """Opens intents. `on_open` hears of each that is durable, `on_written` of each commit."""

    def __init__(
        self,
        writer: Writer,
        ahead: PromptWriter | None,
        deadline_s: float,
        strike_out: StrikeOut,
        *,
        why_closed: Callable[[], str],
        is_open: Callable[[Pubkey], bool],
        on_open: Callable[[Intent], None],
        on_written: Callable[[work.Written], None],
        ended: Sequence[Signature],
    ) -> None:
        self._writer = writer
        self._ahead = ahead
        self._deadline_s = deadline_s
        self._strike_out = strike_out
        self._why_closed = why_closed
        self._is_open = is_open
        self._on_open = on_open
        self._on_written = on_written
        self._asked: list[_Asked] = []  # in this turn of the loop
        self._in_line: list[Sequence[_Asked]] = []  # those that wait for a commit of their own
        self._opened = deque(ended, maxlen=REMEMBERED)
        self._known = set(self._opened)
        self._goes_ahead = True
        self.damage: str | None = None

    @property
    def is_idle(self) -> bool:
        """Whether everything that was asked for is answered."""
        return not self._asked and not (self._ahead and self._ahead.is_busy)

    def take(self, intent: Intent) -> asyncio.Future[None]:
        """Open an intent at the end of this turn; see `Journal.record_intent`."""
        opened: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        if not self._asked:
            self._after_turns(TURNS_FIRST)
        self._asked.append((intent, opened))
        return opened

    def _after_turns(self, count: int) -> None:
        """Let what this turn asks of a node be written first: the answer comes while the disk works."""
        loop = asyncio.get_running_loop()
        if count:
            loop.call_soon(self._after_turns, count - 1)
        else:
            self._open_together()

    def _open_together(self) -> None:
        asked, self._asked = self._asked, []
        if refusal := self._why_closed():
            for _, waiter in asked:
                _refuse(waiter, JournalUnavailable(refusal))
            return
        if self._ahead is None or not self._goes_ahead or self._ahead.is_busy or self._meets_a_line(asked):
            self._open_in_line(asked)
            return
        fresh, positions = [], set[Pubkey]()
        for intent, waiter in asked:
            is_open = self._is_open(intent.position) or intent.position in positions
            if is_open or intent.signature in self._known:
                _refuse(waiter, IntentAlreadyOpen(intent.position))
            else:
                positions.add(intent.position)
                fresh.append((intent, waiter))
        if fresh:
            self._open_ahead(self._ahead, fresh)

    def _meets_a_line(self, asked: Sequence[_Asked]) -> bool:
        """Whether one of these positions has an intent that waits for a commit: it must not be overtaken."""
        waiting = {intent.position for line in self._in_line for intent, _ in line}
        return any(intent.position in waiting for intent, _ in asked)

    # --- ahead of the journal ---

    def _open_ahead(self, ahead: PromptWriter, asked: Sequence[_Asked]) -> None:
        bodies = [encoding.dump(encoding.intent_object(intent)) for intent, _ in asked]
        try:
            start, frame = ahead.log.frame(bodies)
        except LogFull:
            self._open_in_line(asked)
            return
        ahead.write(start, frame, partial(self._hear, ahead, ahead.log.number, asked, bodies))
        if ahead.is_busy:
            loop = asyncio.get_running_loop()
            loop.call_later(self._deadline_s, self._give_up, ahead, ahead.log.number, asked)

    def _give_up(self, ahead: PromptWriter, number: int, asked: Sequence[_Asked]) -> None:
        """The frame is overdue; when the disk has it in the end, it is none."""
        if all(waiter.done() for _, waiter in asked):
            return
        overdue = JournalUnavailable(f"The journal did not answer in {self._deadline_s:g} s: see to the disk")
        self._strike_out.frame(number, partial(ahead.log.taken_over, number), overdue)
        for _, waiter in asked:
            _refuse(waiter, overdue)

    def _hear(
        self,
        ahead: PromptWriter,
        number: int,
        asked: Sequence[_Asked],
        bodies: Sequence[str],
        error: OSError | None,
    ) -> None:
        """The frame is durable; what nobody waits for any more is left out, its bytes never leave."""
        if error is not None:
            # Nobody knows what of it is on the disk: it is struck out, and the log written no more.
            log.error("intents wait for a commit each from now on", reason=str(error))
            self._goes_ahead = False
            refusal = JournalUnavailable(f"The journal cannot be written ({error}): see to the disk")
            self._strike_out.frame(number, partial(ahead.log.taken_over, number), refusal)
            for _, waiter in asked:
                _refuse(waiter, refusal)
            return
        wanted = [
            (intent, waiter, body)
            for (intent, waiter), body in zip(asked, bodies, strict=True)
            if not waiter.done()
        ]
        rows = [(str(intent.signature), str(intent.position), body) for intent, _, body in wanted]
        taking_over = partial(work.take_over, rows=rows, number=number)
        try:
            self._writer.keep(taking_over, partial(self._taken_over, ahead), TAKE_OVER_S)
        except JournalUnavailable as closed:
            # The next start finds them open; nobody was told that they are, so their bytes stay here.
            self._goes_ahead = False
            for _, waiter, _ in wanted:
                _refuse(waiter, closed)
            return
        for intent, waiter, _ in wanted:
            self._note(intent)
            waiter.set_result(None)

    def _taken_over(self, ahead: PromptWriter, taken: work.TakenOver) -> None:
        ahead.log.taken_over(taken.number)
        if taken.refused:
            self.damage = f"it refused {taken.refused} intents that were durable ahead of it"
        self._on_written(taken.written)

    # --- with a commit of their own ---

    def _open_in_line(self, asked: Sequence[_Asked]) -> None:
        self._in_line.append(asked)
        never_open = [intent for intent, _ in asked if intent.signature not in self._known]

        def told(found: tuple[work.Written, list[bool]]) -> None:
            written, opened = found
            self._on_written(written)
            for (intent, waiter), is_open in zip(asked, opened, strict=True):
                if is_open:
                    self._note(intent)
                if waiter.done():
                    continue  # nobody waits any more: open it is until it is struck out
                if is_open:
                    waiter.set_result(None)
                else:
                    waiter.set_exception(IntentAlreadyOpen(intent.position))

        def ended(writing: asyncio.Future[Any]) -> None:
            error = writing.exception()
            if error is None:
                return
            self._strike_out.intents(never_open, error)
            for _, waiter in asked:
                _refuse(waiter, error)

        record = partial(work.write_intents, intents=[intent for intent, _ in asked])
        writing = self._writer.begin(record, told, over=lambda: self._in_line.remove(asked))
        writing.add_done_callback(ended)

    def _note(self, intent: Intent) -> None:
        if len(self._opened) == REMEMBERED:
            self._known.discard(self._opened[0])
        self._opened.append(intent.signature)
        self._known.add(intent.signature)
        self._on_open(intent)

    async def close(self) -> None:
        """Called when the writer is closed: what it could not take over stays in the log."""
        self._goes_ahead = False
        if self._ahead is not None:
            await self._ahead.close(self._deadline_s)


def _refuse(waiter: asyncio.Future[None], error: BaseException) -> None:
    if not waiter.done():
        waiter.set_exception(error)
