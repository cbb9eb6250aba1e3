"""One engine, ready to be run: its machinery, and the parts through which people see and command it."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

from engine.alert_watch import AlertWatch
from engine.api.alerts_view import AlertViews
from engine.api.chain_view import ChainViews
from engine.api.oracle_view import OracleViews
from engine.api.position_pages import PositionPages
from engine.api.position_view import PositionViews
from engine.api.readiness import ReadinessView
from engine.api.risk_view import RiskViews
from engine.api.snapshots import Identity, Shipping, Snapshots
from engine.clock import SystemClock
from engine.commands import Commands
from engine.contribution import Contributions
from engine.figure_reader import FigureReader
from engine.lull import Lull
from engine.machinery import Machinery
from engine.stopping.sentinel import Cause, Sentinel
from engine.telemetry.channels import channels_of, limits_of
from engine.telemetry.health_history import HealthHistory
from engine.telemetry.metrics import Metrics
from engine.telemetry.notices import Notices


@dataclass(kw_only=True, eq=False)
class Parts(Machinery):
    """Every part of one engine, all made at once: one that cannot be made says so at the start."""

    shipping: Shipping
    profile: str
    cluster: str
    version: str
    ask_to_end: Callable[[], None]
    forget_standing_stop: Callable[[], None]

    def __post_init__(self) -> None:
        self.started_at_ns = self.clock.now_ns()
        for kind in reversed(type(self).__mro__):
            for name, value in vars(kind).items():
                if isinstance(value, cached_property):
                    getattr(self, name)

    # ------------------------------------------------------------------ what stops it and commands it

    def trip(self, cause: Cause, what: str) -> None:
        self.sentinel.trip(cause, what)

    @cached_property
    def sentinel(self) -> Sentinel:
        return Sentinel(
            chain=self.chain,
            wallet=None if self.is_dry_run else self.signer.address,  # others may send with it meanwhile
            journal=self.journal,
            is_ours=lambda signature: self.contributions.knows(signature),  # noqa: PLW0108  # not made yet
            fees=self.fees,
            clock=self.clock,
            stop=lambda reason: self.commands.emergency.trip(reason),  # noqa: PLW0108  # not made yet
        )

    @cached_property
    def contributions(self) -> Contributions:
        return Contributions(
            chain=self.chain,
            wire=self.wire,
            signer=self.signer,
            program_id=self.settings.program_id,
            journal=self.journal,
            gate=self.gate,
            blockhashes=self.blockhashes,
            fees=self.fees,
            balance_lamports=lambda: self.wallet.balance_lamports,
            events=self.events,
            clock=self.clock,
            is_dry_run=self.is_dry_run,
        )

    @cached_property
    def commands(self) -> Commands:
        return Commands(
            contributions=self.contributions,
            gate=self.gate,
            journal=self.journal,
            queue=self.queue,
            failures=self.failures,
            detector=self.detector,
            tracker=self.tracker,
            holdings=self.holdings,
            board=self.board,
            ingest=self.ingest,
            fund=self.fund,
            wallet=self.wallet,
            sentinel=self.sentinel,
            alerts=self.alerts,
            events=self.events,
            clock=self.clock,
            is_reconciled=lambda: self.phase.is_reconciled,
            ask_to_end=self.ask_to_end,
            forget_standing_stop=self.forget_standing_stop,
        )

    # ------------------------------------------------------------------ what raises an alarm

    @cached_property
    def notices(self) -> Notices:
        source = f"{self.profile} on {self.cluster}"
        return Notices(source, channels_of(self.settings), limits_of(self.settings), self.clock)

    @cached_property
    def figures(self) -> FigureReader:
        return FigureReader(
            started_at_ns=self.started_at_ns,
            fund_minimum_lamports=self.settings.insurance_fund_minimum_lamports,
            fee_budget_lamports=self.settings.fee_budget_lamports,
            is_ready=lambda: self.phase.name == "ready",
            gate=self.gate,
            chain=self.chain,
            ingest=self.ingest,
            wallet=self.wallet,
            shipping=self.shipping,
            journal=self.journal,
            risks=self.risks,
            holdings=self.holdings,
            board=self.board,
            hermes=self.hermes,
            queue=self.queue,
            tracker=self.tracker,
            funds=self.funds,
            sol_price=self.sol_price,
            fund=self.fund,
            latencies=self.latencies,
            loop_lag=self.loop_lag,
            tally=self.tally,
            clock=self.clock,
        )

    @cached_property
    def alerts(self) -> AlertWatch:
        return AlertWatch(self.figures, self.journal, self.events, self.clock, self.notices)

    @cached_property
    def metrics(self) -> Metrics:
        return Metrics(self.alerts, self.notices.counts, version=self.version, is_dry_run=self.is_dry_run)

    # ------------------------------------------------------------------ what is shown

    @cached_property
    def history(self) -> HealthHistory:
        return HealthHistory()

    @cached_property
    def identity(self) -> Identity:
        return Identity(
            version=self.version,
            pid=os.getpid(),
            profile=self.profile,
            cluster=self.cluster,
            started_at_ns=self.started_at_ns,
            wallet_source=self.signer.source,
            fund_minimum_lamports=self.settings.insurance_fund_minimum_lamports,
            is_dry_run=self.is_dry_run,
            fee_budget_lamports=self.settings.fee_budget_lamports,
        )

    @cached_property
    def positions(self) -> PositionViews:
        return PositionViews(
            holdings=self.holdings,
            board=self.board,
            queue=self.queue,
            failures=self.failures,
            journal=self.journal,
            history=self.history,
            at_risk_milli=self.settings.at_risk_factor_milli,
        )

    @cached_property
    def risk_views(self) -> RiskViews:
        return RiskViews(self.risks, self.board, self.fund)

    @cached_property
    def snapshots(self) -> Snapshots:
        return Snapshots(
            identity=self.identity,
            phase=lambda: self.phase.name,
            gate=self.gate,
            chain=ChainViews(self.chain, self.ingest, lambda: self.heights.current),
            wallet=self.wallet,
            shipping=self.shipping,
            journal=self.journal,
            positions=self.positions,
            risks=self.risk_views,
            holdings=self.holdings,
            board=self.board,
            oracle=OracleViews(self.board, self.hermes, self.clock),
            queue=self.queue,
            failures=self.failures,
            tracker=self.tracker,
            funds=self.funds,
            sol_price=self.sol_price,
            fund=self.fund,
            latencies=self.latencies,
            loop_lag=self.loop_lag,
            tally=self.tally,
            alerts=AlertViews(self.alerts),
            events=self.events,
            clock=self.clock,
        )

    @cached_property
    def pages(self) -> PositionPages:
        # Its rests are for the processor, whatever time the market runs on.
        clock = SystemClock()
        lull = Lull(lambda: len(self.executor.hands) > 0, clock)
        return PositionPages(
            self.holdings, self.board, self.positions, self.risk_views, clock=clock, lull=lull
        )

    @cached_property
    def readiness(self) -> ReadinessView:
        return ReadinessView(
            phase=lambda: self.phase.name,
            gate=self.gate,
            ingest=self.ingest,
            board=self.board,
            shipping=self.shipping,
            journal=self.journal,
            funds=self.funds,
        )
