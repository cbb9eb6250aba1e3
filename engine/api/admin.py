"""The operator's commands, and what only operators may read."""

from __future__ import annotations

from engine.api import wire
from engine.api.commander import Commander
from engine.api.history_view import HistoryViews
from engine.api.parameters import BadParameter
from engine.api.reads import OFFSET, PAGE
from engine.api.routes import Call, Route, Scope
from engine.api.snapshots import Snapshots
from engine.commands import CommandError, Commands
from engine.contribution import MOST_LAMPORTS
from engine.own_loop import Engine


class Admin:
    """The commands; each is one row of the audit, accepted or refused."""

    def __init__(
        self,
        engine: Engine,
        commands: Commands,
        snapshots: Snapshots,
        history: HistoryViews | None,
        settings: wire.SettingsPage | None,
        *,
        commander: Commander,
    ) -> None:
        self._engine = engine
        self._commands = commands
        self._snapshots = snapshots
        self._history = history
        self._settings = settings
        self._commander = commander

    def routes(self) -> list[Route]:
        """The table of these operations."""
        done = wire.Acknowledged
        return [
            Route(
                "POST",
                "/admin/emergency-stop",
                Scope.STOP,
                self._stop,
                "Emergency stop: when this is answered nothing more leaves, whatever the body says",
                done,
                body=wire.StopRequest,
                tolerant=True,
            ),
            Route(
                "GET",
                "/admin/resume",
                Scope.READ,
                self._resume_checks,
                "What a resume would look at, now",
                list[wire.ResumeCheck],
                unix_only=True,
            ),
            Route(
                "POST",
                "/admin/resume",
                Scope.ADMIN,
                self._resume,
                "Lift the stop of that gate version",
                done,
                body=wire.ResumeRequest,
                refusals=(409, 503),
            ),
            Route(
                "POST",
                "/admin/clear-queue",
                Scope.OPERATE,
                self._clear_queue,
                "Drop what is queued and not signed",
                done,
            ),
            Route(
                "POST",
                "/admin/retry/{id}",
                Scope.OPERATE,
                self._retry,
                "Try a failed liquidation again",
                done,
                refusals=(404,),
            ),
            Route(
                "POST",
                "/admin/dismiss/{id}",
                Scope.OPERATE,
                self._dismiss,
                "Take a failed liquidation off the list; its record stays",
                done,
                refusals=(404,),
            ),
            Route(
                "POST",
                "/admin/alerts/{id}/acknowledge",
                Scope.OPERATE,
                self._acknowledge_alert,
                "Note that somebody has seen an alert",
                done,
                refusals=(404,),
            ),
            Route(
                "POST",
                "/admin/retry-all",
                Scope.OPERATE,
                self._retry_all,
                "Try every failed liquidation again whose last attempt ended with that outcome",
                done,
                body=wire.RetryAllRequest,
            ),
            Route(
                "POST",
                "/admin/contribute",
                Scope.ADMIN,
                self._contribute,
                "Give lamports of the wallet to the insurance fund; without confirm_text only a rehearsal",
                done,
                body=wire.ContributeRequest,
                refusals=(409,),
            ),
            Route(
                "POST",
                "/admin/take-command",
                Scope.OPERATE,
                self._take_command,
                "Take command for this console, where one at a time may; from the one seen to have it",
                done,
                body=wire.TakeCommandRequest,
                refusals=(409,),
                unix_only=True,
                for_any_console=True,
            ),
            Route(
                "POST",
                "/admin/release-command",
                Scope.OPERATE,
                self._release_command,
                "Let command go, for whichever console wants it next",
                done,
                refusals=(409,),
                unix_only=True,
                for_any_console=True,
            ),
            Route(
                "POST",
                "/admin/shutdown",
                Scope.ADMIN,
                self._shutdown,
                "Ask the engine to end",
                done,
            ),
            Route(
                "GET",
                "/admin/audit",
                Scope.ADMIN,
                self._audit,
                "Commands, accepted and refused, newest first",
                wire.AuditPage,
                query=(PAGE, OFFSET),
                refusals=(503,),
                unix_only=True,
            ),
            Route(
                "GET",
                "/settings",
                Scope.ADMIN,
                self._settings_in_force,
                "The settings in force, secrets masked",
                wire.SettingsPage,
                refusals=(503,),
                unix_only=True,
            ),
        ]

    async def _stop(self, call: Call) -> wire.Acknowledged:
        reason = call.body.reason if call.body is not None else "no readable reason"
        return self._acknowledge(await self._commands.stop(call.caller, reason))

    async def _resume_checks(self, _: Call) -> list[wire.ResumeCheck]:
        return [
            wire.ResumeCheck(name=check.name, ok=check.ok, detail=check.detail)
            for check in await self._engine.look(self._commands.resume_checks)
        ]

    async def _resume(self, call: Call) -> wire.Acknowledged:
        resume = self._commands.resume(call.caller, call.body.reason, call.body.gate_version)
        return self._acknowledge(await self._engine.run(resume))

    async def _clear_queue(self, call: Call) -> wire.Acknowledged:
        return self._acknowledge(await self._engine.run(self._commands.clear_queue(call.caller)))

    async def _retry(self, call: Call) -> wire.Acknowledged:
        retry = self._commands.retry(call.caller, _id(call))
        return self._acknowledge(await self._engine.run(retry))

    async def _dismiss(self, call: Call) -> wire.Acknowledged:
        dismiss = self._commands.dismiss(call.caller, _id(call))
        return self._acknowledge(await self._engine.run(dismiss))

    async def _acknowledge_alert(self, call: Call) -> wire.Acknowledged:
        acknowledge = self._commands.acknowledge_alert(call.caller, _id(call))
        return self._acknowledge(await self._engine.run(acknowledge))

    async def _retry_all(self, call: Call) -> wire.Acknowledged:
        retry_all = self._commands.retry_all(call.caller, call.body.outcome)
        return self._acknowledge(await self._engine.run(retry_all))

    async def _contribute(self, call: Call) -> wire.Acknowledged:
        asked: wire.ContributeRequest = call.body
        if not 1 <= asked.amount_lamports <= MOST_LAMPORTS:
            allowed = f"a whole number from 1 to {MOST_LAMPORTS}"
            raise BadParameter("amount_lamports", allowed, str(asked.amount_lamports))
        contribute = self._commands.contribute(call.caller, asked.amount_lamports, asked.confirm_text)
        return self._acknowledge(await self._engine.run(contribute))

    async def _take_command(self, call: Call) -> wire.Acknowledged:
        return self._acknowledge(await self._commander.take(call))

    async def _release_command(self, call: Call) -> wire.Acknowledged:
        return self._acknowledge(await self._commander.release(call))

    async def _shutdown(self, call: Call) -> wire.Acknowledged:
        return self._acknowledge(await self._engine.run(self._commands.shutdown(call.caller)))

    async def _audit(self, call: Call) -> wire.AuditPage:
        if self._history is None:
            raise CommandError("no_history", "This engine keeps no record that could be read", 503)
        return await self._history.commands(call.query["limit"], call.query["offset"])

    async def _settings_in_force(self, _: Call) -> wire.SettingsPage:
        if self._settings is None:
            raise CommandError("no_settings", "This engine does not tell its settings", 503)
        return self._settings

    def _acknowledge(self, message: str) -> wire.Acknowledged:
        # In this thread: the gate's picture waits for no loop.
        return wire.Acknowledged(message=message, gate=self._snapshots.gate())


def _id(call: Call) -> str:
    text = call.path["id"]
    if not text.isalnum() or len(text) > 64:
        raise CommandError(
            "bad_id", "An id has only letters and digits: see `liquidation-engine status`", 400
        )
    return text
