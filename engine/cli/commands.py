"""The commands to a running engine: stop, resume, status, retry, clear-queue."""

from __future__ import annotations

import asyncio
import contextlib
import sys
import time
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Annotated

import typer

from engine.api.clean import clean
from engine.api.launcher import engine_answers, engine_pid
from engine.api.standing_stop import leave_standing_stop
from engine.cli.failures import EXIT_REFUSED, BadUsage, fail, run_async, say
from engine.cli.options import ProfileOption, checked_profile
from engine.errors import EngineNotRunning
from engine.paths import ProfilePaths

if TYPE_CHECKING:
    from engine.api import wire
    from engine.api.client import EngineClient

_LONGEST_REASON = 200
_STOP_DEADLINE_S = 2.0  # an engine that lives answers a stop within a tenth of a second
_FILE_DEADLINE_S = 1.0
_POLL_S = 0.02
_LONGEST_ANSWER = 500
_WATCH_S = 1.0
_SHORTEST_WATCH_S, _LONGEST_WATCH_S = 0.2, 3600.0


def _client(paths: ProfilePaths) -> EngineClient:
    """A client of the profile's engine; loaded only here, since refusals and help do not need it."""
    from engine.api.client import EngineClient

    return EngineClient(paths.socket)


def stop(
    context: typer.Context,
    reason: Annotated[str, typer.Option("--reason", help="Why; kept in the record.")] = "",
    profile: ProfileOption = None,
) -> None:
    """Emergency stop: nothing more is sent, also after a restart, until somebody resumes."""
    paths = checked_profile(context, profile)
    run_async(_stop(paths, _checked_reason(reason)))


async def _stop(paths: ProfilePaths, reason: str) -> None:
    if not await engine_answers(paths.socket):
        leave_standing_stop(paths, reason)
        print(f"No engine runs in profile {paths.profile}: the next one that starts will be stopped.")
        return
    try:
        async with asyncio.timeout(_STOP_DEADLINE_S), _client(paths) as engine:
            print((await engine.stop(reason)).message)
    except (EngineNotRunning, TimeoutError):
        told = await _stop_by_file(paths, reason)
        if told is not None:
            print(told)
            return
        # It has the socket and says nothing: what it does is unknown, so the operator must be told.
        pid = engine_pid(paths.socket)
        fail(
            f"The engine (process {pid}) does not answer and may still be sending: `kill -9 {pid}`; "
            "the next one that starts will be stopped",
            EXIT_REFUSED,
        )


async def _stop_by_file(paths: ProfilePaths, reason: str) -> str | None:
    """Order the stop by the file, which is watched by a thread of its own; its answer, None without one."""
    with contextlib.suppress(OSError):
        paths.stop_acknowledged.unlink(missing_ok=True)
    leave_standing_stop(paths, reason)
    for _ in range(round(_FILE_DEADLINE_S / _POLL_S)):
        await asyncio.sleep(_POLL_S)
        with contextlib.suppress(OSError):
            return clean(paths.stop_acknowledged.read_text(errors="replace"), _LONGEST_ANSWER)
    return None


def resume(
    context: typer.Context,
    reason: Annotated[str, typer.Option("--reason", help="Why; kept in the record.")],
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    profile: ProfileOption = None,
) -> None:
    """Lift the stop that is in force, after a look at the engine's own checks."""
    paths = checked_profile(context, profile)
    reason = _checked_reason(reason)
    if not reason:
        raise BadUsage("--reason is empty: say why sending may go on")
    if not yes and not sys.stdin.isatty():
        raise BadUsage("resume asks first and there is no terminal: add --yes")
    gate, checks = run_async(_look(paths))
    if gate.state == "running":
        print("The engine is running; there is no stop to lift.")
        return
    print(f'Stopped by {gate.by}: "{gate.reason}"')
    for check in checks:
        print(f"  {'ok ' if check.ok else 'NO '} {check.name}: {check.detail}")
    if not yes:
        print("Type resume to go on: ", end="", flush=True)
        if sys.stdin.readline().strip() != "resume":
            fail("Not resumed: the stop stays in force", EXIT_REFUSED)
    run_async(_command(paths, lambda engine: engine.resume(reason, gate.version)))


async def _look(paths: ProfilePaths) -> tuple[wire.GateView, list[wire.ResumeCheck]]:
    """The stop in force, and what a resume would check."""
    async with _client(paths) as engine:
        return (await engine.snapshot()).gate, await engine.resume_checks()


def status(
    context: typer.Context,
    as_json: Annotated[bool, typer.Option("--json", help="The whole snapshot as JSON.")] = False,
    watch: Annotated[
        bool, typer.Option("--watch", help="Again and again, until interrupted; also while none answers.")
    ] = False,
    every: Annotated[
        float, typer.Option("--every", metavar="S", help="With --watch: seconds between two looks.")
    ] = _WATCH_S,
    profile: ProfileOption = None,
) -> None:
    """What the engine is doing."""
    paths = checked_profile(context, profile)
    if not watch:
        print(_told(run_async(_snapshot(paths)), as_json=as_json))
        return
    if not _SHORTEST_WATCH_S <= every <= _LONGEST_WATCH_S:
        raise BadUsage(
            f"--every {every:g} is out of range: give seconds, {_SHORTEST_WATCH_S} to {_LONGEST_WATCH_S}"
        )
    run_async(_watch(paths, every, as_json=as_json))


def _told(snapshot: wire.Snapshot, *, as_json: bool) -> str:
    if as_json:
        import msgspec

        return msgspec.json.encode(snapshot).decode()
    from engine.cli.status import status_lines

    return "\n".join(status_lines(snapshot))


async def _watch(paths: ProfilePaths, every_s: float, *, as_json: bool) -> None:
    """Look until interrupted. A terminal shows the newest look in place, a pipe gets one after the other."""
    clear = "\x1b[H\x1b[J" if sys.stdout.isatty() and not as_json else ""
    while True:
        try:
            told = _told(await _snapshot(paths), as_json=as_json)
        except EngineNotRunning as error:
            told = "" if as_json else f"DISCONNECTED {error}"
            if as_json:
                say(str(error))
        when = "" if as_json else f"{time.strftime('%Y-%m-%d %H:%M:%S')}\n"
        if told:
            print(f"{clear}{when}{told}", flush=True)
        await asyncio.sleep(every_s)


async def _snapshot(paths: ProfilePaths) -> wire.Snapshot:
    try:
        async with _client(paths) as engine:
            return await engine.snapshot()
    except EngineNotRunning as error:
        if paths.standing_stop.exists():
            raise EngineNotRunning(f"{error}; the next one that starts will be stopped") from None
        raise


def retry(
    context: typer.Context,
    liquidation_id: Annotated[str, typer.Argument(metavar="ID", help="As `status` and the console show it.")],
    profile: ProfileOption = None,
) -> None:
    """Try a failed liquidation again, if it is still needed."""
    if not liquidation_id.replace("-", "").replace("_", "").isalnum() or not liquidation_id.isascii():
        raise BadUsage(
            f"{liquidation_id!a} is no liquidation's ID: copy one from `liquidation-engine status`"
        )
    paths = checked_profile(context, profile)
    run_async(_command(paths, lambda engine: engine.retry(liquidation_id)))


def clear_queue(context: typer.Context, profile: ProfileOption = None) -> None:
    """Drop what is queued and not yet signed; what is still liquidatable comes back by itself."""
    paths = checked_profile(context, profile)
    run_async(_command(paths, lambda engine: engine.clear_queue()))


async def _command(paths: ProfilePaths, ask: Callable[[EngineClient], Awaitable[wire.Acknowledged]]) -> None:
    async with _client(paths) as engine:
        print((await ask(engine)).message)


def _checked_reason(reason: str) -> str:
    if len(reason) > _LONGEST_REASON:
        raise BadUsage(f"--reason has {len(reason)} characters: use up to {_LONGEST_REASON}")
    return reason.strip()
