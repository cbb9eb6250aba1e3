"""The viewer's side of the unix socket: reads snapshots, sends the operator's commands."""

from __future__ import annotations

import contextlib
import os
from collections.abc import AsyncGenerator, Mapping
from pathlib import Path
from types import TracebackType
from typing import Self, TypeVar
from urllib.parse import urlencode

import aiohttp
import msgspec

from engine.api import wire
from engine.api.stream_reader import Pace, read_snapshots
from engine.errors import EngineNotRunning, OperatorError

T = TypeVar("T")

COMMAND_DEADLINE_S = 10.0
CONNECT_DEADLINE_S = 2.0
_HOST = "http://engine"  # a unix socket needs no host; HTTP needs one to write down


class CommandRefused(OperatorError):
    """The engine answered that it will not; the message is the engine's."""

    exit_code = 1

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


class EngineClient:
    """One connection pool to one engine. Use as an async context manager.

    Every method raises EngineNotRunning when nobody answers on the socket, CommandRefused when the engine
    says no. `console` is a console's own name, for the stream and for its commands.
    """

    def __init__(self, socket_path: Path, console: str = "") -> None:
        self.socket_path = socket_path
        self._console = console
        self._session: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> Self:
        self._session = aiohttp.ClientSession(
            connector=aiohttp.UnixConnector(path=str(self.socket_path)),
            timeout=aiohttp.ClientTimeout(total=COMMAND_DEADLINE_S, connect=CONNECT_DEADLINE_S),
        )
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._session is not None:
            await self._session.close()

    async def snapshot(self) -> wire.Snapshot:
        """The engine's state now."""
        return await self._request("GET", "/snapshot", wire.Snapshot)

    async def position(self, address: str) -> wire.PositionDetail:
        """One position with its arithmetic and attempts."""
        return await self._request("GET", f"/positions/{address}", wire.PositionDetail)

    async def resume_checks(self) -> list[wire.ResumeCheck]:
        """What a resume would check now."""
        return await self._request("GET", "/admin/resume", list[wire.ResumeCheck])

    async def recent(
        self,
        limit: int,
        offset: int,
        *,
        symbol: str | None = None,
        outcome: str | None = None,
        search: str | None = None,
        from_date: str | None = None,
        to_date: str | None = None,
    ) -> wire.LiquidationPage:
        """Attempts whose end is known, newest first; from the journal while the database is away.

        `search` is how a position, an owner or a signature begins. The dates are ISO 8601, a day or a time;
        a day at the end is counted in.
        """
        wanted = {
            "symbol": symbol,
            "outcome": outcome,
            "search": search,
            "from_date": from_date,
            "to_date": to_date,
        }
        return await self._page("/liquidations/recent", wire.LiquidationPage, limit, offset, wanted)

    async def fund_history(self, limit: int, offset: int) -> wire.FundHistoryPage:
        """Movements of the insurance fund, newest first."""
        return await self._page("/insurance/history", wire.FundHistoryPage, limit, offset)

    async def audit(self, limit: int, offset: int) -> wire.AuditPage:
        """Commands, accepted and refused, newest first."""
        return await self._page("/admin/audit", wire.AuditPage, limit, offset)

    async def alerts(self) -> wire.AlertPage:
        """The alerts that are on, and those that were."""
        return await self._request("GET", "/alerts", wire.AlertPage)

    async def acknowledge_alert(self, alert_id: str) -> wire.Acknowledged:
        """Note that somebody has seen an alert; it stays on until what it tells of is over."""
        return await self._command(f"/admin/alerts/{alert_id}/acknowledge")

    async def settings(self) -> wire.SettingsPage:
        """The settings in force, each with its source; secrets are masked."""
        return await self._request("GET", "/settings", wire.SettingsPage)

    async def stop(self, reason: str) -> wire.Acknowledged:
        """Emergency stop. When this returns, no more bytes leave the engine."""
        return await self._command("/admin/emergency-stop", wire.StopRequest(reason=reason))

    async def resume(self, reason: str, gate_version: int) -> wire.Acknowledged:
        """Lift the stop of that gate version; a newer stop is not lifted."""
        request = wire.ResumeRequest(reason=reason, gate_version=gate_version)
        return await self._command("/admin/resume", request)

    async def retry(self, liquidation_id: str) -> wire.Acknowledged:
        """Try a failed liquidation again, after a fresh look at its account and price."""
        return await self._command(f"/admin/retry/{liquidation_id}")

    async def dismiss(self, liquidation_id: str) -> wire.Acknowledged:
        """Take a failed liquidation off the list; its record stays."""
        return await self._command(f"/admin/dismiss/{liquidation_id}")

    async def retry_all(self, outcome: str) -> wire.Acknowledged:
        """Try again every failed liquidation whose last attempt ended with this outcome."""
        return await self._command("/admin/retry-all", wire.RetryAllRequest(outcome=outcome))

    async def contribute(self, amount_lamports: int, confirm_text: str = "") -> wire.Acknowledged:
        """Give lamports of the engine's wallet to the fund; without `confirm_text` it is only rehearsed.

        The text that confirms is the amount in lamports once more, in digits.
        """
        request = wire.ContributeRequest(amount_lamports=amount_lamports, confirm_text=confirm_text)
        return await self._command("/admin/contribute", request)

    async def clear_queue(self) -> wire.Acknowledged:
        """Drop what is queued and not yet signed; what is still liquidatable comes back by itself."""
        return await self._command("/admin/clear-queue")

    async def shutdown(self) -> wire.Acknowledged:
        """Ask the engine to finish what is in flight and end."""
        return await self._command("/admin/shutdown")

    async def take_command(self, seen: str) -> wire.Acknowledged:
        """Let this console alone command, in place of the one that was seen to (empty: nobody was)."""
        return await self._command("/admin/take-command", wire.TakeCommandRequest(seen=seen))

    async def release_command(self) -> wire.Acknowledged:
        """Let command go, for whichever console wants it next."""
        return await self._command("/admin/release-command")

    async def stream(self, pace: int | Pace) -> AsyncGenerator[wire.Snapshot, None]:
        """Snapshots, one each `pace` milliseconds, until the engine ends or the caller stops reading.

        A Pace may be changed meanwhile.
        """
        pace = Pace(pace) if isinstance(pace, int) else pace
        snapshots = read_snapshots(self._open_session(), _HOST, _headers(self._console), pace)
        try:
            async with contextlib.aclosing(snapshots):
                async for snapshot in snapshots:
                    yield snapshot
        except (aiohttp.ClientConnectionError, aiohttp.WSServerHandshakeError, OSError) as error:
            raise EngineNotRunning(_not_running(self.socket_path, error)) from error

    async def _page(
        self, path: str, answer: type[T], limit: int, offset: int, wanted: Mapping[str, str | None] = {}
    ) -> T:
        given = {name: text for name, text in wanted.items() if text is not None}
        query = urlencode({"limit": limit, "offset": offset, **given})
        return await self._request("GET", f"{path}?{query}", answer)

    async def _command(self, path: str, body: wire.Message | None = None) -> wire.Acknowledged:
        return await self._request("POST", path, wire.Acknowledged, body)

    async def _request(self, method: str, path: str, answer: type[T], body: wire.Message | None = None) -> T:
        session = self._open_session()
        data = msgspec.json.encode(body) if body is not None else b"{}"
        try:
            async with session.request(
                method, _HOST + path, data=data, headers=_headers(self._console)
            ) as response:
                raw = await response.read()
        except TimeoutError as error:
            raise EngineNotRunning(
                f"The engine did not answer within {COMMAND_DEADLINE_S:.0f} s on {self.socket_path}: "
                "look at its log, or stop its process"
            ) from error
        except (aiohttp.ClientConnectionError, OSError) as error:
            raise EngineNotRunning(_not_running(self.socket_path, error)) from error
        if response.status >= 400:
            refusal = msgspec.json.decode(raw, type=wire.ErrorReply).error
            raise CommandRefused(refusal.code, refusal.message)
        return msgspec.json.decode(raw, type=answer)

    def _open_session(self) -> aiohttp.ClientSession:
        if self._session is None:
            raise RuntimeError("EngineClient is used outside of its context")
        return self._session


def _headers(console: str) -> dict[str, str]:
    """What a request says of its caller beside the uid: the terminal, for the audit, and which console."""
    headers = {"Content-Type": "application/json"}
    if console:
        headers["X-Console"] = console
    with contextlib.suppress(OSError):
        headers["X-Terminal"] = os.ttyname(0)
    return headers


def _not_running(socket_path: Path, error: Exception) -> str:
    cause = getattr(error, "os_error", error)
    if isinstance(cause, PermissionError):
        return (
            f"{socket_path} is another user's engine: run this as the user that runs it, "
            "or name your own --profile"
        )
    if socket_path.exists() and not socket_path.is_socket():
        return f"{socket_path} is no socket: move it away, or name another --profile"
    return f"No engine answers on {socket_path}: start one with `liquidation-engine`, or name its --profile"
