"""The operator's commands: stop, resume, retry, dismiss, clear, shut down. Each leaves an audit record."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Coroutine, Mapping
from typing import Any

import structlog

from engine.actor import Actor, Who
from engine.alert_watch import AlertWatch
from engine.book.holdings import Holdings
from engine.clock import Clock
from engine.contribution import ContributionRefused, Contributions
from engine.control import Gate, GateNotPersisted, StaleResume
from engine.domain import OutcomeClass, Verdict
from engine.errors import OperatorError
from engine.fund import FundWatcher
from engine.ingest import Ingest
from engine.journal.errors import JournalUnavailable
from engine.journal.journal import Journal
from engine.journal.records import ControlRecord, FailedLiquidation, FailedStatus
from engine.liquidation.detector import Detector
from engine.liquidation.failures import Failures
from engine.liquidation.queue import LiquidationQueue
from engine.liquidation.tracker import Tracker
from engine.oracle.board import PriceBoard
from engine.stopping.check import Check
from engine.stopping.emergency import EmergencyStop
from engine.stopping.sentinel import Sentinel
from engine.telemetry.alerts import UnknownAlert
from engine.telemetry.events import EventLog, Level
from engine.wallet.watch import WalletWatch

log = structlog.get_logger("control")

MINIMUM_RESUME_LAMPORTS = 100_000  # about ten transactions
RETRIED_AT_ONCE = 200
WRITTEN_LATE_S = 1.0
TAKE_COMMAND, RELEASE_COMMAND = "take-command", "release-command"
MOST_UNWRITTEN = 1_000  # records of the audit that wait for the journal; the oldest are lost beyond


class CommandError(OperatorError):
    """A command that the engine refuses; `code` is stable, `status` is the HTTP status of the refusal."""

    def __init__(self, code: str, message: str, status: int = 409) -> None:
        super().__init__(message)
        self.code = code
        self.status = status
        self.details: Mapping[str, str] = {}
        self.is_audited = False


class Commands:
    """What operators may do. `actor` is who did it, for the audit and the banner."""

    def __init__(
        self,
        *,
        gate: Gate,
        journal: Journal,
        queue: LiquidationQueue,
        failures: Failures,
        detector: Detector,
        tracker: Tracker,
        contributions: Contributions,
        holdings: Holdings,
        board: PriceBoard,
        ingest: Ingest,
        fund: FundWatcher,
        wallet: WalletWatch,
        sentinel: Sentinel,
        alerts: AlertWatch,
        events: EventLog,
        clock: Clock,
        is_reconciled: Callable[[], bool],
        ask_to_end: Callable[[], None],
        forget_standing_stop: Callable[[], None],
    ) -> None:
        self._gate = gate
        self._journal = journal
        self._queue = queue
        self._failures = failures
        self._detector = detector
        self._tracker = tracker
        self._contributions = contributions
        self._holdings = holdings
        self._board = board
        self._ingest = ingest
        self._fund = fund
        self._wallet = wallet
        self._sentinel = sentinel
        self._alerts = alerts
        self._events = events
        self._clock = clock
        self._is_reconciled = is_reconciled
        self._ask_to_end = ask_to_end
        self._forget_standing_stop = forget_standing_stop
        self._audits: set[asyncio.Task[None]] = set()
        self._unwritten: deque[ControlRecord] = deque(maxlen=MOST_UNWRITTEN)
        self._late: asyncio.Task[None] | None = None
        self.emergency = EmergencyStop(
            gate, tracker, events, self._audit_stop, lambda: contributions.out_until
        )

    async def stop(self, actor: Who, reason: str) -> str:
        """Emergency stop, on any event loop. When this returns no more bytes leave; the audit comes later."""
        return await self.emergency.press(actor, reason)

    def resume_checks(self) -> list[Check]:
        """What a resume looks at, now."""
        held = [
            f"{symbol} {verdict.value}"
            for symbol in self._board.symbols
            if (verdict := self._board.current(symbol).verdict) is not Verdict.OK
        ]
        balance = self._wallet.balance_lamports
        fund = self._fund.state
        current = self._ingest.node_is_current()
        return [
            Check(
                "reconciled",
                self._is_reconciled(),
                f"{len(self._tracker)} transactions are followed to their end"
                if self._is_reconciled()
                else "open intents are still being checked against the chain",
                required=True,
            ),
            Check(
                "node",
                current,
                f"slot {self._ingest.slot}" if current else "announces no new slots",
                required=True,
            ),
            Check("prices", not held, ", ".join(held) or "all usable", required=False),
            Check(
                "wallet",
                balance is not None and balance >= MINIMUM_RESUME_LAMPORTS,
                "balance unknown" if balance is None else f"{balance / 1e9:.4f} SOL",
                required=True,
            ),
            Check(
                "fund",
                fund is not None and fund.balance_lamports > 0,
                "not found" if fund is None else f"{fund.balance_lamports / 1e9:.3f} SOL",
                required=False,
            ),
            *self._sentinel.checks(),
        ]

    async def resume(self, actor: Who, reason: str, gate_version: int) -> str:
        """Lift the stop of that version; raises CommandError when a required check fails or it is stale."""
        try:
            if not reason.strip():
                raise CommandError(
                    "reason_missing", "A resume needs a reason: say why it is safe to go on", 400
                )
            failing = [check for check in self.resume_checks() if check.required and not check.ok]
            if failing:
                told = "; ".join(f"{check.name}: {check.detail}" for check in failing)
                raise CommandError("checks_failed", f"Not resumed: {told}: mend that first")
            if self._gate.state.is_running:
                self._audit(actor, "resume", f"{reason}: already running", accepted=True)
                return "Already running"
            try:
                self._gate.check_version(gate_version)
                await self._take_over_standing_stop()
                state = await self._gate.resume(str(actor), reason, gate_version)
            except StaleResume as stale:
                raise CommandError("stale_version", f"Not resumed: {stale}") from stale
            except GateNotPersisted as error:
                raise CommandError("not_persisted", f"Not resumed: {error}: mend the disk", 503) from error
        except CommandError as refusal:
            raise self._refused(actor, "resume", f"{reason}: {refusal}", refusal) from None
        self._events.add(Level.OURS, f"RESUMED by {state.by}: {state.reason}")
        self._audit(actor, "resume", reason, accepted=True)
        await self._sentinel.accept()
        self._detector.look_at_all()
        return f"Resumed by {state.by}"

    async def _take_over_standing_stop(self) -> None:
        """Forget the order that was left as a file; before the resume, so that one left during it counts.

        The stop in force must be on disk by then: it is all that remains if the resume fails.
        """
        await self._gate.persist()
        if not self._gate.is_persisted:
            raise CommandError(
                "not_persisted", "Not resumed: the stop is not on disk yet: mend the disk", 503
            )
        try:
            self._forget_standing_stop()
        except OSError as error:
            raise CommandError(
                "not_persisted", f"Not resumed: the standing stop cannot be removed ({error}): remove it", 503
            ) from error

    async def retry(self, actor: Who, liquidation_id: str) -> str:
        """Try a failed liquidation again now, if it is still liquidatable."""
        failed = self._failures.get(liquidation_id)
        if failed is None:
            unknown = CommandError(
                "unknown_liquidation",
                f"No failed liquidation has the id {liquidation_id}: see `liquidation-engine status`",
                404,
            )
            raise self._refused(actor, "retry", f"{liquidation_id}: unknown", unknown)
        self._audit(actor, "retry", liquidation_id, accepted=True)
        return await self._retry(actor, failed)

    async def retry_all(self, actor: Who, outcome: str) -> str:
        """Try those failed liquidations again whose last attempt ended so; at most 200, the newest first."""
        if outcome not in set(OutcomeClass):
            named = ", ".join(each.value for each in OutcomeClass)
            unknown = CommandError(
                "unknown_outcome", f"No attempt ends with {outcome!a}: name one of {named}", 400
            )
            raise self._refused(actor, "retry-all", f"{outcome}: unknown", unknown)
        failed = [each for each in self._failures.rows if each.outcome == outcome]
        self._audit(actor, "retry-all", f"{outcome}: {len(failed)} failed", accepted=True)
        for each in failed[:RETRIED_AT_ONCE]:
            await self._retry(actor, each)
        queued = sum(each.position in self._queue for each in failed[:RETRIED_AT_ONCE])
        left = max(0, len(failed) - RETRIED_AT_ONCE)
        return f"{queued} of {len(failed)} queued again" + (f": {left} more wait, repeat it" if left else "")

    async def _retry(self, actor: Who, failed: FailedLiquidation) -> str:
        liquidation_id = failed.liquidation_id
        await self._failures.change(liquidation_id, FailedStatus.RETRYING)
        if failed.position in self._queue:
            return f"{failed.position} is in the queue already"
        if self._detector.retry(failed.position, liquidation_id):
            self._events.add(Level.INFO, f"retry of {failed.position} by {actor}")
            note = "" if self._gate.state.is_running else "; it waits until the engine is resumed"
            return f"Queued {failed.position} again{note}"
        if self._holdings.decidable(failed.position) is None:
            await self._failures.change(liquidation_id, FailedStatus.RESOLVED)
            return f"{failed.position} is closed: nothing is left to liquidate"
        await self._failures.change(liquidation_id, FailedStatus.OPEN)
        return f"{failed.position} is not liquidatable at the current price"

    async def dismiss(self, actor: Who, liquidation_id: str) -> str:
        """Take a failed liquidation off the list; its record stays."""
        if liquidation_id not in self._failures:
            unknown = CommandError(
                "unknown_liquidation", f"No failed liquidation has the id {liquidation_id}: look again", 404
            )
            raise self._refused(actor, "dismiss", f"{liquidation_id}: unknown", unknown)
        await self._failures.change(liquidation_id, FailedStatus.DISMISSED)
        self._audit(actor, "dismiss", liquidation_id, accepted=True)
        return f"Dismissed {liquidation_id}"

    async def contribute(self, actor: Who, amount_lamports: int, confirm_text: str) -> str:
        """Give lamports of the wallet to the fund; without a text to confirm it is only rehearsed."""
        told = f"{amount_lamports} lamports"
        try:
            if not confirm_text:
                answer = await self._contributions.rehearse(amount_lamports)
                self._audit(actor, "contribute", f"{told}: rehearsed", accepted=True)
                return answer
            if confirm_text != str(amount_lamports):
                raise ContributionRefused(
                    f"confirm_text must be {amount_lamports}, the lamports once more: nothing was sent"
                )
            answer = await self._contributions.send(amount_lamports)
        except ContributionRefused as refused:
            refusal = CommandError("contribution_refused", str(refused))
            raise self._refused(actor, "contribute", f"{told}: {refused}", refusal) from None
        self._audit(actor, "contribute", f"{told}: {answer}", accepted=True)
        return answer

    async def clear_queue(self, actor: Who) -> str:
        """Drop what is queued and not signed; what is still liquidatable comes back with the next price."""
        dropped = self._queue.clear()
        self._events.add(Level.ATTENTION, f"queue cleared by {actor}: {dropped} dropped")
        self._audit(actor, "clear-queue", f"{dropped} dropped", accepted=True)
        return f"Cleared: {dropped} dropped, {len(self._queue)} signed ones go on to their end"

    async def acknowledge_alert(self, actor: Who, alert_id: str) -> str:
        """Note that somebody has seen an alert that is on; who was first stays."""
        try:
            number = int(alert_id) if alert_id.isdecimal() and len(alert_id) < 16 else 0
            alert = self._alerts.acknowledge(number, str(actor))
        except UnknownAlert:
            unknown = CommandError(
                "unknown_alert",
                f"No alert with the id {alert_id} is on: see `liquidation-engine alert list`",
                404,
            )
            raise self._refused(actor, "acknowledge-alert", f"{alert_id}: not on", unknown) from None
        self._audit(actor, "acknowledge-alert", f"{alert_id}: {alert.rule}: {alert.text}", accepted=True)
        return f"Acknowledged by {alert.acknowledged_by}: {alert.text}"

    async def shutdown(self, actor: Who) -> str:
        """Ask the engine to end; what is in flight is picked up again at the next start."""
        self._audit(actor, "shutdown", "", accepted=True)
        self._events.add(Level.ATTENTION, f"shutdown asked for by {actor}")
        self._ask_to_end()
        return "Ending: what is in flight is followed again at the next start"

    async def settle_audits(self) -> None:
        """Wait for the audit records that are being written, and try once more what could not be."""
        if self._late is not None:
            self._late.cancel()
        await asyncio.gather(*self._audits, return_exceptions=True)
        await self._write_late()

    def note_command(self, actor: Actor, command: str, detail: str) -> None:
        """Record who commands from now on, where one console at a time may."""
        told = "commands now" if command == TAKE_COMMAND else "let command go"
        self._events.add(Level.INFO, f"{actor} {told} ({detail})")
        self._audit(actor, command, detail, accepted=True)

    def audit_refused(self, actor: Who, command: str, why: str) -> None:
        """Record a command that was refused before it came here."""
        self._audit(actor, command, why, accepted=False)

    def _refused(self, actor: Who, command: str, detail: str, refusal: CommandError) -> CommandError:
        self._audit(actor, command, detail, accepted=False)
        refusal.is_audited = True
        return refusal

    def _audit_stop(self, actor: Who, reason: str) -> None:
        self._audit(actor, "emergency-stop", reason, accepted=True)

    def _audit(self, actor: Who, command: str, detail: str, *, accepted: bool) -> None:
        """Record in the background: a command, and a stop above all, never waits for its audit."""
        who = actor if isinstance(actor, Actor) else Actor(actor)
        record = ControlRecord(
            self._clock.now_ns(), who.name, command, detail, accepted, uid=who.uid, terminal=who.terminal
        )
        log.info("command", actor=who.name, command=command, detail=detail, accepted=accepted)
        self._spawn(self._record(record))

    async def _record(self, record: ControlRecord) -> None:
        try:
            await self._journal.record_control(record)
        except JournalUnavailable as error:
            log.error("command not in the audit yet", command=record.command, reason=str(error))
            self._unwritten.append(record)
            if self._late is None or self._late.done():
                self._late = asyncio.create_task(self._write_late_until_done())

    async def _write_late_until_done(self) -> None:
        """The command has had its effect; its record follows when the journal takes it."""
        while self._unwritten:
            await self._clock.sleep(WRITTEN_LATE_S)
            await self._write_late()

    async def _write_late(self) -> None:
        while self._unwritten:
            record = self._unwritten[0]
            try:
                await self._journal.record_control(record)
            except JournalUnavailable:
                return
            # Another one may have pushed it out meanwhile.
            if self._unwritten and self._unwritten[0] is record:
                self._unwritten.popleft()

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        self._audits.add(task)
        task.add_done_callback(self._audits.discard)
