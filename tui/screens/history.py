"""The history: every attempt that ended, searched and filtered by the engine, and exported to a file."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import ClassVar

import msgspec
from textual import on
from textual.binding import Binding, BindingType
from textual.message import Message

from engine.api import wire
from engine.api.client import EngineClient
from engine.domain import NO_FAILURE
from engine.errors import OperatorError
from tui import format as fmt
from tui.export import Exported, Format, export
from tui.history_query import OUTCOMES, WINDOWS, HistoryQuery, as_typed, following, typed
from tui.lines import Line, Span, Tone, span
from tui.live_table import Column, Row
from tui.panes.table_pane import TablePane
from tui.screens.asking import ANSWER_DEADLINE_S, reason_of
from tui.screens.main import MainScreen
from tui.screens.place import Access
from tui.screens.table_place import PAGE_ROWS, Note, TablePlace, told, told_at_length

EXPORT_PAGE_ROWS = 500
_LONG_NS = 10**9
_COLUMNS = (
    Column("when", 14, rank=0),
    Column("position", 9, rank=1),
    Column("market", 8, rank=3),
    Column("what", 7, rank=4),
    Column("size", 7, right=True, rank=5),
    Column("price $", 9, right=True, rank=6),
    Column("outcome", 18, rank=2),
    Column("try", 3, right=True, rank=8),
    Column("fee", 6, right=True, rank=7),
    Column("reward", 7, right=True, rank=9),
    Column("bad debt", 9, right=True, rank=10),
    Column("message", 20, rank=11, stretch=True),
)


class HistoryScreen(TablePlace[wire.LiquidationPage]):
    """Newest first. While the database is away it shows what the engine's journal still has, and says so."""

    NAME = "history"
    HINT = "position, owner or signature begins with…   from:2026-11-01 to:2026-11-08"
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("m", "market", "Market", id="history.market", tooltip="only the next market, then all"),
        Binding("o", "outcome", "Outcome", id="history.outcome", tooltip="only the next outcome, then all"),
        Binding("w", "window", "When", id="history.window", tooltip="the last hour, day, week, then all"),
        Binding("e", "export('csv')", "CSV", id="history.csv", tooltip="all that matches, into a file"),
        Binding("E", "export('json')", "JSON", id="history.json", tooltip="all that matches, into a file"),
    ]

    class Written(Message):
        """An export is complete."""

        def __init__(self, exported: Exported) -> None:
            super().__init__()
            self.exported = exported

    class NotWritten(Message):
        """An export was given up; the reason is one line that says what to do."""

        def __init__(self, reason: str) -> None:
            super().__init__()
            self.reason = reason

    def __init__(self, access: Access) -> None:
        super().__init__(access, TablePane("HISTORY", _COLUMNS, name="history"))
        self.query_for = HistoryQuery()

    async def fetch(self, client: EngineClient) -> wire.LiquidationPage:
        """The page that is on the screen."""
        return await ask_page(client, self.query_for, PAGE_ROWS, self.first_row)

    # What is shown

    def rows(self, answer: wire.LiquidationPage) -> Sequence[Row]:
        """One row an attempt."""
        return [_row(row) for row in answer.rows]

    def total(self, answer: wire.LiquidationPage) -> int:
        """All that match."""
        return answer.total

    def facts(self, answer: wire.LiquidationPage) -> Line:
        """The filter, and where the rows are from when that is not the database."""
        words = " · ".join(self.query_for.words())
        source = "" if answer.source == "database" else f"from the {answer.source}"
        return (span(words, Tone.OURS), span(source, Tone.ATTENTION, bold=True))

    def notes(self, answer: wire.LiquidationPage) -> Sequence[Note]:
        """What an answer that is not the whole truth says of itself."""
        return [Note(f"▲ {answer.note}", Tone.ATTENTION)] if answer.note else []

    def empty(self, answer: wire.LiquidationPage) -> str:
        """Nothing matches, or nothing ever happened."""
        if words := self.query_for.words():
            return f"nothing matches {' · '.join(words)}: / m o w change it, / and escape clears the search"
        if answer.source != "database":
            return "the journal has no liquidation that ended; older ones are in the database, which is away"
        return "no liquidation is final yet: what is being done is in the queue until it is"

    def row_lines(self, key: str, answer: wire.LiquidationPage) -> Sequence[Line]:
        """What was done, what it cost, how it ended, and how long each step took."""
        row = next((each for each in answer.rows if each.signature == key), None)
        return [] if row is None else _told(row, self.size.width)

    # Keys

    def look_for(self, text: str) -> None:
        """Search for what was typed."""
        self._ask_for(typed(self.query_for, text))

    def action_search(self) -> None:
        """Open the line with what is searched for now."""
        self.wanted = as_typed(self.query_for)
        super().action_search()

    def action_market(self) -> None:
        """Only the next market."""
        markets = [price.symbol for price in self.state.snapshot.prices] if self.state.snapshot else []
        self._ask_for(replace(self.query_for, symbol=following(markets, self.query_for.symbol)))

    def action_outcome(self) -> None:
        """Only the next outcome."""
        self._ask_for(replace(self.query_for, outcome=following(OUTCOMES, self.query_for.outcome)))

    def action_window(self) -> None:
        """The next window of time; it takes the place of typed dates."""
        window = (self.query_for.window + 1) % len(WINDOWS)
        self._ask_for(replace(self.query_for, window=window, from_date=None, to_date=None))

    def action_export(self, kind: str) -> None:
        """Write all that matches to a file, in the background."""
        self.note = Note("writing the export…", Tone.MUTED)
        self.draw()
        self.run_worker(self._export(Format(kind)), group="export", exclusive=True)

    def choose(self, key: str) -> None:
        """Open the position that the attempt was about."""
        rows = self.answer.rows if self.answer is not None else []
        for row in rows:
            if row.signature == key:
                self.post_message(MainScreen.WantsDetail(row.address))

    def _ask_for(self, query: HistoryQuery) -> None:
        self.query_for = query
        self.turn_to(0)

    # Export

    async def _export(self, kind: Format) -> None:
        now_s = time.time()
        query = self.query_for
        begin = query.begins(now_s)
        end = query.to_date or datetime.fromtimestamp(now_s, UTC).isoformat(timespec="microseconds")
        fixed = replace(query, window=0, from_date=begin, to_date=end)
        name = f"liquidations-{datetime.fromtimestamp(now_s, UTC):%Y%m%dT%H%M%S-%fZ}"
        folder = self.access.paths.state / "exports"
        try:
            async with EngineClient(self.access.paths.socket) as client:
                exported = await export(folder, name, kind, _pages(client, fixed))
        except TimeoutError:
            waited = f"the engine did not answer within {ANSWER_DEADLINE_S:.0f} s"
            self.post_message(self.NotWritten(f"{waited}: try again when it does"))
        except (OperatorError, msgspec.MsgspecError) as error:
            self.post_message(self.NotWritten(reason_of(error)))
        else:
            self.post_message(self.Written(exported))

    @on(Written)
    def _take_written(self, event: Written) -> None:
        event.stop()
        exported = event.exported
        cut = "the newest " if exported.is_cut else ""
        said = f"{cut}{fmt.count(exported.rows)} rows are in {exported.path}, which only you may read"
        self.note = Note(f"◆ {said}", Tone.OURS)
        self.draw()

    @on(NotWritten)
    def _take_failure(self, event: NotWritten) -> None:
        event.stop()
        self.note = Note(f"✕ not exported: {event.reason}", Tone.DANGER)
        self.draw()


async def ask_page(
    client: EngineClient, query: HistoryQuery, limit: int, offset: int
) -> wire.LiquidationPage:
    """One page of what the query asks for; raises OperatorError."""
    return await client.recent(
        limit,
        offset,
        symbol=query.symbol,
        outcome=query.outcome,
        search=query.search or None,
        from_date=query.begins(time.time()),
        to_date=query.to_date,
    )


async def _pages(client: EngineClient, query: HistoryQuery) -> AsyncIterator[Sequence[wire.LiquidationRow]]:
    """Every page of what the query asks for, each within a deadline."""
    offset, total = 0, 1
    while offset < total:
        async with asyncio.timeout(ANSWER_DEADLINE_S):
            page = await ask_page(client, query, EXPORT_PAGE_ROWS, offset)
        yield page.rows
        if not page.rows:
            return
        offset, total = offset + len(page.rows), page.total


def _row(row: wire.LiquidationRow) -> Row:
    bad_debt = row.bad_debt_covered_lamports + row.bad_debt_uncovered_lamports
    return Row(
        row.signature,
        (
            Span(fmt.date_time(row.at_ns), Tone.MUTED),
            span(fmt.address(row.address)),
            span(row.symbol),
            span(row.action),
            Span(fmt.size_short(row.liquidated_size_e6)),
            Span(fmt.price(row.liquidation_price_e6 or None)),
            span(f"{_glyph(row)} {row.outcome}", _tone(row)),
            Span(str(row.attempt)),
            Span(fmt.lamports_short(row.fee_lamports)),
            Span(fmt.sol(row.reward_lamports)),
            Span(fmt.sol(bad_debt), Tone.DANGER if row.bad_debt_uncovered_lamports else Tone.PLAIN),
            span(row.error_message or ""),
        ),
    )


def _glyph(row: wire.LiquidationRow) -> str:
    return "●" if row.error_message is None else "·" if row.outcome in NO_FAILURE else "✕"


def _tone(row: wire.LiquidationRow) -> Tone:
    if row.error_message is None:
        return Tone.HEALTHY
    return Tone.PLAIN if row.outcome in NO_FAILURE else Tone.DANGER


def _told(row: wire.LiquidationRow, width: int) -> list[Line]:
    uncovered = row.bad_debt_uncovered_lamports
    message = told_at_length("message", row.error_message, width, _tone(row)) if row.error_message else []
    first = (span(f"  {row.liquidated_by} was first"),) if row.liquidated_by else ()
    return [
        told(
            "done",
            span(f"{row.action} {fmt.size(row.liquidated_size_e6)} {row.symbol}"),
            Span(f" at {fmt.price(row.liquidation_price_e6 or None)}  attempt {row.attempt}"),
            span(f"  of {row.liquidation_id}", Tone.MUTED),
        ),
        told("outcome", span(row.outcome, _tone(row), bold=True), *first),
        *message,
        *told_at_length("signature", row.signature, width),
        *told_at_length("position", f"{row.address}  of {row.owner}", width),
        told(
            "cost",
            Span(f"fee {fmt.sol(row.fee_lamports, 9)} SOL  reward {fmt.sol(row.reward_lamports, 9)} SOL"),
            Span(f"  {fmt.count(row.compute_units)} compute units"),
        ),
        told(
            "bad debt",
            Span(f"covered by the fund {fmt.sol(row.bad_debt_covered_lamports, 9)} SOL  not covered "),
            Span(f"{fmt.sol(uncovered, 9)} SOL", Tone.DANGER if uncovered else Tone.PLAIN),
        ),
        *told_at_length("course", _course(row), width),
    ]


def _duration(ns: int) -> str:
    return f"{fmt.ms_of_us(ns // 1000)} ms" if ns < _LONG_NS else fmt.age(ns // 10**6)


def _course(row: wire.LiquidationRow) -> str:
    """Detected when, and how many milliseconds later each step came."""
    steps = [f"detected {fmt.full_date_time(row.created_at_ns)}"]
    ended = "confirmed" if row.landed else "known"
    for name, at_ns in (("sent", row.submitted_at_ns), (ended, row.at_ns), ("final", row.finalized_at_ns)):
        if at_ns is not None:
            steps.append(f"{name} +{_duration(max(0, at_ns - row.created_at_ns))}")
    return " · ".join([*steps, *([f"slot {fmt.count(row.slot)}"] if row.slot is not None else [])])
