"""The app: owns the state, the workers and the way to the engine. Panes only show, screens only ask."""

from __future__ import annotations

import os
import secrets
import time
from collections.abc import Callable, Coroutine, Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar

from textual import on
from textual.app import SystemCommand
from textual.binding import BindingType
from textual.filter import LineFilter
from textual.screen import Screen

from engine.api import wire
from engine.api.clean import clean
from engine.api.stream_reader import Pace
from engine.errors import OperatorError
from tui import crash, sizes
from tui import format as fmt
from tui.announcements import Announcer
from tui.app_keys import EVERYWHERE
from tui.ascii_glyphs import AsciiFilter
from tui.clipboard import TooLongToCopy, copy_sequence
from tui.commands import COMMANDING, STOP, Commands
from tui.feed import follow
from tui.happenings import Happenings
from tui.keymap import all_bindings, help_groups
from tui.messages import (
    CommandDone,
    CommandFailed,
    FeedLost,
    FeedSilent,
    LaunchFailed,
    LaunchProgress,
    SnapshotArrived,
    StopHeard,
)
from tui.orders import Orders
from tui.palette import palette_commands
from tui.place_screens import place_screen
from tui.plan import LaunchPlan
from tui.preferences import Preferences
from tui.screens.detail import DetailScreen
from tui.screens.full_screen import FullScreen
from tui.screens.help import HelpScreen
from tui.screens.link import LinkDialog
from tui.screens.main import MainScreen
from tui.screens.place import Access, PlaceScreen
from tui.screens.quit import Leaving, QuitDialog
from tui.screens.resume import ResumeDialog
from tui.state import ConsoleState, Link, command_of, is_stopped, may_command
from tui.supervisor import EngineHost, LaunchedHost, Supervisor
from tui.terminal_app import TerminalApp
from tui.theme import THEMES

RATES_MS = (200, 500, 1_000, 2_000, 5_000, 10_000)
STOP_REASON = "emergency stop from the console"
_TOAST_S = 6.0
_LONGEST_NOTE = 400
_LONGEST_TITLE = 60


class ConsoleApp(TerminalApp[Leaving], inherit_bindings=False):
    """One console; what it exits with says what becomes of the engine."""

    CSS_PATH = Path(__file__).with_name("console.tcss")
    TITLE = "liquidation-engine"
    ENABLE_COMMAND_PALETTE = True
    HORIZONTAL_BREAKPOINTS = sizes.HORIZONTAL
    VERTICAL_BREAKPOINTS = sizes.VERTICAL
    BINDINGS: ClassVar[list[BindingType]] = EVERYWHERE

    def __init__(
        self,
        plan: LaunchPlan,
        *,
        host: EngineHost | None = None,
        preferences: Preferences = Preferences(),  # noqa: B008 - frozen
    ) -> None:
        super().__init__()
        self.plan = plan
        self.state = ConsoleState(
            interval_ms=plan.interval_ms,
            pace_ms=plan.interval_ms,
            is_read_only=preferences.is_read_only,
            console="" if preferences.is_read_only else secrets.token_hex(8),
        )
        self.happenings = Happenings()
        self.farewell = ""
        self._commands = Commands(
            plan.paths,
            self.post_message,
            is_read_only=preferences.is_read_only,
            console=self.state.console,
        )
        self._orders = Orders(self, self._commands, plan.paths)
        self._own_keys = preferences.keymap
        self._announcer = Announcer(self.state.console)
        self._ascii = AsciiFilter(enabled=preferences.is_ascii)
        self._host = host if host is not None else LaunchedHost(plan)
        self._supervisor = Supervisor(self._host, self.post_message)
        self._pace = Pace(plan.interval_ms)
        self._has_screen = False
        self._applicable: tuple[object, ...] = ()
        own = (*THEMES, *([preferences.own_theme] if preferences.own_theme else []))
        for theme in own:
            self.register_theme(theme)
        self.theme = preferences.theme
        for name in set(self.available_themes) - {each.name for each in own}:
            self.unregister_theme(name)  # Textual's own leave states to colour alone
        self.set_keymap(preferences.keymap)

    def get_default_screen(self) -> MainScreen:
        """The panes."""
        return MainScreen()

    def get_line_filters(self) -> Sequence[LineFilter]:
        """What every painted line goes through; a terminal without UTF-8 gets ASCII."""
        return [*super().get_line_filters(), *([self._ascii] if self._ascii.enabled else [])]

    def on_load(self) -> None:
        """Ask the engine before there is a screen: one that runs already has answered when there is."""
        follower = follow(self._commands.client, self._pace, self.post_message)
        self.run_worker(follower, group="feed", name="feed")

    def on_ready(self) -> None:
        """Show what has come meanwhile, and see to an engine."""
        self._has_screen = True
        self.follow_terminal()
        if not self.plan.attach_only:
            self.run_worker(self._supervisor.run(), group="supervisor", name="supervisor")
        self.show_when_read()

    # What the workers tell

    @on(SnapshotArrived)
    def _take_snapshot(self, event: SnapshotArrived) -> None:
        first = self.state.snapshot is None
        self.terminal_pace.look(self.state.interval_ms)
        self._keep_pace()
        self._change(
            snapshot=event.snapshot,
            received_ns=event.received_ns,
            link=Link.LIVE,
            activity="",
            failure="",
            standing_stop=False,
            stop_told="",
        )
        if first or is_stopped(self.state):
            self._change(stop_sent_ns=0)
        self._announce(event.snapshot)
        self._supervisor.heard(draining=event.snapshot.engine.phase == "draining")
        for screen in self.screen_stack:
            if isinstance(screen, ResumeDialog):
                screen.show_gate(event.snapshot.gate)
        self.show_when_read()

    def _announce(self, snapshot: wire.Snapshot) -> None:
        notes = self._announcer.hear(snapshot)
        for note in notes:
            self.tell(note.text, trouble=note.title if note.is_trouble else "")
        if any(note.rings for note in notes):
            self.bell()

    @on(FeedSilent)
    def _take_silence(self) -> None:
        self._change(link=Link.SILENT)
        self.show_when_read()

    @on(FeedLost)
    def _take_loss(self, event: FeedLost) -> None:
        known = self.state.snapshot is not None
        self._change(link=Link.LOST if known else Link.WAITING, link_reason=event.reason)
        if not self.plan.attach_only:
            self._supervisor.lost()
        self.show_when_read()

    @on(LaunchProgress)
    def _take_progress(self, event: LaunchProgress) -> None:
        self._change(activity=event.activity, failure="")
        self.show_when_read()

    @on(LaunchFailed)
    def _take_failure(self, event: LaunchFailed) -> None:
        if self.state.link is not Link.LIVE:
            self._change(activity="", failure=event.reason)
        self.show_when_read()

    @on(CommandDone)
    def _take_answer(self, event: CommandDone) -> None:
        self._change(gate=event.acknowledged.gate)
        if event.command == STOP:
            self._change(stop_sent_ns=0)
        self.tell(event.acknowledged.message)
        self.show_when_read()

    @on(CommandFailed)
    def _take_refusal(self, event: CommandFailed) -> None:
        if event.command == STOP:
            self._change(standing_stop=event.standing_stop, stop_sent_ns=0)
        self.tell(event.reason, trouble=f"{event.command}: not done")
        self.show_when_read()

    @on(StopHeard)
    def _take_hearing(self, event: StopHeard) -> None:
        self._change(stop_told=event.told)
        self.tell(event.told)
        self.show_when_read()

    # What the screens ask for

    @on(MainScreen.WantsRetry)
    def _ask_retry(self, event: MainScreen.WantsRetry) -> None:
        self._orders.retry(event.row)

    @on(MainScreen.WantsRetryOfAll)
    def _ask_retry_of_all(self, event: MainScreen.WantsRetryOfAll) -> None:
        self._orders.retry_all(event.outcome, event.rows)

    @on(MainScreen.WantsDismissal)
    def _dismiss(self, event: MainScreen.WantsDismissal) -> None:
        self._orders.dismiss(event.row)

    @on(MainScreen.WantsCopy)
    def _copy(self, event: MainScreen.WantsCopy) -> None:
        self.copy_to_clipboard(event.text)
        self.tell(f"{event.text} is in the clipboard, if the terminal lets programs fill it")

    @on(MainScreen.WantsExplorer)
    def _explore(self, event: MainScreen.WantsExplorer) -> None:
        cluster = self.state.snapshot.engine.cluster if self.state.snapshot else ""
        self.push_screen(LinkDialog(event.address, cluster))

    @on(MainScreen.WantsDetail)
    def _open_detail(self, event: MainScreen.WantsDetail) -> None:
        self._open(DetailScreen(self._access(), event.address))

    # Keys

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:  # noqa: ARG002 - Textual's signature
        """Dim what cannot be done now; the stop key is never dimmed."""
        if not may_command(self.state) and action in COMMANDING:
            return None
        if action == "command":
            return self._may_take_command()
        if action == "resume":
            return True if is_stopped(self.state) and self.state.link is Link.LIVE else None
        return True

    def action_emergency_stop(self) -> None:
        """Stop, now. Pressing it again while the answer is out changes nothing."""
        if not self.state.stop_sent_ns:
            asking = self._commands.press_stop(STOP_REASON)
            self._change(stop_sent_ns=time.time_ns())
            self.run_worker(self._commands.stop(STOP_REASON, asking), group="stop")
            self.show_when_read()

    def action_resume(self) -> None:
        """Ask whether to lift the stop that is in force."""
        self._orders.resume()

    def action_command(self) -> None:
        """Take command, or let it go."""
        self._orders.command(time.time_ns())

    def _may_take_command(self) -> bool | None:
        """No such key where every console commands, a dimmed one where this one may only look."""
        if command_of(self.state) is None:
            return False
        return True if self.state.link is Link.LIVE and not self.state.is_read_only else None

    def action_clear_queue(self) -> None:
        """Ask whether to clear the queue."""
        self._orders.clear_queue()

    def ask(self, dialog: Screen[Any], answered: Callable[[Any], None]) -> None:
        """Open a dialog; `answered` gets what it was closed with."""
        self.push_screen(dialog, answered)

    def start(self, work: Coroutine[Any, Any, None], group: str) -> None:
        """Do this in the background."""
        self.run_worker(work, group=group)

    def action_place(self, name: str) -> None:
        """Go to a place; only the main screen stays below it. A place's own key leads back."""
        here = self.screen
        if isinstance(here, PlaceScreen) and name == here.NAME:
            here.action_back()
            return
        while isinstance(self.screen, PlaceScreen):
            self.pop_screen()
        self._open(place_screen(name, self._access()))

    def _open(self, screen: FullScreen) -> None:
        """Show a screen on top, and the state in it as soon as its content is there."""
        self.push_screen(screen)
        screen.call_after_refresh(self.show_when_read)

    def _access(self) -> Access:
        return Access(self.plan.paths, self._commands, self.happenings)

    def action_pause(self) -> None:
        """Hold the display still, or let it go on; the banner goes on in any case."""
        self._change(paused_ns=0 if self.state.paused_ns else time.time_ns())
        self.show_when_read()

    def action_rate(self, step: int) -> None:
        """Look at the engine less often (1) or more often (-1), by one step."""
        at = min(range(len(RATES_MS)), key=lambda index: abs(RATES_MS[index] - self.state.interval_ms))
        interval_ms = RATES_MS[max(0, min(at + step, len(RATES_MS) - 1))]
        if interval_ms != self.state.interval_ms:
            self._change(interval_ms=interval_ms)
            self._keep_pace()
        self.tell(f"a look at the engine every {fmt.age(interval_ms)}")
        self.show_when_read()

    def copy_to_clipboard(self, text: str) -> None:
        """Put a text into the terminal's clipboard; one that terminals do not take is told and left."""
        try:
            sequence = copy_sequence(text, os.environ)
        except TooLongToCopy as error:
            self.tell(str(error), trouble="not copied")
            return
        if self._driver is not None:
            self._driver.write(sequence)

    def action_help(self) -> None:
        """Show every key."""
        self._open(HelpScreen(help_groups(all_bindings()), self._own_keys))

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
        yield from palette_commands(screen, self.run_action, self._keyless())

    def _keyless(self) -> Iterable[SystemCommand]:
        yield SystemCommand("Emergency stop", "Stop at once", self.action_emergency_stop)
        if self.state.link is not Link.LIVE and not self.plan.attach_only:
            yield SystemCommand("Start the engine", "Bring it up again", self.action_start_engine)
        yield SystemCommand("Theme", "Change the colours", self.action_change_theme)

    # Inside

    def tell(self, text: str, *, trouble: str = "") -> None:
        """Show a note for a moment; `trouble` is its title when something did not work."""
        note, title = clean(text, _LONGEST_NOTE), clean(trouble, _LONGEST_TITLE)
        self.happenings.tell("attention" if trouble else "info", f"{title}: {note}" if trouble else note)
        if trouble:
            self.notify(note, title=title, severity="error", markup=False, timeout=2 * _TOAST_S)
        else:
            self.notify(note, markup=False, timeout=_TOAST_S)

    def _change(self, **changes: object) -> None:
        before = self.state
        self.state = replace(before, **changes)  # type: ignore[arg-type]
        self.happenings.follow(before, self.state)

    def show_now(self) -> None:
        """Every screen follows, the covered ones too: their banner shows behind the dialogs."""
        if not self._has_screen:
            return
        now_ns = time.time_ns()
        for screen in self.screen_stack:
            if isinstance(screen, FullScreen) and screen.is_up:
                screen.show_state(self.state, now_ns)
        applicable = (is_stopped(self.state), self.state.link, command_of(self.state), self._main_facts())
        if applicable != self._applicable:
            self._applicable = applicable
            self.screen.refresh_bindings()

    def _keep_pace(self) -> None:
        """Look at the engine as often as the operator wants, and the terminal reads."""
        pace_ms = self.terminal_pace.interval_ms(self.state.interval_ms)
        if pace_ms != self.state.pace_ms:
            self._change(pace_ms=pace_ms)
        self._pace.ask(pace_ms)

    def _main_facts(self) -> tuple[bool, bool]:
        snapshot = self.state.snapshot
        return (bool(snapshot and snapshot.queue_length), bool(snapshot and snapshot.failed))

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
