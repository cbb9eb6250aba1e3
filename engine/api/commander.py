"""Which of the attached consoles may command, where one at a time may: who asked first, until it goes.

What counts is a console: it reads the stream and names itself with each request (`X-Console`). Its hold
lasts as long as a stream of it is open, and another console may relieve it. Single commands of the command
line and those who carry a token attach nowhere: they are not held up, and neither is an emergency stop. This
keeps operators from working against each other; it is no right: whoever may open the socket may take command.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass

from aiohttp import web

from engine.actor import Actor
from engine.api import wire
from engine.api.clean import clean
from engine.api.routes import Call, Route, Scope
from engine.commands import RELEASE_COMMAND, TAKE_COMMAND, CommandError

_COMMANDS = (Scope.OPERATE, Scope.ADMIN)
_LONGEST_NAME = 64

Note = Callable[[Actor, str, str], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class _Console:
    """A console by its own name and the kernel's word for its user."""

    name: str
    uid: int | None


@dataclass(frozen=True, slots=True)
class _Hold:
    console: _Console
    by: Actor
    since_ns: int


class Commander:
    """Belongs to the listeners' loop; `view` may be read from any thread."""

    def __init__(self, note: Note, *, is_one: bool = False, now_ns: Callable[[], int] = time.time_ns) -> None:
        self._note = note
        self._is_one = is_one
        self._now_ns = now_ns
        self._streams: Counter[_Console] = Counter()
        self._hold: _Hold | None = None
        self._view = self._picture()

    def view(self) -> wire.CommandView | None:
        """Who may command; None where everybody may."""
        return self._view

    @asynccontextmanager
    async def attached(self, call: Call) -> AsyncIterator[None]:
        """While a console reads the stream. The first one to come where nobody commands has command."""
        console = _console_of(call.request, call.caller)
        if console is None or not self._is_one:
            yield
            return
        self._streams[console] += 1
        try:
            if self._holder() is None:
                await self._give(console, call.caller)
            self._show()
            yield
        finally:
            self._streams[console] -= 1
            self._streams += Counter()  # forgets those that are gone
            self._show()

    async def admit(self, route: Route, request: web.Request, caller: Actor) -> None:
        """Raise CommandError while another console commands. Where none does, the one that asks will."""
        console = _console_of(request, caller)
        if not self._is_one or console is None or not _commands(route):
            return
        holder = self._holder()
        if holder is None:
            await self._give(console, caller)
        elif holder.console != console:
            raise CommandError(
                "commanded_by_another",
                f"{_named(holder.by)} commands: take command first (K in the console), or ask there",
            )

    async def take(self, call: Call) -> str:
        """Give this console command; raises CommandError when not the one that it saw has it."""
        console = self._known(call)
        holder = self._holder()
        if holder is not None and holder.console != console and holder.console.name != call.body.seen:
            raise CommandError(
                "command_moved",
                f"{_named(holder.by)} commands now: look again, and take it if you still want it",
            )
        await self._give(console, call.caller)
        return f"{_named(call.caller)} commands now"

    async def release(self, call: Call) -> str:
        """Let command go, for whichever console wants it next; raises CommandError without having it."""
        console = self._known(call)
        holder = self._holder()
        if holder is None or holder.console != console:
            raise CommandError("not_in_command", "This console does not command: there is nothing to let go")
        self._hold = None
        self._show()
        await self._note(call.caller, RELEASE_COMMAND, "let go")
        return "Nobody commands: the next console to ask does"

    def _known(self, call: Call) -> _Console:
        if not self._is_one:
            raise CommandError("everybody_commands", "Every console commands here: ONE_COMMANDER is off")
        console = _console_of(call.request, call.caller)
        if console is None or console not in self._streams:
            raise CommandError("not_attached", "Only a console that is attached can take command: attach one")
        return console

    async def _give(self, console: _Console, caller: Actor) -> None:
        """The hold first: what is awaited for the audit must not let a second one in between."""
        before, holder = self._hold, self._holder()
        if before is not None and before.console == console:
            return  # it was away for a moment, and nobody else wanted it
        self._hold = given = _Hold(console, caller, self._now_ns())
        self._show()
        if holder is not None:
            why = f"from {_named(holder.by)}"
        elif before is not None:
            why = f"{_named(before.by)} is gone"
        else:
            why = "nobody had it"
        try:
            await self._note(caller, TAKE_COMMAND, why)
        except BaseException:
            if self._hold is given:  # nobody commands without a record of it
                self._hold = before
                self._show()
            raise

    def _holder(self) -> _Hold | None:
        """Who commands: a hold ends with its console's last connection."""
        hold = self._hold
        return hold if hold is not None and hold.console in self._streams else None

    def _show(self) -> None:
        self._view = self._picture()

    def _picture(self) -> wire.CommandView | None:
        if not self._is_one:
            return None
        hold = self._holder()
        if hold is None:
            return wire.CommandView(console="", by="", terminal="", since_ns=0)
        return wire.CommandView(
            console=hold.console.name,
            by=clean(hold.by.name, _LONGEST_NAME),
            terminal=hold.by.terminal,
            since_ns=hold.since_ns,
        )


def _commands(route: Route) -> bool:
    return route.method == "POST" and route.scope in _COMMANDS and not route.for_any_console


def _console_of(request: web.Request, caller: Actor) -> _Console | None:
    """The console that a request is of, None for one of somebody who is none."""
    name = request.headers.get("X-Console", "")
    is_name = name.isascii() and name.isalnum() and len(name) <= _LONGEST_NAME
    return _Console(name, caller.uid) if is_name and caller.uid is not None else None


def _named(by: Actor) -> str:
    return f"{by.name} on {by.terminal}" if by.terminal else by.name
