"""The app: owns the state, the workers and the way to the engine. Panes only show, screens only ask."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import ClassVar, Protocol, runtime_checkable

import msgspec
from textual import on
from textual.app import App, SystemCommand
from textual.binding import Binding, BindingType
from textual.screen import Screen

from engine.api.clean import clean
from engine.api.client import EngineClient
from engine.errors import OperatorError
from tui import crash, sizes
from tui.commands import STOP, Commands
from tui.feed import follow
from tui.happenings import Happenings
from tui.live_table import LiveTable
from tui.messages import (
    CommandDone,
    CommandFailed,
    FeedLost,
    FeedSilent,
    LaunchFailed,
    LaunchProgress,
    SnapshotArrived,
)
from tui.panes.banner import Banner
from tui.place_screens import place_screen
from tui.places import PLACES
from tui.plan import LaunchPlan
from tui.screens.confirm import clear_queue_dialog, retry_dialog
from tui.screens.detail import DetailScreen
from tui.screens.help import HelpScreen
from tui.screens.main import MainScreen
from tui.screens.place import Access, PlaceScreen
from tui.screens.quit import Leaving, QuitDialog
from tui.screens.resume import ResumeDialog, ResumeOrder
from tui.state import ConsoleState, Link, gate_of, is_stopped
from tui.supervisor import EngineHost, LaunchedHost, Supervisor
from tui.theme import DEFAULT_THEME, THEMES

STOP_REASON = "emergency stop from the console"
_TOAST_S = 6.0
_LONGEST_NOTE = 400


@runtime_checkable
class ShowsState(Protocol):
    """A screen that follows the state."""

    def show_state(self, state: ConsoleState, now_ns: int) -> None:
        """Show this state as of `now_ns`."""
        ...


class ConsoleApp(App[Leaving], inherit_bindings=False):
    """One console; what it exits with says what becomes of the engine."""

    CSS_PATH = Path(__file__).with_name("console.tcss")
    TITLE = "liquidation-engine"
    ENABLE_COMMAND_PALETTE = True
    HORIZONTAL_BREAKPOINTS = sizes.HORIZONTAL
    VERTICAL_BREAKPOINTS = sizes.VERTICAL
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding(
            "ctrl+e",
            "emergency_stop",
            "STOP",
            key_display="ctrl+e",
            priority=True,
            tooltip="emergency stop: at once, from anywhere, without asking",
        ),
        Binding(
            "u",
            "resume",
            "Resume",
            tooltip="lift the stop: shows the checks, asks for a reason and a typed word",
        ),
        Binding("question_mark", "help", "Help", key_display="?", tooltip="this page"),
        Binding(
            "q,ctrl+c", "quit_dialog", "Quit", key_display="q", tooltip="asks whether the engine runs on"
        ),
    ]

    def __init__(self, plan: LaunchPlan, *, host: EngineHost | None = None) -> None:
        super().__init__()
        self.plan = plan
        self.state = ConsoleState()
        self.happenings = Happenings()
        self.farewell = ""
        self._commands = Commands(plan.paths, self.post_message)
        self._host = host if host is not None else LaunchedHost(plan)
        self._supervisor = Supervisor(self._host, self.post_message)
        self._applicable: tuple[object, ...] = ()
        for theme in THEMES:
            self.register_theme(theme)
        self.theme = DEFAULT_THEME

    def get_default_screen(self) -> MainScreen:
        """The panes."""
        return MainScreen()

    def on_ready(self) -> None:
        """Start listening first, so that an engine that runs already is seen without delay."""
        follower = follow(self.plan.paths.socket, self.plan.interval_ms, self.post_message)
        self.run_worker(follower, group="feed", name="feed")
        if not self.plan.attach_only:
            self.run_worker(self._supervisor.run(), group="supervisor", name="supervisor")
        self._show()

    # What the workers tell

    @on(SnapshotArrived)
    def _take_snapshot(self, event: SnapshotArrived) -> None:
        first = self.state.snapshot is None
        self._change(
            snapshot=event.snapshot,
            received_ns=event.received_ns,
            link=Link.LIVE,
            activity="",
            failure="",
            standing_stop=False,
        )
        if first or is_stopped(self.state):
            self._change(stop_sent_ns=0)
        self._supervisor.heard(draining=event.snapshot.engine.phase == "draining")
        for screen in self.screen_stack:
            if isinstance(screen, ResumeDialog):
                screen.show_gate(event.snapshot.gate)
        self._show()

    @on(FeedSilent)
    def _take_silence(self) -> None:
        self._change(link=Link.SILENT)
        self._show()

    @on(FeedLost)
    def _take_loss(self, event: FeedLost) -> None:
        known = self.state.snapshot is not None
        self._change(link=Link.LOST if known else Link.WAITING, link_reason=event.reason)
        if not self.plan.attach_only:
            self._supervisor.lost()
        self._show()

    @on(LaunchProgress)
    def _take_progress(self, event: LaunchProgress) -> None:
        self._change(activity=event.activity, failure="")
        self._show()

    @on(LaunchFailed)
    def _take_failure(self, event: LaunchFailed) -> None:
        if self.state.link is not Link.LIVE:
            self._change(activity="", failure=event.reason)
        self._show()

    @on(CommandDone)
    def _take_answer(self, event: CommandDone) -> None:
        self._change(gate=event.acknowledged.gate)
        if event.command == STOP:
            self._change(stop_sent_ns=0)
        self.tell(event.acknowledged.message)
        self._show()

    @on(CommandFailed)
    def _take_refusal(self, event: CommandFailed) -> None:
        if event.command == STOP:
            self._change(standing_stop=event.standing_stop, stop_sent_ns=0)
        self.tell(event.reason, trouble=f"{event.command}: not done")
        self._show()

    # What the screens ask for

    @on(MainScreen.WantsRetry)
    def _ask_retry(self, event: MainScreen.WantsRetry) -> None:
        captured = event.row.liquidation_id

        def answered(confirmed: bool | None) -> None:
            if confirmed:
                self.run_worker(self._commands.retry(captured), group="command")

        self.push_screen(retry_dialog(event.row), answered)

    @on(MainScreen.WantsDismissal)
    def _dismiss(self, event: MainScreen.WantsDismissal) -> None:
        self.run_worker(self._commands.dismiss(event.row.liquidation_id), group="command")

    @on(MainScreen.WantsDetail)
    def _open_detail(self, event: MainScreen.WantsDetail) -> None:
        self.push_screen(DetailScreen(self.plan.paths, event.address))
        self.call_after_refresh(self._show)

    # Keys

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:  # noqa: ARG002 - Textual's signature
        """Dim what cannot be done now; the stop key is never dimmed."""
        if action == "resume":
            return True if is_stopped(self.state) and self.state.link is Link.LIVE else None
        return True

    def action_emergency_stop(self) -> None:
        """Stop, now. Pressing it again while the answer is out changes nothing."""
        if not self.state.stop_sent_ns:
            asking = self._commands.press_stop(STOP_REASON)
            self._change(stop_sent_ns=time.time_ns())
            self.run_worker(self._commands.stop(STOP_REASON, asking), group="stop")
            self._show()

    def action_resume(self) -> None:
        """Open the resume dialog for the stop that is in force."""
        gate = gate_of(self.state)
        if gate is None or not is_stopped(self.state):
            return

        def answered(order: ResumeOrder | None) -> None:
            if order is not None:
                self.run_worker(self._commands.resume(order.reason, order.gate_version), group="command")

        dialog = ResumeDialog(gate)
        self.push_screen(dialog, answered)
        dialog.run_worker(self._fetch_checks(dialog), group="checks")

    def action_clear_queue(self) -> None:
        """Ask whether to clear the queue."""
        snapshot = self.state.snapshot
        if snapshot is None or not snapshot.queue_length:
            return

        def answered(confirmed: bool | None) -> None:
            if confirmed:
                self.run_worker(self._commands.clear_queue(), group="command")

        self.push_screen(clear_queue_dialog(snapshot.queue_length), answered)

    def action_place(self, name: str) -> None:
        """Go to a place; from one place to another the main screen stays below; its own key leads back."""
        here = self.screen
        if isinstance(here, PlaceScreen) and name == here.NAME:
            here.action_back()
            return
        screen = place_screen(name, Access(self.plan.paths, self._commands, self.happenings))
        if isinstance(here, PlaceScreen):
            self.switch_screen(screen)
        else:
            self.push_screen(screen)
        self.call_after_refresh(self._show)

    def action_pause(self) -> None:
        """Hold the display still, or let it go on; the banner goes on in any case."""
        self._change(paused_ns=0 if self.state.paused_ns else time.time_ns())
        self._show()

    def action_help(self) -> None:
        """Show every key."""
        groups: tuple[tuple[str, list[BindingType]], ...] = (
            ("Everywhere", ConsoleApp.BINDINGS),
            ("Main screen", MainScreen.BINDINGS),
            ("Tables", LiveTable.BINDINGS),
            ("Position", DetailScreen.BINDINGS),
        )
        bindings = [(name, each) for name, group in groups for each in group if isinstance(each, Binding)]
        self.push_screen(HelpScreen(bindings))
        self.call_after_refresh(self._show)

    def action_quit_dialog(self) -> None:
        """Ask what becomes of the engine."""
        live = self.state.link in (Link.LIVE, Link.SILENT)
        sent = self.state.snapshot.in_flight if self.state.snapshot else 0
        with_sandbox = self.plan.sandbox_arguments is not None and not self.plan.attach_only
        dialog = QuitDialog(engine_known=live, sent=sent, with_sandbox=with_sandbox)
        self.push_screen(dialog, self._leave)

    async def action_quit(self) -> None:
        """Every way out asks first."""
        self.action_quit_dialog()

    def action_start_engine(self) -> None:
        """Start the engine again after it ended or could not start."""
        self._supervisor.start_again()

    def get_system_commands(self, screen: Screen[object]) -> Iterable[SystemCommand]:
        """The palette has every key's command."""
        yield SystemCommand("Emergency stop", "Stop at once", self.action_emergency_stop)
        if self.check_action("resume", ()):
            yield SystemCommand("Resume", "Lift the stop, after checks and a typed word", self.action_resume)
        if self.state.link is not Link.LIVE and not self.plan.attach_only:
            yield SystemCommand("Start the engine", "Bring it up again", self.action_start_engine)
        if isinstance(screen, MainScreen):
            yield from _main_commands(screen, self)
        for place in PLACES:
            yield SystemCommand(place.title, place.tooltip, partial(self.action_place, place.name))
        yield SystemCommand("Theme", "Change the colours", self.action_change_theme)
        yield SystemCommand("Help", "Every key", self.action_help)
        yield SystemCommand("Quit", "Leave the engine running, or stop it", self.action_quit_dialog)

    # Inside

    def tell(self, text: str, *, trouble: str = "") -> None:
        """Show a note for a moment; `trouble` is its title when something did not work."""
        note = clean(text, _LONGEST_NOTE)
        self.happenings.tell("attention" if trouble else "info", f"{trouble}: {note}" if trouble else note)
        if trouble:
            self.notify(note, title=trouble, severity="error", markup=False, timeout=2 * _TOAST_S)
        else:
            self.notify(note, markup=False, timeout=_TOAST_S)

    def _change(self, **changes: object) -> None:
        before = self.state
        self.state = replace(before, **changes)  # type: ignore[arg-type]
        self.happenings.follow(before, self.state)

    def _show(self) -> None:
        """Every screen follows, the covered ones too: their banner shows behind the dialogs."""
        now_ns = time.time_ns()
        for screen in self.screen_stack:
            # A screen that is being taken down has lost its banner already.
            if isinstance(screen, ShowsState) and screen.query(Banner):
                screen.show_state(self.state, now_ns)
        applicable = (is_stopped(self.state), self.state.link, self._main_facts())
        if applicable != self._applicable:
            self._applicable = applicable
            self.screen.refresh_bindings()

    def _main_facts(self) -> tuple[bool, bool]:
        snapshot = self.state.snapshot
        return (bool(snapshot and snapshot.queue_length), bool(snapshot and snapshot.failed))

    async def _fetch_checks(self, dialog: ResumeDialog) -> None:
        try:
            async with EngineClient(self.plan.paths.socket) as client:
                dialog.show_checks(await client.resume_checks())
        except (OperatorError, msgspec.MsgspecError) as error:
            dialog.show_trouble(str(error))

    def _leave(self, leaving: Leaving | None) -> None:
        if leaving is Leaving.STOP:
            self.run_worker(self._stop_and_leave(), group="quit")
        elif leaving is Leaving.LEAVE:
            running = self.state.link in (Link.LIVE, Link.SILENT)
            self.farewell = (
                "The engine runs on. `liquidation-engine` shows it again, `liquidation-engine stop` stops it."
                if running
                else ""
            )
            self.exit(leaving)

    async def _stop_and_leave(self) -> None:
        self.workers.cancel_group(self, "supervisor")
        try:
            await self._commands.shutdown()
            self._change(activity="the engine settles what is in flight and ends…")
            await self._host.take_down_surroundings()
        except OperatorError as error:
            self.tell(str(error), trouble="not stopped")
            return
        self.farewell = "The engine was asked to settle what is in flight and end."
        self.exit(Leaving.STOP)

    def _handle_exception(self, error: Exception) -> None:
        """Textual prints local variables when it crashes: keep a traceback without them instead."""
        self._return_code = crash.EXIT_CODE
        if self._exception is None:
            self._exception = error
            self._exception_event.set()
            self.farewell = crash.report(error, self.plan.paths.state)
        self._close_messages_no_wait()


def _main_commands(screen: MainScreen, app: ConsoleApp) -> Iterable[SystemCommand]:
    """The main screen's own keys, offered where they would do something."""
    offered: tuple[tuple[str, str, str, Callable[[], object]], ...] = (
        ("retry", "Retry", "Try the failed liquidation under the cursor again", screen.action_retry),
        ("dismiss_failed", "Dismiss", "Take it off the list", screen.action_dismiss_failed),
        ("clear_queue", "Clear queue", "Drop what is queued and not signed", app.action_clear_queue),
        ("filter", "Filter", "Filter the at-risk positions", screen.action_filter),
        ("pause", "Pause", "Hold the display, or let it go", app.action_pause),
    )
    for action, title, what, callback in offered:
        if screen.check_action(action, ()):
            yield SystemCommand(title, what, callback)
