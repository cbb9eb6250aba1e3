"""The engine's own alert rules: the three of the operational guide, and what it knows of itself.

`monitoring/alerts.yml` has the same thresholds for Prometheus. A rule that has a second, easier threshold for
an alert that is on does not start and end it again and again at the border.
"""

from __future__ import annotations

from collections.abc import Mapping

from engine.telemetry.alerts import Look, Rule, Severity

LAMPORTS_PER_SOL = 1_000_000_000
FAILED_PERCENT = (5, 4)  # of liquidations that ended: starts above the first, ends at the second
FEWEST_FAILED = 3  # two that failed are no rate
SLOW_US = 100_000
SLOW_PERCENT = (5, 4)  # slower than that: more than 5 % of them means that the 95th percentile is
FEWEST_OBSERVED = 20
WALLET_LOW_LAMPORTS = (500_000_000, 550_000_000)
UTILIZATION_BPS = (5_000, 4_900)
BUDGET_PERCENT = 80
BACKLOG_ROWS = (100_000, 50_000)
LATE_US = 100_000  # of the event loop
LATE_PERMILLE = 10
STAGE = "detect_to_submit"

Wrong = Mapping[str, str] | None
ONLY = ""  # the subject of a rule that has one


def _only(is_wrong: bool, text: str) -> dict[str, str]:
    return {ONLY: text} if is_wrong else {}


def _pick(threshold: tuple[int, int], look: Look) -> int:
    """The threshold that starts an alert, or the easier one of an alert that is on."""
    return threshold[look.is_on(ONLY)]


def _failure_rate(look: Look) -> Wrong:
    failed = look.now.failed - look.before.failed
    ended = failed + look.now.full + look.now.partial - look.before.full - look.before.partial
    many = look.is_on(ONLY) or failed >= FEWEST_FAILED
    share = f"{failed} of {ended} liquidations failed in 5 min"
    return _only(many and failed * 100 > ended * _pick(FAILED_PERCENT, look), share)


def _latency(look: Look) -> Wrong:
    stage, was = look.now.stages.get(STAGE), look.before.stages.get(STAGE)
    if stage is None or was is None:
        return None
    slow, total = stage.above(SLOW_US) - was.above(SLOW_US), stage.total - was.total
    enough = look.is_on(ONLY) or total >= FEWEST_OBSERVED
    text = f"{slow} of {total} liquidations in 5 min took more than 100 ms from detection to sending"
    return _only(enough and slow * 100 > total * _pick(SLOW_PERCENT, look), text)


def _fund_low(look: Look) -> Wrong:
    if look.now.fund_lamports is None:
        return None
    minimum = look.now.fund_minimum_lamports
    at_least = minimum + minimum // 100 if look.is_on(ONLY) else minimum
    text = f"the insurance fund holds {_sol(look.now.fund_lamports)}, less than {_sol(minimum)}"
    return _only(look.now.fund_lamports < at_least, text)


def _utilization(look: Look) -> Wrong:
    if look.now.fund_lamports is None:
        return None
    percent = look.now.fund_utilization_bps / 100
    text = f"the insurance fund has covered {percent:.1f} % of what was contributed: 50 % is the limit"
    return _only(look.now.fund_utilization_bps > _pick(UTILIZATION_BPS, look), text)


def _uncovered(look: Look) -> Wrong:
    more = look.now.bad_debt_uncovered_lamports - look.before.bad_debt_uncovered_lamports
    total = _sol(look.now.bad_debt_uncovered_lamports)
    return _only(more > 0, f"bad debt that the fund could not cover: {total} since the start")


def _stopped_itself(look: Look) -> Wrong:
    return _only(
        look.now.is_stopped and look.now.stopped_by_itself,
        f"the engine stopped itself: {look.now.stop_reason}",
    )


def _stopped(look: Look) -> Wrong:
    by_others = look.now.is_stopped and not look.now.stopped_by_itself
    return _only(by_others, f"stopped by {look.now.stopped_by}: {look.now.stop_reason}")


def _not_sending(look: Look) -> Wrong:
    return _only(bool(look.now.why_nothing_is_sent), f"nothing is sent: {look.now.why_nothing_is_sent}")


def _no_node(look: Look) -> Wrong:
    why = look.now.why_not_current or "the node announces no new slots"
    return _only(not look.now.is_current, f"nothing is decided: {why}")


def _node(look: Look) -> Wrong:
    return {
        each.name: f"rpc {each.name} is not used, {each.state}: {each.why}"
        for each in look.now.endpoints
        if each.state != "ok"
    }


def _dispute(look: Look) -> Wrong:
    return {text: f"nodes contradict each other: {text}" for text in look.now.disputes}


def _price_held(look: Look) -> Wrong:
    held = (each for each in look.now.prices if each.verdict != "ok")
    return {each.symbol: f"price {each.symbol} held: {each.verdict}" for each in held}


def _price_halted(look: Look) -> Wrong:
    return {
        each.symbol: f"price {each.symbol} halted: its positions are not watched"
        for each in look.now.prices
        if each.is_halted
    }


def _second_source(look: Look) -> Wrong:
    is_away = look.now.second_source in ("away", "refused")
    return _only(is_away, f"no second price source: {look.now.second_source_message}")


def _undecidable(look: Look) -> Wrong:
    count = sum(look.now.undecidable.values())
    reasons = ", ".join(f"{number} {reason}" for reason, number in sorted(look.now.undecidable.items()))
    return _only(count > 0, f"{count} positions cannot be decided: {reasons}")


def _unread(look: Look) -> Wrong:
    return _only(
        look.now.unread > 0, f"{look.now.unread} final transactions cannot be read: their outcome is owed"
    )


def _queue_full(look: Look) -> Wrong:
    refused = look.now.queue_refused - look.before.queue_refused
    return _only(refused > 0, f"the queue was full: {refused} liquidations were refused in 5 min")


def _wallet_low(look: Look) -> Wrong:
    if look.now.wallet_lamports is None:
        return None
    text = f"the wallet holds {_sol(look.now.wallet_lamports)}: fund it with 0.5 to 1 SOL"
    return _only(look.now.wallet_lamports < _pick(WALLET_LOW_LAMPORTS, look), text)


def _budget(look: Look) -> Wrong:
    paid, budget = look.now.fees_today_lamports, look.now.fee_budget_lamports
    text = f"fees: {_sol(paid)} of today's {_sol(budget)} are paid; the engine stops itself at the end of it"
    return _only(0 < budget * BUDGET_PERCENT <= paid * 100, text)


def _database(look: Look) -> Wrong:
    why = look.now.database_message or "no answer"
    return _only(look.now.database_state != "ok", f"the database is away, history is late: {why}")


def _backlog(look: Look) -> Wrong:
    now = look.now
    text = f"{now.journal_backlog} records wait for the database; at {now.journal_capacity} nothing is sent"
    return _only(look.now.journal_backlog > _pick(BACKLOG_ROWS, look), text)


def _loop_late(look: Look) -> Wrong:
    if look.now.loop_lag is None or look.before.loop_lag is None:
        return None
    late = look.now.loop_lag.above(LATE_US) - look.before.loop_lag.above(LATE_US)
    total = look.now.loop_lag.total - look.before.loop_lag.total
    text = f"the engine's event loop was late by more than 100 ms {late} times in 5 min"
    return _only(late * 1000 > total * LATE_PERMILLE, text)


def _sol(lamports: int) -> str:
    """Three decimals; below a thousandth all nine."""
    sol = lamports / LAMPORTS_PER_SOL
    return f"{sol:.3f} SOL" if lamports == 0 or lamports >= LAMPORTS_PER_SOL // 1000 else f"{sol:.9f} SOL"


_INFO, _WARNING, _DANGER = Severity.INFO, Severity.WARNING, Severity.DANGER
RULES = (
    # The guide's.
    Rule("failure-rate", _DANGER, _failure_rate, for_s=300, clear_s=60),
    Rule("fund-low", _DANGER, _fund_low, for_s=60, clear_s=60),
    Rule("latency", _WARNING, _latency, for_s=300, clear_s=60),
    # Whether it works at all.
    Rule("stopped-itself", _DANGER, _stopped_itself, clear_s=0),
    Rule("stopped", _WARNING, _stopped, clear_s=0),
    Rule("nothing-sent", _DANGER, _not_sending, for_s=5),
    Rule("no-node", _DANGER, _no_node, for_s=5),
    Rule("node", _WARNING, _node, for_s=30, clear_s=30),
    Rule("dispute", _DANGER, _dispute),
    Rule("price-halted", _DANGER, _price_halted),
    Rule("price-held", _WARNING, _price_held, for_s=10),
    Rule("second-source", _INFO, _second_source, for_s=60, clear_s=60),
    Rule("undecidable", _WARNING, _undecidable, for_s=30, clear_s=30),
    Rule("unread", _WARNING, _unread, for_s=60),
    Rule("queue-full", _DANGER, _queue_full),
    Rule("loop-late", _WARNING, _loop_late, for_s=60, clear_s=60),
    # Money.
    Rule("uncovered-debt", _DANGER, _uncovered, clear_s=3600),
    Rule("utilization", _WARNING, _utilization, for_s=60, clear_s=60),
    Rule("wallet-low", _WARNING, _wallet_low, clear_s=30),
    Rule("fee-budget", _WARNING, _budget, clear_s=60),
    # The record.
    Rule("database-away", _WARNING, _database, for_s=30),
    Rule("journal-backlog", _WARNING, _backlog, for_s=30, clear_s=30),
)
"""What an engine watches of itself; names are stable, and are what Prometheus and `alert list` call them."""
