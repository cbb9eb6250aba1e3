"""The line in which an operator types a filter or a search."""

from __future__ import annotations

from typing import ClassVar

from textual.binding import Binding, BindingType
from textual.events import Key
from textual.widgets import Input


class FilterInput(Input):
    """Enter and down keep what was typed and leave the line; escape gives it up."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape", "give_up", "Clear filter", show=True, id="typing.give_up")
    ]

    def allow_focus(self) -> bool:
        """Only while it is open: keys would go into a line that nobody sees."""
        return self.display and super().allow_focus()

    def action_give_up(self) -> None:
        """Clear the filter and go back to the table."""
        self.value = ""
        self.post_message(self.Submitted(self, ""))

    async def on_key(self, event: Key) -> None:
        """Down leaves the line for the rows that it left over."""
        if event.key == "down":
            event.stop()
            self.post_message(self.Submitted(self, self.value))
