"""The live table: its cursor follows a row, its order holds under the hand, changes alone are painted."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from textual.app import App, ComposeResult
from textual.geometry import Region

from tui import live_table
from tui.lines import Span
from tui.live_table import Column, LiveTable, Row, fit_columns

COLUMNS = (Column("name", 6, rank=0), Column("value", 6, right=True, rank=1), Column("more", 8, rank=2))


class Table(LiveTable):
    """Notes which of its regions it asks to be painted."""

    painted: list[Region]

    def refresh(self, *regions: Region, **options: bool) -> Table:  # type: ignore[override]
        if hasattr(self, "painted"):
            self.painted.extend(regions or (Region(-1, -1, 0, 0),))
        return super().refresh(*regions, **options)  # type: ignore[return-value]


class Host(App[None]):
    def compose(self) -> ComposeResult:
        yield Table(COLUMNS, id="table")


def rows(*names: str, value: str = "1") -> list[Row]:
    return [Row(name, (Span(name), Span(value), Span("more"))) for name in names]


@asynccontextmanager
async def a_table(*names: str) -> AsyncIterator[tuple[Table, App[None]]]:
    app = Host()
    async with app.run_test(size=(40, 8)) as pilot:
        table = app.query_one(Table)
        table.show(rows(*names))
        table.focus()
        await pilot.pause()
        yield table, app


@pytest.fixture
def still_hand(monkeypatch: pytest.MonkeyPatch) -> None:
    """The cursor is never considered to have moved lately."""
    monkeypatch.setattr(live_table, "HOLD_ORDER_S", -1.0)


async def test_the_cursor_stays_on_its_row_when_rows_are_sorted_and_removed(still_hand: None) -> None:
    async with a_table("a", "b", "c", "d") as (table, _):
        table.action_cursor(2)
        assert table.cursor_key == "c"
        table.show(rows("c", "x", "a", "b"))
        assert table.cursor_key == "c"
        table.show(rows("x", "y", "z", "c"))
        assert table.cursor_key == "c"


async def test_the_cursor_of_a_vanished_row_stays_where_it_was(still_hand: None) -> None:
    async with a_table("a", "b", "c", "d") as (table, _):
        table.action_cursor(1)
        table.show(rows("a", "c", "d"))
        assert table.cursor_key == "c"
        table.show(rows("a"))
        assert table.cursor_key == "a"
        table.show([])
        assert table.cursor_key is None


async def test_before_the_operator_took_it_up_the_cursor_stays_on_the_first_row(still_hand: None) -> None:
    app = Host()
    async with app.run_test(size=(40, 8)) as pilot:
        table = app.query_one(Table)
        app.set_focus(None)
        await pilot.pause()
        table.show(rows("a", "b"))
        table.show(rows("c", "a", "b"))
        assert table.cursor_key == "c"
        table.focus()
        await pilot.pause()
        table.show(rows("d", "c", "a", "b"))
        assert table.cursor_key == "c"


async def test_a_cursor_whose_row_sinks_out_of_sight_takes_the_window_along(still_hand: None) -> None:
    names = [f"r{number}" for number in range(30)]
    async with a_table(*names) as (table, _):
        table.action_cursor(1)
        table.show(rows(*names[2:], "r0", "r1"))
        assert table.cursor_key == "r1"
        assert table.top == 30 - (8 - 1)


async def test_the_order_holds_while_the_cursor_moves_and_new_rows_come_last() -> None:
    async with a_table("a", "b", "c") as (table, _):
        table.action_cursor(1)
        table.show(rows("n", "c", "b", "a"))
        assert [row.key for row in table.rows] == ["a", "b", "c", "n"]


async def test_the_order_is_the_engines_again_when_the_hand_rests(still_hand: None) -> None:
    async with a_table("a", "b", "c") as (table, _):
        table.action_cursor(1)
        table.show(rows("n", "c", "b", "a"))
        assert [row.key for row in table.rows] == ["n", "c", "b", "a"]


async def test_only_the_lines_that_changed_are_painted(still_hand: None) -> None:
    async with a_table("a", "b", "c", "d") as (table, _):
        table.painted = []
        table.show([*rows("a", "b"), *rows("c", value="2"), *rows("d")])
        assert [(region.y, region.height) for region in table.painted] == [(3, 1)]


async def test_unchanged_rows_paint_nothing(still_hand: None) -> None:
    async with a_table("a", "b", "c", "d") as (table, _):
        table.painted = []
        table.show(rows("a", "b", "c", "d"))
        assert table.painted == []


async def test_the_windows_ends_say_that_there_is_more() -> None:
    names = [f"r{number}" for number in range(30)]
    async with a_table(*names) as (table, _):
        assert table.render_line(7).text.endswith("▾")
        assert table.render_line(7).text.split() == ["r6", "1", "more", "▾"]
        assert not table.render_line(1).text.endswith("▴")
        table.action_edge(-1)
        assert table.render_line(1).text.endswith("▴")
        assert not table.render_line(7).text.endswith("▾")


async def test_a_list_that_shrank_leaves_no_emptiness_in_the_window(still_hand: None) -> None:
    names = [f"r{number}" for number in range(30)]
    async with a_table(*names) as (table, _):
        table.action_edge(-1)
        table.show(rows(*names[:10]))
        assert table.top == 10 - (8 - 1)
        table.show(rows(*names[:3]))
        assert table.top == 0


async def test_rows_beyond_the_window_paint_nothing(still_hand: None) -> None:
    names = [f"r{number}" for number in range(30)]
    async with a_table(*names) as (table, _):
        table.painted = []
        table.show([*rows(*names[:29]), *rows("r29", value="9")])
        assert table.painted == []


async def test_the_window_follows_the_cursor(still_hand: None) -> None:
    names = [f"r{number}" for number in range(30)]
    async with a_table(*names) as (table, _):
        table.action_edge(-1)
        assert table.cursor_key == "r29"
        assert table.top == 30 - (8 - 1)


def test_narrow_tables_drop_the_highest_ranks_and_tighten_before_they_do() -> None:
    assert fit_columns(COLUMNS, 24) == ((6, 6, 8), 2)
    assert fit_columns(COLUMNS, 22) == ((6, 6, 8), 1)
    assert fit_columns(COLUMNS, 21) == ((6, 6, 0), 2)
    assert fit_columns(COLUMNS, 6) == ((6, 0, 0), 2)
    assert fit_columns(COLUMNS, 0) == ((0, 0, 0), 2)


def test_the_stretching_column_takes_what_is_left() -> None:
    columns = (Column("a", 4), Column("b", 4, rank=1, stretch=True))
    assert fit_columns(columns, 30).widths == (4, 24)
