"""Differences between snapshots put together again give the snapshot, whatever the two are."""

from __future__ import annotations

from random import Random
from typing import Any

import msgspec
import pytest
import snapshot_strategy as strategy
import snapshots
from hypothesis import given, settings
from hypothesis import strategies as st
from snapshot_strategy import SEEDS

from engine.api import delta, wire
from engine.api.delta import NotApplicable, applied, difference
from engine.api.frames import Frame, Step

BUSY = snapshots.snapshot()
THOROUGH = settings(max_examples=120, deadline=None)


def over_the_wire(before: wire.Snapshot, after: wire.Snapshot) -> dict[str, Any]:
    """The changes as a reader gets them: through JSON."""
    sent = msgspec.json.encode(Step(since=before.seq, changes=difference(before, after)))
    frame = msgspec.json.decode(sent, type=Frame)
    assert isinstance(frame, Step)
    return frame.changes


@THOROUGH
@given(SEEDS, SEEDS)
def test_the_difference_of_any_two_snapshots_makes_the_one_out_of_the_other(one: int, other: int) -> None:
    before, after = strategy.snapshot(one), strategy.snapshot(other)
    assert applied(over_the_wire(before, after), before) == after


@THOROUGH
@given(SEEDS)
def test_a_chain_of_snapshots_that_follow_on_each_other_arrives_whole(seed: int) -> None:
    dice = Random(seed)
    here = there = strategy.snapshot(seed)
    for _ in range(3):
        after = strategy.following(here, wire.Snapshot, dice)
        there = applied(over_the_wire(here, after), there)
        here = after
        assert there == here


@THOROUGH
@given(
    st.lists(st.integers(0, 5), max_size=8),
    st.lists(st.tuples(st.integers(0, 5), st.integers(0, 1)), max_size=8),
)
def test_a_table_arrives_whatever_was_moved_in_it_and_however_often_a_key_stands_there(
    keys: list[int], rows: list[tuple[int, int]]
) -> None:
    before = msgspec.structs.replace(BUSY, events=[_event(key, 0) for key in keys])
    after = msgspec.structs.replace(BUSY, events=[_event(key, level) for key, level in rows])
    assert applied(over_the_wire(before, after), before) == after


@THOROUGH
@given(st.lists(st.integers(0, 2), max_size=12), st.lists(st.integers(0, 2), max_size=12))
def test_a_course_arrives_however_far_it_went_on(old: list[int], new: list[int]) -> None:
    before, after = _with_course(old), _with_course(new)
    assert applied(over_the_wire(before, after), before) == after
    longer = _with_course([*old[1:], *new])
    assert applied(over_the_wire(before, longer), before) == longer


@THOROUGH
@given(SEEDS)
def test_nothing_is_told_of_a_snapshot_that_is_the_same(seed: int) -> None:
    snapshot, again = strategy.snapshot(seed), strategy.snapshot(seed)
    assert difference(snapshot, again) == {}
    assert applied({}, snapshot) is snapshot


@THOROUGH
@given(SEEDS, SEEDS, SEEDS)
def test_a_difference_against_something_else_is_refused_or_gives_a_snapshot(
    one: int, two: int, three: int
) -> None:
    before, after, other = map(strategy.snapshot, (one, two, three))
    try:
        made = applied(over_the_wire(before, after), other)
    except NotApplicable:
        return
    assert msgspec.json.decode(msgspec.json.encode(made), type=wire.Snapshot) == made


def _event(key: int, level: int) -> wire.EventRow:
    return wire.EventRow(seq=key, at_ns=key, level=("info", "danger")[level], text="")


def _with_course(figures: list[int]) -> wire.Snapshot:
    assert BUSY.fund is not None
    return msgspec.structs.replace(BUSY, fund=msgspec.structs.replace(BUSY.fund, trend_lamports=figures))


def test_one_price_step_of_thirty_positions_costs_a_fraction_of_the_snapshot() -> None:
    before = snapshots.snapshot(at_risk=[snapshots.position(number) for number in range(30)])
    rows = [
        msgspec.structs.replace(row, mark_price_e6=92_400_000, health_milli=1_050, distance_bps=91)
        for row in before.at_risk
    ]
    after = msgspec.structs.replace(before, seq=before.seq + 1, at_risk=rows)
    step = msgspec.json.encode(Step(since=before.seq, changes=difference(before, after)))
    assert len(step) < len(msgspec.json.encode(after)) / 8


def test_rows_that_did_not_change_stay_the_same_objects() -> None:
    before = snapshots.snapshot()
    moved = msgspec.structs.replace(before, at_risk=list(reversed(before.at_risk)))
    made = applied(over_the_wire(before, moved), before)
    assert made == moved
    assert all(new is old for new, old in zip(made.at_risk, moved.at_risk, strict=True))
    assert made.events is before.events


def test_every_table_of_a_snapshot_has_a_key() -> None:
    tables = _tables(wire.Snapshot)
    assert tables - set(delta._KEYS) == {wire.FailedAttemptRow}  # a history only grows, and is short
    assert wire.RungRow in tables


def _tables(kind: Any) -> set[Any]:
    found: set[Any] = set()
    for each in [field.type for field in msgspec.inspect.type_info(kind).fields]:
        found |= _tables_in(each)
    return found


def _tables_in(info: Any) -> set[Any]:
    if isinstance(info, msgspec.inspect.UnionType):
        return {kind for each in info.types for kind in _tables_in(each)}
    if isinstance(info, msgspec.inspect.ListType) and isinstance(info.item_type, msgspec.inspect.StructType):
        return {info.item_type.cls} | _tables(info.item_type.cls)
    return _tables(info.cls) if isinstance(info, msgspec.inspect.StructType) else set()


@pytest.mark.parametrize(
    "changes",
    [
        {"seq": ["=", "x"]},
        {"seq": ["~", {}]},
        {"at_risk": ["#", [[0, 10_000]], []]},
        {"at_risk": ["#", [[-1, 2]], []]},
        {"at_risk": ["#", [[0, 1]], [[1, {}]]]},
        {"at_risk": ["#", [[0, 1]] * 5_000, []]},
        {"at_risk": ["#", [{"address": 1}], []]},
        {"at_risk": [">", 0, [1]]},
        {"events": ["~", {"seq": ["=", 1]}]},
        {"risk": ["#", None, [[0, {"ladder": [">", 99, []]}]]]},
    ],
)
def test_changes_that_fit_nothing_are_refused(changes: dict[str, Any]) -> None:
    frame = msgspec.json.decode(
        msgspec.json.encode({"type": "step", "since": 1, "changes": changes}), type=Frame
    )
    assert isinstance(frame, Step)
    with pytest.raises(NotApplicable):
        applied(frame.changes, snapshots.snapshot())


def test_fields_of_a_newer_engine_are_passed_over() -> None:
    frame = msgspec.json.decode(
        b'{"type":"step","since":1,"changes":{"weather":["=",{"rain":true}],"seq":["=",9]}}', type=Frame
    )
    assert isinstance(frame, Step)
    assert applied(frame.changes, snapshots.snapshot()).seq == 9
