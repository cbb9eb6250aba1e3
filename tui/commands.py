"""The operator's commands on their way to the engine: each ends in CommandDone or CommandFailed."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Awaitable, Callable
from concurrent.futures import Future

import msgspec
from textual.message import Message

from engine.api import wire
from engine.api.clean import clean
from engine.api.client import EngineClient
from engine.api.standing_stop import leave_standing_stop
from engine.errors import OperatorError
from engine.paths import ProfilePaths
from tui.messages import CommandDone, CommandFailed, StopHeard

STOP = "stop"
# The actions that a console does not offer that may only look; stopping is open to everybody.
COMMANDING = frozenset({"resume", "retry", "retry_alike", "dismiss_failed", "clear_queue"})
READ_ONLY = "this console only looks: open one without --read-only (or read_only in console.toml)"
ANSWER_TO_STOP_S = 2.0
ACKNOWLEDGEMENT_S = 30.0
_POLL_S = 0.05
_LONGEST_ANSWER = 500

Post = Callable[[Message], object]
Ask = Callable[[EngineClient], Awaitable[wire.Acknowledged]]


class Commands:
    """Sends commands to one profile's engine. Every method returns when its message was posted."""

    def __init__(
        self, paths: ProfilePaths, post: Post, *, is_read_only: bool = False, console: str = ""
    ) -> None:
        self._paths = paths
        self._console = console
        self._post = post
        self._is_read_only = is_read_only

    def client(self) -> EngineClient:
        """The way to the engine for what this console asks of it."""
        return EngineClient(self._paths.socket, self._console)

    def press_stop(self, reason: str) -> asyncio.Future[wire.Acknowledged]:
        """Ask for the emergency stop, at once and in a thread: what is being painted does not hold it up."""
        answer: Future[wire.Acknowledged] = Future()

        def ask() -> None:
            try:
                answer.set_result(asyncio.run(self._ask(lambda client: client.stop(reason))))
            except BaseException as error:
                answer.set_exception(error)

        threading.Thread(target=ask, name="stop", daemon=True).start()
        return asyncio.wrap_future(answer)

    async def stop(self, reason: str, asking: asyncio.Future[wire.Acknowledged]) -> None:
        """Hear the answer to a stop; when none comes at once, leave a standing stop for the next start.

        The file goes away again when the answer still comes: it would otherwise outlive a later resume.
        """
        written = False
        listening: asyncio.Task[None] | None = None
        try:
            await asyncio.wait({asking}, timeout=ANSWER_TO_STOP_S)
            if not asking.done() or asking.exception() is not None:
                written = self._leave_order(reason)
                listening = asyncio.create_task(self._hear_acknowledgement())
            answer = await asking
        except (OperatorError, msgspec.MsgspecError) as error:
            left = (
                "a standing stop is written for its next start"
                if written
                else "and none could be left on disk"
            )
            self._post(CommandFailed(STOP, f"{error}; {left}", standing_stop=written))
        else:
            if written:
                self._paths.standing_stop.unlink(missing_ok=True)
            if listening is not None:
                listening.cancel()
            self._post(CommandDone(STOP, answer))

    async def _hear_acknowledgement(self) -> None:
        """Post what the engine's own thread says to the order: it hears the file when its loop hangs."""
        for _ in range(round(ACKNOWLEDGEMENT_S / _POLL_S)):
            try:
                told = self._paths.stop_acknowledged.read_text(errors="replace")
            except OSError:
                await asyncio.sleep(_POLL_S)
            else:
                self._post(StopHeard(clean(told, _LONGEST_ANSWER)))
                return

    async def resume(self, reason: str, gate_version: int) -> None:
        """Lift the stop of that version."""
        await self._send("resume", lambda client: client.resume(reason, gate_version))

    async def retry(self, liquidation_id: str) -> None:
        """Try a failed liquidation again."""
        await self._send("retry", lambda client: client.retry(liquidation_id))

    async def retry_all(self, outcome: str) -> None:
        """Try all failed liquidations of one class again."""
        await self._send("retry all", lambda client: client.retry_all(outcome))

    async def dismiss(self, liquidation_id: str) -> None:
        """Take a failed liquidation off the list."""
        await self._send("dismiss", lambda client: client.dismiss(liquidation_id))

    async def clear_queue(self) -> None:
        """Drop what is queued and not signed."""
        await self._send("clear queue", lambda client: client.clear_queue())

    async def acknowledge(self, alert_id: str) -> None:
        """Say that somebody knows of an alert."""
        await self._send("acknowledge", lambda client: client.acknowledge_alert(alert_id))

    async def contribute(self, lamports: int, confirm_text: str) -> None:
        """Give lamports of the engine's wallet to the insurance fund."""
        await self._send("contribute", lambda client: client.contribute(lamports, confirm_text))

    async def take_command(self, seen: str) -> None:
        """Be the one console that commands, in place of the one that was seen to."""
        await self._send("take command", lambda client: client.take_command(seen))

    async def release_command(self) -> None:
        """Let command go."""
        await self._send("let command go", lambda client: client.release_command())

    async def shutdown(self) -> None:
        """Ask the engine to finish and end. Raises OperatorError: the quit dialog stays open then."""
        if self._is_read_only:
            raise OperatorError(READ_ONLY)
        await self._ask(lambda client: client.shutdown())

    async def _send(self, command: str, ask: Ask) -> None:
        try:
            if self._is_read_only:
                raise OperatorError(READ_ONLY)
            answer = await self._ask(ask)
        except (OperatorError, msgspec.MsgspecError) as error:
            self._post(CommandFailed(command, str(error)))
        else:
            self._post(CommandDone(command, answer))

    async def _ask(self, ask: Ask) -> wire.Acknowledged:
        async with self.client() as client:
            return await ask(client)

    def _leave_order(self, reason: str) -> bool:
        with contextlib.suppress(OSError):
            self._paths.stop_acknowledged.unlink(missing_ok=True)  # what comes now answers this order
        try:
            leave_standing_stop(self._paths, reason)
        except OperatorError:
            return False
        return True
