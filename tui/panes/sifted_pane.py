"""A table whose rows an operator sorts, filters, searches and follows; each pane says what its rows are."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import ClassVar, Generic, TypeVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.widgets import Input

from tui import format as fmt
from tui.lines import Line, Span, Tone, line, span
from tui.live_table import Column, Row
from tui.panes.filter_line import FilterInput
from tui.panes.table_pane import TablePane
from tui.query import BadQuery, Facts, Number, Query, order_key, parse

Thing = TypeVar("Thing")
_LONGEST_NOTE = 30


class SiftedPane(TablePane, Generic[Thing]):
    """Keeps the things of the newest snapshot and shows those that pass, in the order asked for.

    A followed row stands first whatever the order is, and is said to be gone when it is.
    """

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding(
            "slash",
            "filter",
            "Filter",
            key_display="/",
            id="pane.filter",
            priority=True,  # a key typed right behind this one must find the field, not the table
            tooltip="by words and terms: sol side:long health<1.1 -partial",
        ),
        Binding(
            "ctrl+f",
            "find",
            "Find",
            show=False,
            id="pane.find",
            priority=True,
            tooltip="go to the next row with this text",
        ),
        Binding("n", "found(1)", "Next found", show=False, id="pane.found_next"),
        Binding("N", "found(-1)", "Found before", show=False, id="pane.found_before"),
        Binding("o", "sort", "Sort", id="pane.sort", tooltip="by the next column, then as the engine orders"),
        Binding("O", "turn", "Turn order", show=False, id="pane.turn", tooltip="largest first, or smallest"),
        Binding(
            "w",
            "follow",
            "Follow",
            show=False,
            id="pane.follow",
            tooltip="keep this row on top, or let it go",
        ),
        Binding("escape", "let_go", "Clear filter", show=False, id="pane.let_go"),
    ]
    FIELDS: ClassVar[tuple[str, ...]] = ()

    def __init__(self, title: str, columns: Sequence[Column], *, name: str, tail: bool = False) -> None:
        super().__init__(title, columns, name=name, tail=tail)
        self._things: Mapping[str, Thing] | None = None
        self._shown: dict[str, tuple[Thing, Row]] = {}
        self._facts: Line = ()
        self._empty: Line = ()
        self._query = Query()
        self._trouble = ""
        self._wanted = ""
        self._field = ""
        self._largest_first = False
        self._followed = ""
        self._purpose = "filter"

    # What a pane says of its things

    def key_of(self, thing: Thing) -> str:
        """What the thing is, for as long as it lives."""
        raise NotImplementedError

    def row_of(self, thing: Thing) -> Row:
        """The thing as a row."""
        raise NotImplementedError

    def facts_of(self, thing: Thing) -> Facts:
        """What filters and orders go by: a fact for each of FIELDS."""
        raise NotImplementedError

    def address_of(self, key: str | None) -> str | None:
        """The position that a row is about, None where it is about none."""
        del key
        return None

    # What is shown

    def compose(self) -> ComposeResult:
        """The rule, the line to type in while it is open, the table."""
        yield self.rule
        yield FilterInput(classes="typed", id=f"{self.id}-typed", compact=True)
        yield self.table

    @property
    def thing_under_cursor(self) -> Thing | None:
        """What the table's cursor is on."""
        key = self.table.cursor_key
        return None if key is None or self._things is None else self._things.get(key)

    def show_things(self, facts: Line, things: Sequence[Thing], empty: Line) -> None:
        """Show these, given in the engine's order, with `facts` in the rule; or `empty` without any."""
        self._facts, self._empty = facts, empty
        self._things = {self.key_of(thing): thing for thing in things}
        self._draw()

    def _draw(self) -> None:
        if self._things is None:
            return
        passing = [thing for thing in self._things.values() if self._passes(thing)]
        ordered = self._ordered(passing)
        followed = self._things.get(self._followed)
        if followed is not None:
            ordered = [followed, *(thing for thing in ordered if thing is not followed)]
        self.table.show_pinned(self._followed)
        shown = [self._row(thing) for thing in ordered]
        self._shown = {row.key: (thing, row) for thing, row in zip(ordered, shown, strict=True)}
        # First what was asked for: the counts behind it are what a narrow rule can do without.
        self.show_rows((*self._notes(len(passing)), *self._facts), shown, self._reason())

    def _row(self, thing: Thing) -> Row:
        """Its row; the same as before when it has not changed."""
        before = self._shown.get(self.key_of(thing))
        return before[1] if before is not None and before[0] == thing else self.row_of(thing)

    def _passes(self, thing: Thing) -> bool:
        return not self._query or self._query.matches(self.facts_of(thing))

    def _ordered(self, things: list[Thing]) -> list[Thing]:
        if not self._field:
            return things
        keyed = [(order_key(self.facts_of(thing).get(self._field)), thing) for thing in things]
        known = [pair for pair in keyed if pair[0][0] == 0]
        known.sort(key=lambda pair: pair[0], reverse=self._largest_first)
        return [thing for _, thing in known] + [thing for key, thing in keyed if key[0]]

    def _notes(self, passing: int) -> Line:
        """What the operator asked of the pane, so that nobody takes a part for the whole."""
        notes: list[Span] = []
        if self._trouble:
            notes.append(span(f"✕ {self._trouble}  ", Tone.ATTENTION))
        elif self._query:
            notes.append(span(f'{passing} match "{_short(self._query.text)}"  ', Tone.OURS))
        if self._field:
            arrow = "▾" if self._largest_first else "▴"
            notes.append(Span(f"sort {self._field} {arrow}  ", Tone.OURS))
        if self._wanted:
            notes.append(span(f'find "{_short(self._wanted)}"  ', Tone.OURS))
        if self._followed:
            is_here = self._things is not None and self._followed in self._things
            name = fmt.address(self.followed_name)
            gone = "" if is_here else ": gone from here"
            notes.append(span(f"follows {name}{gone}  ", Tone.OURS if is_here else Tone.ATTENTION))
        return tuple(notes)

    @property
    def followed_name(self) -> str:
        """What the followed row is called."""
        return self.address_of(self._followed) or self._followed

    def _reason(self) -> Line:
        if self._query and self._things:
            return line(span(f'nothing matches "{self._query.text}": escape clears the filter', Tone.MUTED))
        return self._empty

    # Keys

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """Whoever types has these keys for the text."""
        if action in {"filter", "find"}:
            return not isinstance(self.screen.focused, Input)
        return super().check_action(action, parameters)

    def action_filter(self) -> None:
        """Type a filter."""
        self._type("filter", self._query.text, f"words, or {_example(self.FIELDS)}")

    def action_find(self) -> None:
        """Type what to look for; the filter stays as it is."""
        self._type("find", self._wanted, "text of the row to go to; n and N go on from there")

    def action_found(self, step: int) -> None:
        """Go to the next row with the text that was looked for, or the one before."""
        self._go_to(step, include_here=False)

    def action_sort(self) -> None:
        """Order by the next field; after the last one as the engine orders."""
        order = ("", *self.FIELDS)
        self._field = order[(order.index(self._field) + 1) % len(order)]
        self._largest_first = False
        self._order_anew()

    def action_turn(self) -> None:
        """Largest first, or smallest."""
        if self._field:
            self._largest_first = not self._largest_first
            self._order_anew()

    def action_follow(self) -> None:
        """Keep the row under the cursor on top; on that row, let it go."""
        key = self.table.cursor_key or ""
        self._followed = "" if key == self._followed else key
        self._order_anew()

    def action_let_go(self) -> None:
        """Give the filter and the search up."""
        self.query_one(FilterInput).value = ""
        self._query, self._trouble, self._wanted = Query(), "", ""
        self._order_anew()

    def _order_anew(self) -> None:
        # The hand that asks for another order does not want the old one held.
        self.table.release_order()
        self._draw()

    def _type(self, purpose: str, text: str, hint: str) -> None:
        entry = self.query_one(FilterInput)
        self._purpose = purpose
        entry.placeholder = f"{purpose}: {hint}"
        with entry.prevent(Input.Changed):
            entry.value = text
        entry.display = True
        # At once: a key typed right behind this one belongs into the line.
        self.screen.set_focus(entry)

    def on_input_changed(self, event: Input.Changed) -> None:
        """Every letter counts."""
        event.stop()
        if self._purpose == "find":
            self._wanted = event.value.strip()
            self._go_to(1, include_here=True)
        else:
            self._filter_by(event.value)
        self._draw()

    def on_input_submitted(self, event: Input.Submitted) -> None:
        """Keep what was typed, and go back to the table."""
        event.stop()
        event.input.display = False
        self.screen.set_focus(self.table)

    def _filter_by(self, text: str) -> None:
        try:
            self._query, self._trouble = parse(text, self.FIELDS), ""
        except BadQuery as error:
            self._trouble = str(error)

    def _go_to(self, step: int, *, include_here: bool) -> None:
        """Put the cursor on the next row that has the text, around the end if need be."""
        wanted = self._wanted.lower()
        keys = [row.key for row in self.table.rows]
        if not wanted or not keys or self._things is None:
            return
        here = keys.index(self.table.cursor_key) if self.table.cursor_key in keys else 0
        for distance in range(0 if include_here else 1, len(keys) + 1):
            key = keys[(here + step * distance) % len(keys)]
            if _has_text(self.facts_of(self._things[key]), wanted):
                self.table.move_to(key)
                return


def _example(fields: Sequence[str]) -> str:
    return " ".join(f"{field}:…" for field in fields[:3]) + (f" {' '.join(fields[3:])}" if fields[3:] else "")


def _short(text: str) -> str:
    return text if len(text) <= _LONGEST_NOTE else text[: _LONGEST_NOTE - 1] + "…"


def _has_text(facts: Facts, wanted: str) -> bool:
    return any(wanted in fact.lower() for fact in facts.values() if not isinstance(fact, Number))
