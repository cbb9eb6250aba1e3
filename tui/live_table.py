"""A table for data that moves: repaints changed rows only, and keeps its cursor on a key.

Rows arrive complete and sorted with every snapshot. A row is painted again only when its text changed or
another row took its line. While the cursor moved within the last second the rows keep the order on screen.
It scrolls by itself: a scrolling container lays the screen out anew whenever the number of rows changes.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import ClassVar, NamedTuple

from rich.cells import cell_len, set_cell_size
from rich.style import Style
from textual import events
from textual.binding import Binding, BindingType
from textual.geometry import Region
from textual.message import Message
from textual.strip import Strip

from tui.lines import Line, Painted, Span, Tone, padded, span

HOLD_ORDER_S = 1.0
_MARKER, _PINNED = "▸ ", "◆ "
_MORE_ABOVE, _MORE_BELOW = "▴", "▾"
_WHEEL_ROWS = 3
_GAPS = (2, 1)  # cells between columns: the wider one where it costs no column


class Column(NamedTuple):
    """One column. The lowest ranks stay in a narrow table; the `stretch` one takes what room is left."""

    title: str
    width: int
    right: bool = False
    rank: int = 0
    stretch: bool = False


class Row(NamedTuple):
    """One row: what it is about (unique in the table), and a cell for every column, shown or not."""

    key: str
    cells: Line


class LiveTable(Painted, can_focus=True):
    """Rows with a cursor. Posts `Chosen` when enter is pressed on a row, or the row is clicked twice, and
    `Moved` when the cursor comes to stand on another row.

    In a `tail` table the cursor stays on the newest row, the first, until it is moved down from there.
    """

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("up,k", "cursor(-1)", "Row up", show=False, id="table.up"),
        Binding("down,j", "cursor(1)", "Row down", show=False, id="table.down"),
        Binding("pageup", "page(-1)", "Page up", show=False, id="table.page_up"),
        Binding("pagedown", "page(1)", "Page down", show=False, id="table.page_down"),
        Binding("home", "edge(0)", "First row", show=False, id="table.first"),
        Binding("end", "edge(-1)", "Last row", show=False, id="table.last"),
        Binding("enter", "choose", "Detail", key_display="enter", id="table.detail"),
    ]
    COMPONENT_CLASSES: ClassVar[set[str]] = {"live-table--cursor"}
    DEFAULT_CSS = """
    LiveTable {
        height: 1fr;
        & > .live-table--cursor { color: $accent; text-style: bold reverse; }
    }
    """

    class Chosen(Message):
        """The operator wants to see this row."""

        def __init__(self, table: LiveTable, key: str) -> None:
            super().__init__()
            self.table = table
            self.key = key

        @property
        def control(self) -> LiveTable:
            """The table, for handlers that select by it."""
            return self.table

    class Moved(Message):
        """The cursor stands on another row, or on none: it was moved, or its row is gone."""

        def __init__(self, table: LiveTable) -> None:
            super().__init__()
            self.table = table

        @property
        def control(self) -> LiveTable:
            """The table, for handlers that select by it."""
            return self.table

    def __init__(self, columns: Sequence[Column], *, id: str, tail: bool = False) -> None:
        super().__init__(id=id)
        self._columns = tuple(columns)
        self._has_header = True
        self._is_tail = tail
        self._rows: list[Row] = []
        self._fitted = Fit((), 1)
        self._empty: Line = ()
        self._top = 0
        self._cursor_key: str | None = None
        self._cursor_index = 0
        self._is_held_by_hand = False
        self._moved_at_s = float("-inf")
        self._pinned_key = ""

    @property
    def rows(self) -> Sequence[Row]:
        """What is shown, in the order in which it is shown."""
        return self._rows

    @property
    def cursor_key(self) -> str | None:
        """The key of the row under the cursor; None in an empty table."""
        return self._cursor_key

    @property
    def top(self) -> int:
        """The index of the first row in the window."""
        return self._top

    @property
    def header_height(self) -> int:
        """1 while the column titles show, 0 otherwise."""
        return 1 if self._has_header else 0

    def show_header(self, *, shown: bool) -> None:
        """Show or hide the column titles."""
        if shown != self._has_header:
            self._has_header = shown
            self._fit()

    def show(self, rows: Sequence[Row], empty: Line = ()) -> None:
        """Show these rows, given in their proper order; `empty` says why when there are none."""
        placed = self._held(rows) if self._is_held() else list(rows)
        had, key_before = self._rows, self._cursor_key
        self._rows = placed
        self._empty = empty
        before, was_visible = self._cursor_index, self._is_cursor_visible()
        self._anchor()
        self._tell_move(key_before)
        self._repaint_changes(had, before)
        self._show_from(self._top)
        if was_visible and not self._is_cursor_visible():
            self._reveal_cursor()  # enter must not act on a row that went out of sight

    def show_pinned(self, key: str) -> None:
        """Mark the row with this key; an empty one marks none."""
        if key != self._pinned_key:
            self._pinned_key = key
            self.refresh()

    def release_order(self) -> None:
        """Take the next rows in the order in which they come, although the cursor moved just now."""
        self._moved_at_s = float("-inf")

    def move_to(self, key: str) -> bool:
        """Put the cursor on a row; False when there is no such row."""
        for index, row in enumerate(self._rows):
            if row.key == key:
                self._place(index)
                return True
        return False

    # Order and cursor

    def _is_held(self) -> bool:
        return time.monotonic() - self._moved_at_s < HOLD_ORDER_S

    def _held(self, rows: Sequence[Row]) -> list[Row]:
        """The rows in the order that is on the screen, new ones behind it."""
        position = {row.key: index for index, row in enumerate(self._rows)}
        behind = len(position)
        return sorted(rows, key=lambda row: position.get(row.key, behind))

    def _anchor(self) -> None:
        """Find the cursor's row again; when it is gone the cursor stays near where it was.

        Before the operator ever took the table's cursor up, it stays on the first row.
        """
        if not self._rows:
            self._cursor_key, self._cursor_index = None, 0
            return
        if not self._is_held_by_hand:
            self._cursor_key, self._cursor_index = self._rows[0].key, 0
            return
        for index, row in enumerate(self._rows):
            if row.key == self._cursor_key:
                self._cursor_index = index
                return
        self._cursor_index = min(self._cursor_index, len(self._rows) - 1)
        self._cursor_key = self._rows[self._cursor_index].key

    def _place(self, index: int) -> None:
        if not self._rows:
            return
        self._is_held_by_hand = index > 0 or not self._is_tail
        old, key_before = self._cursor_index, self._cursor_key
        self._cursor_index = max(0, min(index, len(self._rows) - 1))
        self._cursor_key = self._rows[self._cursor_index].key
        self._tell_move(key_before)
        self._repaint_row(old)
        self._repaint_row(self._cursor_index)
        self._reveal_cursor()

    def _tell_move(self, key_before: str | None) -> None:
        if self._cursor_key != key_before:
            self.post_message(self.Moved(self))

    @property
    def _window(self) -> int:
        return max(1, self.size.height - self.header_height)

    def _is_cursor_visible(self) -> bool:
        return 0 <= self._cursor_index - self._top < self._window

    def _reveal_cursor(self) -> None:
        if self._cursor_index < self._top:
            self._show_from(self._cursor_index)
        elif self._cursor_index >= self._top + self._window:
            self._show_from(self._cursor_index - self._window + 1)

    def _show_from(self, top: int) -> None:
        """Show the rows from `top` on, and no emptiness behind the last one while there are enough."""
        bounded = max(0, min(top, len(self._rows) - self._window))
        if bounded != self._top:
            self._top = bounded
            self.refresh()

    def on_mouse_scroll_down(self) -> None:
        """The wheel moves the window, not the cursor."""
        self._show_from(self._top + _WHEEL_ROWS)

    def on_mouse_scroll_up(self) -> None:
        """See `on_mouse_scroll_down`."""
        self._show_from(self._top - _WHEEL_ROWS)

    def action_cursor(self, step: int) -> None:
        """Move the cursor by rows."""
        self._moved_at_s = time.monotonic()
        self._place(self._cursor_index + step)

    def action_page(self, direction: int) -> None:
        """Move the cursor by a page."""
        self.action_cursor(direction * max(1, self._window - 1))

    def action_edge(self, index: int) -> None:
        """Move the cursor to the first (0) or last (-1) row."""
        self._moved_at_s = time.monotonic()
        self._place(index if index >= 0 else len(self._rows) - 1)

    def action_choose(self) -> None:
        """Ask for the row under the cursor."""
        if self._cursor_key is not None:
            self.post_message(self.Chosen(self, self._cursor_key))

    def on_click(self, event: events.Click) -> None:
        """A click moves the cursor; a second one on the same row asks for it."""
        index = event.y - self.header_height + self._top
        if event.y < self.header_height or not 0 <= index < len(self._rows):
            return
        again = index == self._cursor_index and event.chain > 1
        self._moved_at_s = time.monotonic()
        self._place(index)
        if again:
            self.action_choose()

    # Painting

    def on_resize(self) -> None:
        """Choose the columns that fit."""
        self._fit()

    def on_focus(self, event: events.Focus) -> None:
        """The cursor of the table that has the keys is painted; it is the operator's from now on."""
        self._is_held_by_hand = bool(self._rows) and not self._is_tail
        self._tell_focus(event, events.DescendantFocus(self), has_focus=self.screen.focused is self)

    def on_blur(self, event: events.Blur) -> None:
        """See `on_focus`."""
        self._tell_focus(event, events.DescendantBlur(self), has_focus=False)

    def _tell_focus(self, event: events.Event, news: events.Event, *, has_focus: bool) -> None:
        event.prevent_default()  # Textual's own handler paints every row anew
        self.show_focus(has_focus=has_focus)
        if self.parent is not None:
            self.parent.post_message(news)

    def show_focus(self, *, has_focus: bool) -> None:
        """Paint the cursor as it is while this table has the keys, or has not."""
        if has_focus != self.has_focus:
            self.has_focus = has_focus
            self._repaint_row(self._cursor_index)

    def watch_has_focus(self, _has_focus: bool) -> None:
        """No style asks for the focus: there is nothing to match anew."""

    def _fit(self) -> None:
        self._fitted = fit_columns(self._columns, self.size.width - len(_MARKER) - len(_MORE_BELOW))
        self._show_from(self._top)
        if not self._is_cursor_visible():
            self._reveal_cursor()
        self.refresh()

    def _line(self, row: Row) -> Line:
        return _aligned(row.cells, self._columns, self._fitted)

    def _repaint_changes(self, had: list[Row], cursor_before: int) -> None:
        longest = max(len(had), len(self._rows), 1)
        for index in range(self._top, min(longest, self._top + self._window)):
            old = had[index] if index < len(had) else None
            new = self._rows[index] if index < len(self._rows) else None
            if old is not new and old != new:
                self._repaint_row(index)
        if cursor_before != self._cursor_index:
            self._repaint_row(cursor_before)
            self._repaint_row(self._cursor_index)
        if not self._rows:
            self._repaint_row(0)
        if (len(had) > self._top + self._window) != (len(self._rows) > self._top + self._window):
            self._repaint_row(self._top + self._window - 1)

    def _repaint_row(self, index: int) -> None:
        y = index - self._top + self.header_height
        if self.header_height <= y < self.size.height:
            self.refresh(Region(0, y, self.size.width, 1))

    def render_line(self, y: int) -> Strip:
        """One line: the titles, a row, or why there is none."""
        width = self.size.width
        if y < self.header_height:
            titles = tuple(Span(column.title, Tone.MUTED) for column in self._columns)
            return self.strip_of((Span("  "), *_aligned(titles, self._columns, self._fitted)), width)
        index = y - self.header_height + self._top
        if index >= len(self._rows):
            empty = (Span("  "), *self._empty) if not self._rows and index == 0 else ()
            return self.strip_of(empty, width)
        here = index == self._cursor_index
        pinned = self._rows[index].key == self._pinned_key
        sign = _MARKER if here else _PINNED if pinned else "  "
        marker = Span(sign, Tone.OURS if pinned or (here and self.has_focus) else Tone.MUTED)
        row = padded((marker, *self._line(self._rows[index])), width - 1)
        return self.strip_of((*row, self._more(index)), width, self._cursor_style() if here else None)

    def _more(self, index: int) -> Span:
        """The last cell: at the window's ends it says whether there are rows beyond them."""
        if index == self._top and self._top > 0:
            return Span(_MORE_ABOVE, Tone.MUTED)
        if index == self._top + self._window - 1 and index + 1 < len(self._rows):
            return Span(_MORE_BELOW, Tone.MUTED)
        return Span(" ")

    def _cursor_style(self) -> Style | None:
        return self.get_component_rich_style("live-table--cursor") if self.has_focus else None


class Fit(NamedTuple):
    """Columns fitted into a width: 0 for one that does not show, and the cells between those that do."""

    widths: tuple[int, ...]
    gap: int


def fit_columns(columns: Sequence[Column], room: int) -> Fit:
    """Fit columns into `room` cells, lowest ranks first; what is left over goes to the stretching one."""
    fits = [_fitted(columns, room, gap) for gap in _GAPS]
    return max(fits, key=lambda fit: sum(width > 0 for width in fit.widths))


def _fitted(columns: Sequence[Column], room: int, gap: int) -> Fit:
    widths = [0] * len(columns)
    left = room
    for index in sorted(range(len(columns)), key=lambda index: columns[index].rank):
        needed = columns[index].width + (gap if any(widths) else 0)
        if needed > left:
            break
        widths[index] = columns[index].width
        left -= needed
    for index, column in enumerate(columns):
        if column.stretch and widths[index]:
            widths[index] += left
    return Fit(tuple(widths), gap)


def _aligned(cells: Line, columns: Sequence[Column], fit: Fit) -> Line:
    parts: list[Span] = []
    for cell, column, width in zip(cells, columns, fit.widths, strict=False):
        if not width:
            continue
        if parts:
            parts.append(Span(" " * fit.gap))
        text = cell.text if cell.text.isprintable() else span(cell.text).text
        missing = width - cell_len(text)
        if missing < 0:
            text = set_cell_size(text, width - 1) + "…"
        elif column.right:
            text = " " * missing + text
        else:
            text += " " * missing
        parts.append(cell._replace(text=text))
    return tuple(parts)
