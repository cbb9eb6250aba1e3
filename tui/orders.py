"""What an operator orders: asked about where it must be, and sent as it was when the key was pressed."""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Sequence
from typing import Any, Protocol

import msgspec
from textual.screen import Screen

from engine.api import wire
from engine.api.client import EngineClient
from engine.errors import OperatorError
from engine.paths import ProfilePaths
from tui.commands import Commands
from tui.screens.confirm import clear_queue_dialog, retry_dialog, take_command_dialog
from tui.screens.resume import ResumeDialog, ResumeOrder
from tui.screens.retry_all import RetryAllDialog
from tui.state import ConsoleState, command_of, gate_of, is_stopped, other_in_command


class Desk(Protocol):
    """Where orders are given: the app, as far as they need it."""

    @property
    def state(self) -> ConsoleState:
        """What is known now."""
        ...

    def ask(self, dialog: Screen[Any], answered: Callable[[Any], None]) -> None:
        """Open a dialog; `answered` gets what it was closed with."""
        ...

    def start(self, work: Coroutine[Any, Any, None], group: str) -> None:
        """Do this in the background."""
        ...


class Orders:
    """Each method opens a dialog or sends at once; the answer comes to the app as a message."""

    def __init__(self, desk: Desk, commands: Commands, paths: ProfilePaths) -> None:
        self._desk = desk
        self._commands = commands
        self._paths = paths

    def retry(self, row: wire.FailedRow) -> None:
        """Ask whether to try exactly this one again."""

        def answered(confirmed: bool | None) -> None:
            if confirmed:
                self._send(self._commands.retry(row.liquidation_id))

        self._desk.ask(retry_dialog(row), answered)

    def retry_all(self, outcome: str, rows: Sequence[wire.FailedRow]) -> None:
        """Ask whether to try all again that failed in this way."""

        def answered(confirmed: bool | None) -> None:
            if confirmed:
                self._send(self._commands.retry_all(outcome))

        self._desk.ask(RetryAllDialog(outcome, rows), answered)

    def dismiss(self, row: wire.FailedRow) -> None:
        """Take one off the list, without asking: its record stays."""
        self._send(self._commands.dismiss(row.liquidation_id))

    def clear_queue(self) -> None:
        """Ask whether to drop what is queued, if anything is."""
        snapshot = self._desk.state.snapshot
        if snapshot is None or not snapshot.queue_length:
            return

        def answered(confirmed: bool | None) -> None:
            if confirmed:
                self._send(self._commands.clear_queue())

        self._desk.ask(clear_queue_dialog(snapshot.queue_length, snapshot.in_flight), answered)

    def command(self, now_ns: int) -> None:
        """Let command go, take it where nobody has it, or ask whether to relieve the one that has."""
        state = self._desk.state
        view, other = command_of(state), other_in_command(state)
        if view is None:
            return
        if other is None:
            mine = view.console == state.console
            self._send(self._commands.release_command() if mine else self._commands.take_command(""))
            return

        def answered(confirmed: bool | None) -> None:
            if confirmed:
                self._send(self._commands.take_command(other.console))

        self._desk.ask(take_command_dialog(other, now_ns), answered)

    def resume(self) -> None:
        """Open the resume dialog for the stop that is in force."""
        gate = gate_of(self._desk.state)
        if gate is None or not is_stopped(self._desk.state):
            return

        def answered(order: ResumeOrder | None) -> None:
            if order is not None:
                self._send(self._commands.resume(order.reason, order.gate_version))

        dialog = ResumeDialog(gate)
        self._desk.ask(dialog, answered)
        dialog.run_worker(self._fetch_checks(dialog), group="checks")

    def _send(self, work: Coroutine[Any, Any, None]) -> None:
        self._desk.start(work, "command")

    async def _fetch_checks(self, dialog: ResumeDialog) -> None:
        try:
            async with EngineClient(self._paths.socket) as client:
                dialog.show_checks(await client.resume_checks())
        except (OperatorError, msgspec.MsgspecError) as error:
            dialog.show_trouble(str(error))
