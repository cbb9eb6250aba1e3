"""The dialog with the link to the explorer: to click, to copy, or to read off where there is no browser."""

from __future__ import annotations

import os
import webbrowser
from collections.abc import Iterable
from typing import ClassVar

from rich.style import Style
from rich.text import Text
from textual.binding import Binding, BindingType
from textual.widget import Widget
from textual.widgets import Button, Static

from tui.explorer import has_browser, link_to
from tui.lines import Span, Tone, line, span
from tui.screens.dialog import Dialog


class LinkDialog(Dialog[None]):
    """Shows the link of one account; terminals that know OSC 8 open it with a click."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("y", "copy", "Copy the link", id="link.copy"),
        Binding("o", "open", "Open it here", id="link.open"),
    ]

    def __init__(self, address: str, cluster: str) -> None:
        self._link = link_to(address, cluster)
        text = [line(span(address, bold=True)), line("")]
        if self._link is None:
            text.append(line(Span("no public explorer", Tone.ATTENTION), span(f" has {cluster or 'it'}")))
        super().__init__("Explorer", text)

    def middle(self) -> Iterable[Widget]:
        """The link."""
        if self._link is not None:
            yield Static(Text(self._link, Style(link=self._link, underline=True)), id="link")

    def choices(self) -> Iterable[Widget]:
        """Close, copy, and open where a browser would open."""
        yield Button("Close (esc)", id="cancel", compact=True)
        if self._link is not None:
            yield Button("Copy the link (y)", id="copy", compact=True)
            if has_browser(os.environ):
                yield Button("Open it here (o)", id="open", compact=True)

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:  # noqa: ARG002 - Textual's signature
        """Nothing is offered that would not work."""
        if action == "copy":
            return self._link is not None
        if action == "open":
            return self._link is not None and has_browser(os.environ)
        return True

    async def on_button_pressed(self, event: Button.Pressed) -> None:
        """The buttons are the keys."""
        await self.run_action(event.button.id or "cancel")

    def action_copy(self) -> None:
        """Put the link into the clipboard."""
        if self._link is not None:
            self.app.copy_to_clipboard(self._link)
        self.dismiss(None)

    def action_open(self) -> None:
        """Open the link in a browser of this machine."""
        if self._link is not None:
            webbrowser.open(self._link)
        self.dismiss(None)
