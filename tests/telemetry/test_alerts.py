"""Alerts start when something held long enough, end when it was gone long enough, and are remembered."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import pytest
from figured import NODE, PRICE, SOL, START_NS, WELL, at, stage

from engine.telemetry.alert_rules import RULES
from engine.telemetry.alerts import HISTORY, SUBJECTS, Alert, AlertBoard, Look, Rule, Severity, UnknownAlert
from engine.telemetry.figures import Figures

BY_NAME = {rule.name: rule for rule in RULES}


def board_of(wrong: Callable[[Look], Mapping[str, str] | None], **times: float) -> AlertBoard:
    return AlertBoard([Rule("trouble", Severity.WARNING, wrong, **times)])


def queue_is_long(look: Look) -> dict[str, str]:
    return {"": f"{look.now.queue_length} wait"} if look.now.queue_length > 5 else {}


def busy(seconds: float) -> Figures:
    return at(seconds, queue_length=9)


def run(rule: str, *figures: Figures) -> list[list[str]]:
    """The texts of the alerts of one rule that are on after each look."""
    board = AlertBoard([BY_NAME[rule]])
    on = []
    for each in figures:
        board.judge(each)
        on.append([alert.text for alert in board.active])
    return on


def test_an_alert_starts_when_it_held_long_enough_and_says_when_that_began() -> None:
    board = board_of(queue_is_long, for_s=30)
    assert board.judge(at(0)) == []
    assert board.judge(busy(10)) == []
    assert board.judge(busy(39.9)) == []
    (started,) = board.judge(busy(40))
    assert (started.since_ns, started.ended_ns) == (START_NS + 10 * 10**9, None)
    assert (started.text, started.severity) == ("9 wait", Severity.WARNING)
    assert board.judge(busy(41)) == []
    assert board.active == [started]


def test_what_was_gone_in_between_starts_anew() -> None:
    board = board_of(queue_is_long, for_s=30)
    for figures in (busy(0), at(20), busy(25)):
        assert board.judge(figures) == []
    assert board.judge(busy(54)) == []
    assert len(board.judge(busy(55))) == 1


def test_an_alert_ends_when_it_was_gone_long_enough_and_not_before() -> None:
    board = board_of(queue_is_long, clear_s=10)
    (started,) = board.judge(busy(0))
    assert board.judge(at(1)) == []
    assert board.judge(busy(9)) == []  # it is back: the same alert goes on
    assert board.judge(at(10)) == []
    assert board.judge(at(19.9)) == []
    (ended,) = board.judge(at(20))
    assert ended == replace_of(started, ended_ns=START_NS + 20 * 10**9)
    assert (board.active, board.ended) == ([], [ended])


def replace_of(alert: Alert, **changes: Any) -> Alert:
    values = {name: getattr(alert, name) for name in alert.__struct_fields__}
    return Alert(**{**values, **changes})


def test_the_text_of_an_alert_that_is_on_follows_what_it_is_about() -> None:
    board = board_of(queue_is_long)
    board.judge(busy(0))
    assert board.judge(at(1, queue_length=7)) == []
    assert [alert.text for alert in board.active] == ["7 wait"]


def test_what_is_not_known_neither_starts_nor_ends_anything() -> None:
    board = board_of(
        lambda look: None if look.now.wallet_lamports is None else queue_is_long(look), clear_s=5
    )
    board.judge(busy(0))
    for second in range(1, 60):
        assert board.judge(at(second, wallet_lamports=None)) == []
    assert len(board.active) == 1
    board.judge(at(60))
    assert len(board.judge(at(65))) == 1


def test_each_subject_of_a_rule_has_an_alert_of_its_own_up_to_a_bound() -> None:
    board = board_of(lambda look: {f"node {n:03}": "away" for n in range(look.now.queue_length)}, clear_s=0)
    assert [alert.subject for alert in board.judge(at(0, queue_length=2))] == ["node 000", "node 001"]
    (ended,) = board.judge(at(1, queue_length=1))
    assert ended.subject == "node 001"
    board.judge(at(2, queue_length=SUBJECTS + 30))
    assert len(board.active) == SUBJECTS


def test_the_most_urgent_come_first_and_of_these_the_newest() -> None:
    board = AlertBoard(
        [
            Rule("info", Severity.INFO, lambda look: {"": "i"}),
            Rule("old danger", Severity.DANGER, lambda look: {"": "d"}),
            Rule("warning", Severity.WARNING, lambda look: {"": "w"}),
            Rule("new danger", Severity.DANGER, queue_is_long),
        ]
    )
    board.judge(at(0))
    board.judge(busy(5))
    assert [alert.rule for alert in board.active] == ["new danger", "old danger", "warning", "info"]


def test_who_acknowledged_first_and_when_stays() -> None:
    board = board_of(queue_is_long, clear_s=0)
    (started,) = board.judge(busy(0))
    seen = board.acknowledge(started.number, "ann", START_NS + 1)
    assert (seen.acknowledged_by, seen.acknowledged_ns) == ("ann", START_NS + 1)
    assert board.acknowledge(started.number, "bob", START_NS + 2) == seen
    (ended,) = board.judge(at(1))
    assert ended.acknowledged_by == "ann"
    with pytest.raises(UnknownAlert):
        board.acknowledge(started.number, "carl", START_NS + 3)


def test_the_history_is_bounded_and_newest_first() -> None:
    board = board_of(queue_is_long, clear_s=0)
    for number in range(HISTORY + 20):
        board.judge(busy(2 * number))
        board.judge(at(2 * number + 1))
    assert [alert.number for alert in board.ended] == list(range(HISTORY + 20, 20, -1))


def test_a_restart_goes_on_with_what_was_on_acknowledged_as_it_was() -> None:
    board = board_of(queue_is_long, clear_s=10)
    board.judge(busy(0))
    board.judge(at(10))
    board.judge(at(20))
    (second,) = board.judge(busy(30))
    board.acknowledge(second.number, "ann", START_NS)
    after = board_of(queue_is_long, clear_s=10)
    after.restore(board.kept(), START_NS)
    assert (after.active, after.ended) == (board.active, board.ended)
    assert after.judge(busy(0)) == []  # it holds still: nobody is told a second time
    after.judge(at(1))
    (ended,) = after.judge(at(11))
    assert (ended.number, ended.acknowledged_by) == (second.number, "ann")
    (third,) = after.judge(busy(12))
    assert third.number == second.number + 1


def test_an_alert_of_a_rule_that_is_no_more_ends_with_the_restart() -> None:
    board = board_of(queue_is_long)
    board.judge(busy(0))
    after = AlertBoard([])
    after.restore(board.kept(), START_NS + 7)
    assert after.active == []
    assert [alert.ended_ns for alert in after.ended] == [START_NS + 7]


@pytest.mark.parametrize("text", ["", "{}", "[1]", '{"next_number": "x", "active": [], "ended": []}'])
def test_a_record_that_cannot_be_read_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="not a record of alerts"):
        AlertBoard([]).restore(text, 0)


def test_text_of_strangers_is_clean_before_anybody_sees_it() -> None:
    board = board_of(lambda look: {"\x1b[2Jnode": "boo\r\n\x1b]52;c;ZXZpbA==\x07" + "x" * 500})
    (alert,) = board.judge(at(0))
    assert alert.subject == "node"
    assert alert.text.startswith("boo x")
    assert alert.text.isprintable()
    assert len(alert.text) == 160


def test_an_engine_that_is_well_has_no_alert() -> None:
    board = AlertBoard(RULES)
    for second in range(0, 900, 5):
        assert board.judge(at(second)) == []


ILL: dict[str, dict[str, Any]] = {
    "stopped-itself": {"is_stopped": True, "stopped_by": "engine", "stopped_by_itself": True},
    "stopped": {"is_stopped": True, "stopped_by": "ann", "stop_reason": "drill"},
    "nothing-sent": {"why_nothing_is_sent": "insufficient funds"},
    "no-node": {"is_current": False, "why_not_current": "all are away"},
    "node": {"endpoints": (replace(NODE, state="behind", why="9 slots behind"),)},
    "dispute": {"disputes": ("one says landed, the other not",)},
    "price-halted": {"prices": (replace(PRICE, verdict="stale", is_halted=True),)},
    "price-held": {"prices": (replace(PRICE, verdict="wide confidence"),)},
    "second-source": {"second_source": "away"},
    "undecidable": {"undecidable": {"no maintenance": 3}},
    "unread": {"unread": 1},
    "utilization": {"fund_utilization_bps": 5_001},
    "fund-low": {"fund_lamports": 10 * SOL - 1},
    "wallet-low": {"wallet_lamports": SOL // 2 - 1},
    "fee-budget": {"fees_today_lamports": 400_000_000},
    "database-away": {"database_state": "away", "database_message": "refused"},
    "journal-backlog": {"journal_backlog": 100_001},
}
COUNTED = {"failure-rate", "latency", "queue-full", "loop-late", "uncovered-debt"}


def test_every_rule_is_tried_below() -> None:
    assert set(ILL) | COUNTED == set(BY_NAME)
    assert len(BY_NAME) == len(RULES)


@pytest.mark.parametrize("name", sorted(ILL))
def test_a_condition_that_lasts_is_told_at_its_time_and_is_over_after_it(name: str) -> None:
    rule = BY_NAME[name]
    board = AlertBoard(RULES)
    board.judge(at(0, **ILL[name]))
    if rule.for_s:
        board.judge(at(rule.for_s - 0.1, **ILL[name]))
        assert name not in {alert.rule for alert in board.active}
    board.judge(at(rule.for_s, **ILL[name]))
    assert name in {alert.rule for alert in board.active}
    board.judge(at(rule.for_s + 1))
    board.judge(at(rule.for_s + 1 + rule.clear_s))
    assert name not in {alert.rule for alert in board.active}
    assert name in {alert.rule for alert in board.ended}


def test_five_per_cent_of_failures_in_five_minutes_are_an_alert_and_an_old_one_is_none() -> None:
    steady = [at(second, failed=second // 10, full=second) for second in range(0, 700, 10)]
    told = run("failure-rate", *steady)
    assert told[29] == []
    assert told[40] == ["30 of 330 liquidations failed in 5 min"]
    # They stop failing: five minutes later none of the last five minutes failed.
    after = [at(700 + second, failed=69, full=690 + second) for second in range(0, 500, 10)]
    assert run("failure-rate", *steady, *after)[-1] == []


def test_two_failures_are_no_rate_and_five_per_cent_are_not_above_five() -> None:
    now_and_then = [at(second, failed=second // 150) for second in range(0, 900, 5)]
    assert run("failure-rate", *now_and_then) == [[]] * len(now_and_then)
    three = [at(second, failed=second // 100) for second in range(0, 900, 5)]
    assert run("failure-rate", *three)[-1] == ["3 of 3 liquidations failed in 5 min"]
    five_of_a_hundred = [at(second, failed=second, full=19 * second) for second in range(0, 900, 5)]
    assert run("failure-rate", *five_of_a_hundred) == [[]] * len(five_of_a_hundred)


def test_a_95th_percentile_above_100_ms_is_an_alert() -> None:
    def told(slow: int) -> list[str]:
        looks = [at(second, stages=stage(100 * second, slow * second)) for second in range(0, 601, 5)]
        return run("latency", *looks)[-1]

    assert told(5) == []
    (text,) = told(6)
    assert "1800 of 31800 liquidations" in text


def test_a_handful_of_slow_liquidations_is_no_percentile() -> None:
    looks = [at(0), *(at(second, stages=stage(0, 19)) for second in range(5, 305, 5))]
    assert run("latency", *looks)[-1] == []


def test_debt_that_the_fund_did_not_cover_is_told_for_an_hour() -> None:
    looks = [at(0), *(at(second, bad_debt_uncovered_lamports=3 * SOL) for second in range(5, 4600, 5))]
    told = run("uncovered-debt", *looks)
    assert told[1] == ["bad debt that the fund could not cover: 3.000 SOL since the start"]
    assert told[700] == told[1]
    assert told[-1] == []


def test_a_queue_that_was_full_and_a_late_loop_are_told() -> None:
    assert run("queue-full", at(0), at(5, queue_refused=4))[-1] == [
        "the queue was full: 4 liquidations were refused in 5 min"
    ]
    late = [
        at(s, loop_lag=replace(WELL.loop_lag or pytest.fail(), counts=(50 * s, s))) for s in range(0, 70, 5)
    ]
    (text,) = run("loop-late", *late)[-1]
    assert text == "the engine's event loop was late by more than 100 ms 65 times in 5 min"


BORDERS: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "wallet-low": ({"wallet_lamports": SOL // 2 - 1}, {"wallet_lamports": SOL // 2 + 1}),
    "fund-low": ({"fund_lamports": 10 * SOL - 1}, {"fund_lamports": 10 * SOL + 1}),
    "utilization": ({"fund_utilization_bps": 5_001}, {"fund_utilization_bps": 4_999}),
    "journal-backlog": ({"journal_backlog": 100_001}, {"journal_backlog": 99_999}),
}


@pytest.mark.parametrize("name", BORDERS)
def test_what_stands_at_its_border_does_not_come_and_go(name: str) -> None:
    board = AlertBoard([BY_NAME[name]])
    beyond, within = BORDERS[name]
    changes = 0
    for second in range(0, 3600, 5):  # two minutes on either side, longer than any rule waits
        changes += len(board.judge(at(second, **(within if second // 120 % 2 else beyond))))
    assert changes == 1
    board.judge(at(3600))
    assert len(board.judge(at(3700))) == 1
