"""A place that asks the engine in the background, with a deadline, and says how old the answer is."""

from __future__ import annotations

import asyncio
import time
from typing import ClassVar, Generic, TypeVar, cast

import msgspec
from textual import on
from textual.message import Message

from engine.api.client import CommandRefused, EngineClient
from engine.errors import OperatorError
from tui import format as fmt
from tui.lines import Line, Span, Tone
from tui.screens.place import Access, PlaceScreen
from tui.state import NS_PER_MS, ConsoleState

ANSWER_DEADLINE_S = 8.0  # the engine waits 5 s for its database before it answers without it
_UNKNOWN_PAGE = "not_found"
_BEAT_MS = 2_000  # states come once a second: a question is asked so much late at most

Answer = TypeVar("Answer")


class AskingScreen(PlaceScreen, Generic[Answer]):
    """Asks when it opens and again with the snapshots, REFRESH_S apart; only the last question counts.

    `fetch` runs in a worker and only asks; `draw` shows `answer` (None before the first) and `trouble` (why
    the last question was not answered), and runs with every state so that ages go on.
    """

    REFRESH_S: ClassVar[float] = 5.0

    class Answered(Message):
        """The engine answered a question of this screen."""

        def __init__(self, question: int, answer: object) -> None:
            super().__init__()
            self.question = question
            self.answer = answer

    class Unanswered(Message):
        """It did not; the reason is one line that says what to do."""

        def __init__(self, question: int, reason: str) -> None:
            super().__init__()
            self.question = question
            self.reason = reason

    def __init__(self, access: Access) -> None:
        super().__init__()
        self.access = access
        self.answer: Answer | None = None
        self.trouble = ""
        self.state = ConsoleState()
        self._answered_ns = 0
        self._question = 0
        self._asked_s = float("-inf")
        self._is_asking = False

    async def fetch(self, client: EngineClient) -> Answer:
        """Ask the engine; may raise OperatorError."""
        raise NotImplementedError

    def draw(self) -> None:
        """Show what is known."""
        raise NotImplementedError

    def opened(self) -> None:
        """Ask at once; until then the place says that it is loading."""
        self.ask()
        self.draw()

    def show_state(self, state: ConsoleState, now_ns: int) -> None:
        """The banner, the ages, and a fresh question when the last answer is old; none under a dialog."""
        super().show_state(state, now_ns)
        self.state = state
        is_due = time.monotonic() - self._asked_s >= self.REFRESH_S
        if is_due and not self._is_asking and not state.paused_ns and self.is_current:
            self.ask()
        self.draw()

    def ask(self) -> None:
        """Ask now; the answer to an earlier question does not count any more."""
        self._question += 1
        self._asked_s = time.monotonic()
        self._is_asking = True
        self.run_worker(self._ask(self._question), group="ask", exclusive=True)

    def freshness(self) -> Line:
        """How old the answer is, or that there is none yet; while it is in time it stands still."""
        if self.answer is None:
            return (Span("not known" if self.trouble else "loading…", Tone.MUTED),)
        age_ms = (time.time_ns() - self._answered_ns) // NS_PER_MS
        in_time_ms = round(1_000 * self.REFRESH_S) + _BEAT_MS
        if age_ms < in_time_ms:
            return (Span(f"<{in_time_ms // 1000} s", Tone.MUTED),)
        return (Span(f"{fmt.age(age_ms // 1000 * 1000)} old", Tone.ATTENTION),)

    async def _ask(self, question: int) -> None:
        try:
            async with asyncio.timeout(ANSWER_DEADLINE_S), EngineClient(self.access.paths.socket) as client:
                answer = await self.fetch(client)
        except TimeoutError:
            waited = f"The engine did not answer within {ANSWER_DEADLINE_S:.0f} s"
            self.post_message(self.Unanswered(question, f"{waited}: it is asked again, see its log"))
        except (OperatorError, msgspec.MsgspecError) as error:
            self.post_message(self.Unanswered(question, reason_of(error)))
        else:
            self.post_message(self.Answered(question, answer))

    def accept(self, answer: Answer) -> None:
        """Take this for the answer."""
        self.answer, self.trouble = answer, ""
        self._answered_ns, self._is_asking = time.time_ns(), False
        self.draw()

    @on(Answered)
    def _take_answer(self, event: Answered) -> None:
        event.stop()
        if event.question == self._question:
            self.accept(cast(Answer, event.answer))

    @on(Unanswered)
    def _take_trouble(self, event: Unanswered) -> None:
        event.stop()
        if event.question == self._question:
            self.trouble, self._is_asking = event.reason, False
            self.draw()


def reason_of(error: Exception) -> str:
    """Why there is no answer, and what to do about it."""
    if isinstance(error, CommandRefused) and error.code == _UNKNOWN_PAGE:
        return "This engine does not know what it is asked: use the same version of engine and console"
    if isinstance(error, msgspec.MsgspecError):
        return f"The engine's answer is not understood ({error}): use the same version of engine and console"
    return str(error)
