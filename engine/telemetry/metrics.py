"""The metrics that Prometheus scrapes, made from the engine's figures.

The guide's five have the guide's names; all others begin with `engine_`. Every label comes from a list that
is bounded: symbols and nodes of the settings, classes of outcomes, verdicts, stages, rules. Rendering needs
nothing of the engine's loop: it reads the figures that were kept last, once for all who ask meanwhile.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Protocol

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector

from engine.telemetry.figures import Figures, HistogramFigures

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
NODE_STATES = ("ok", "behind", "still", "failing", "resting", "distrusted", "foreign", "unmet")
VERDICTS = (
    *("ok", "stale", "wide confidence", "jump awaiting confirmation", "sources diverged"),
    *("invalid account", "missing"),
)
SEVERITIES = ("info", "warning", "danger")

Labelled = Iterable[tuple[Sequence[str], float]]


class Source(Protocol):
    """Who keeps the figures, and counts the alerts that are on by severity; see engine.alert_watch."""

    figures: Figures
    counts: dict[str, int]


class Metrics:
    """What `/metrics` answers. May be asked in any thread."""

    def __init__(
        self,
        source: Source,
        messages: Callable[[], Mapping[tuple[str, str], int]],
        *,
        version: str,
        is_dry_run: bool,
    ) -> None:
        """`messages` counts those about alerts, by channel and result."""
        self._source = source
        self._messages = messages
        self._build = (version, "yes" if is_dry_run else "no")
        self._registry = CollectorRegistry(auto_describe=False)
        self._registry.register(_Families(self))
        self._lock = threading.Lock()
        self._read = source.figures
        self._rendered = b""

    def render(self) -> bytes:
        """The text format of Prometheus; made anew only when the figures are new."""
        with self._lock:
            figures = self._source.figures
            if not self._rendered or figures is not self._read:
                self._read = figures
                self._rendered = generate_latest(self._registry)
            return self._rendered

    def families(self) -> Iterator[Metric]:
        """Every metric with its samples, of the figures that were read last."""
        figures = self._read
        yield from _liquidations(figures)
        yield from _positions(figures)
        yield from _money(figures)
        yield from _work(figures)
        yield from _cluster(figures)
        yield from _prices(figures)
        yield from _state(figures)
        yield _gauge("engine_info", "Version of the engine", ("version", "dry_run"), [(self._build, 1)])
        counts = self._source.counts
        yield _gauge(
            "engine_alerts",
            "Alerts that are on",
            ("severity",),
            [((severity,), counts.get(severity, 0)) for severity in SEVERITIES],
        )
        yield _counter(
            "engine_alert_messages",
            "Messages about alerts that were delivered or failed, and alerts that were dropped",
            ("channel", "result"),
            self._messages().items(),
        )


class _Families(Collector):
    """The registry's way to the families."""

    def __init__(self, metrics: Metrics) -> None:
        self._metrics = metrics

    def collect(self) -> Iterable[Metric]:
        return self._metrics.families()


def _liquidations(figures: Figures) -> Iterator[Metric]:
    yield _counter(
        "liquidations",
        "Liquidations that succeeded",
        ("action", "symbol"),
        figures.done.items(),
    )
    yield _counter(
        "failed_liquidations",
        "Liquidations that were given up, by how their last attempt ended",
        ("outcome",),
        [((outcome,), count) for outcome, count in figures.failed_by_outcome.items()],
    )
    yield _histogram(
        "liquidation_latency_seconds",
        "From when a liquidation could be acted on to its first bytes out",
        [((), figures.stages["detect_to_submit"])],
    )
    yield _histogram(
        "engine_stage_seconds",
        "Stages of a liquidation; finality_wait is what goes before those of one that follows another",
        [((stage,), durations) for stage, durations in figures.stages.items()],
        ("stage",),
    )
    yield _counter("engine_attempts", "Transactions whose end is known", (), [((), figures.attempts)])
    yield _counter(
        "engine_already_liquidated",
        "Attempts that somebody else was faster than",
        (),
        [((), figures.already_liquidated)],
    )
    yield _counter(
        "engine_rehearsed",
        "Liquidations that a dry run rehearsed: they would have succeeded, and count as nothing else",
        (),
        [((), figures.rehearsed)],
    )


def _positions(figures: Figures) -> Iterator[Metric]:
    yield _gauge(
        "positions_monitored",
        "Positions by band; unknown ones are never submitted",
        ("band",),
        [((band,), count) for band, count in figures.positions.items()],
    )
    yield _gauge(
        "engine_positions_undecidable",
        "Positions that no price makes decidable, by reason",
        ("reason",),
        [((reason,), count) for reason, count in figures.undecidable.items()],
    )


def _money(figures: Figures) -> Iterator[Metric]:
    if figures.fund_lamports is not None:
        yield _single("insurance_fund_balance", "Insurance fund in lamports", figures.fund_lamports)
        contributed = figures.fund_contributions_lamports
        yield _single("engine_fund_contributions_lamports", "Contributed to the fund ever", contributed)
        yield _single(
            "engine_fund_covered_lamports",
            "Bad debt that the fund covered ever",
            figures.fund_covered_lamports,
        )
        ratio = figures.fund_utilization_bps / 10_000
        yield _single("engine_fund_utilization_ratio", "Covered / contributed; healthy up to 0.5", ratio)
    yield _single("engine_fund_minimum_lamports", "INSURANCE_FUND_MINIMUM_SOL", figures.fund_minimum_lamports)
    if figures.wallet_lamports is not None:
        yield _single("engine_wallet_lamports", "The signing wallet's balance", figures.wallet_lamports)
    yield _counter("engine_fees_lamports", "Fees paid", (), [((), figures.fees_lamports)])
    yield _single("engine_fees_today_lamports", "Fees paid today (UTC)", figures.fees_today_lamports)
    yield _single("engine_fee_budget_lamports", "FEE_BUDGET_LAMPORTS", figures.fee_budget_lamports)
    yield _counter(
        "engine_bad_debt_lamports",
        "Bad debt of our liquidations",
        ("covered",),
        [
            (("yes",), figures.bad_debt_covered_lamports),
            (("no",), figures.bad_debt_uncovered_lamports),
        ],
    )


def _work(figures: Figures) -> Iterator[Metric]:
    yield _single("engine_queue_length", "Liquidations from detection to finality", figures.queue_length)
    yield _counter(
        "engine_queue_refused", "Liquidations that a full queue refused", (), [((), figures.queue_refused)]
    )
    yield _single("engine_in_flight", "Transactions that are not final", figures.in_flight)
    yield _single("engine_unread", "Final transactions that no node shows", figures.unread)
    yield _single("engine_journal_backlog", "Records that wait for the database", figures.journal_backlog)
    yield _single("engine_journal_capacity", "Backlog at which nothing is sent", figures.journal_capacity)
    yield _single("engine_database_up", "1 while the database takes records", figures.database_state == "ok")
    if figures.loop_lag is not None:
        yield _histogram(
            "engine_loop_lag_seconds", "How late the event loop came round", [((), figures.loop_lag)]
        )


def _cluster(figures: Figures) -> Iterator[Metric]:
    nodes = figures.endpoints
    yield _single("engine_slot", "The newest slot that was announced", figures.slot)
    yield _single(
        "engine_node_current", "1 while a node is current: else nothing is decided", figures.is_current
    )
    yield _single("engine_subscribed", "1 while a node tells what happens", figures.is_subscribed)
    yield _single(
        "engine_node_disputes", "Transactions that nodes contradict each other on", len(figures.disputes)
    )
    yield _gauge(
        "engine_rpc_state",
        "1 for the state that the endpoint is in",
        ("endpoint", "state"),
        [((node.name, state), node.state == state) for node in nodes for state in NODE_STATES],
    )
    yield _gauge(
        "engine_rpc_behind_slots",
        "Slots behind the newest of all",
        ("endpoint",),
        [((node.name,), node.behind_slots) for node in nodes],
    )
    yield _gauge(
        "engine_rpc_error_ratio",
        "Failed calls of the last twenty",
        ("endpoint",),
        [((node.name,), node.error_permille / 1000) for node in nodes],
    )
    percentiles = [
        ((node.name, percentile), microseconds / 1e6)
        for node in nodes
        for percentile, microseconds in (("50", node.p50_us), ("99", node.p99_us))
    ]
    # Not a summary: it is of the last 200 calls, whenever they were.
    yield _gauge(
        "engine_rpc_seconds", "Latency of the last 200 calls", ("endpoint", "percentile"), percentiles
    )
    yield _gauge(
        "engine_rpc_requests_left",
        "What is left of the endpoint's budget of requests now",
        ("endpoint",),
        [((node.name,), node.requests_left) for node in nodes],
    )


def _prices(figures: Figures) -> Iterator[Metric]:
    prices = figures.prices
    yield _gauge(
        "engine_price_age_seconds",
        "Age of the price on chain",
        ("symbol",),
        [((each.symbol,), each.age_ms / 1000) for each in prices if each.age_ms is not None],
    )
    yield _gauge(
        "engine_price_verdict",
        "1 for the verdict on the symbol's price; only ok leads to a liquidation",
        ("symbol", "verdict"),
        [((each.symbol, verdict), each.verdict == verdict) for each in prices for verdict in VERDICTS],
    )
    yield _gauge(
        "engine_price_halted",
        "1 while the symbol has had no usable price for too long",
        ("symbol",),
        [((each.symbol,), each.is_halted) for each in prices],
    )
    yield _counter(
        "engine_holds",
        "Holds begun",
        ("symbol", "reason"),
        ((key, count) for key, count in figures.holds.items()),
    )
    yield _counter(
        "engine_held_seconds",
        "How long symbols were held, in holds that have ended",
        ("symbol",),
        [((each.symbol,), each.held_ms / 1000) for each in prices],
    )
    is_away = figures.second_source in ("away", "refused")
    yield _single("engine_second_source_away", "1 while a second price source is set and away", is_away)


def _state(figures: Figures) -> Iterator[Metric]:
    yield _gauge(
        "engine_stopped",
        "1 while an emergency stop is in force, by who pressed it",
        ("by",),
        [
            (("operator",), figures.is_stopped and not figures.stopped_by_itself),
            (("engine",), figures.stopped_by_itself),
        ],
    )
    yield _single(
        "engine_sending_paused",
        "1 while wallet, price of SOL or journal let nothing be sent",
        bool(figures.why_nothing_is_sent),
    )
    yield _single("engine_ready", "1 while the engine decides", figures.is_ready)
    yield _single("engine_start_time_seconds", "When the engine started (Unix)", figures.started_at_ns / 1e9)
    yield _single("engine_figures_time_seconds", "When these figures were read (Unix)", figures.at_ns / 1e9)


def _single(name: str, text: str, value: float) -> Metric:
    return _gauge(name, text, (), [((), value)])


def _gauge(name: str, text: str, labels: Sequence[str], samples: Labelled) -> Metric:
    family = GaugeMetricFamily(name, text, labels=labels)
    for values, value in samples:
        family.add_metric(values, value)
    return family


def _counter(name: str, text: str, labels: Sequence[str], samples: Labelled) -> Metric:
    """Its samples are called `name`_total."""
    family = CounterMetricFamily(name, text, labels=labels)
    for values, value in samples:
        family.add_metric(values, value)
    return family


def _histogram(
    name: str,
    text: str,
    samples: Iterable[tuple[Sequence[str], HistogramFigures]],
    labels: Sequence[str] = (),
) -> Metric:
    """Seconds, with cumulative buckets."""
    family = HistogramMetricFamily(name, text, labels=labels)
    for values, durations in samples:
        buckets, so_far = [], 0
        bounds = [str(bound / 1e6) for bound in durations.bounds_us]
        for bound, count in zip([*bounds, "+Inf"], durations.counts, strict=True):
            so_far += count
            buckets.append((bound, so_far))
        family.add_metric(values, buckets, durations.sum_us / 1e6)
    return family
