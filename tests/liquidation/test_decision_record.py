"""A decision's record: exact there and back, and enough to tell whether the decision was right."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.domain import Action, Side, Verdict
from engine.liquidation.decision_record import DecisionRecordInvalid, decode, encode
from engine.protocol import margin

U64 = st.integers(0, 2**64 - 1)


@given(
    st.tuples(*[U64] * 8), st.integers(-(2**63), 2**63 - 1), st.sampled_from(Verdict), st.text(max_size=32)
)
def test_every_input_survives_exactly(records_class, numbers, raw_price, verdict, symbol):
    size, collateral, entry, maintenance, slot, mark, conf, price_slot = numbers
    decision = records_class().decision(
        position={
            "symbol": symbol,
            "size_e6": size,
            "collateral_e6": collateral,
            "entry_price_e6": entry,
            "maintenance_margin_e6": maintenance,
            "slot": slot,
            "side": Side.SHORT,
        },
        price={
            "price_e6": max(1, mark),
            "conf_e6": conf,
            "slot": price_slot,
            "raw_price": raw_price,
            "verdict": verdict,
        },
    )
    found = decode(encode(decision))
    assert found.terms == margin.Terms(Side.SHORT, size, entry, collateral, 20)
    assert (found.position, found.owner, found.symbol) == (
        decision.position.address,
        decision.position.owner,
        symbol,
    )
    assert (found.maintenance_margin_e6, found.account_slot, found.price_slot) == (
        maintenance,
        slot,
        price_slot,
    )
    assert (found.raw_price, found.price_e6, found.conf_e6) == (raw_price, max(1, mark), conf)
    assert (found.verdict, found.action, found.amount_e6, found.reason) == (
        verdict,
        decision.action,
        decision.amount_e6,
        decision.reason,
    )


@given(
    st.integers(1, 10**12), st.integers(0, 10**12), st.integers(100, 10**13), st.sampled_from([1, 50, 1000])
)
def test_a_complaint_is_made_exactly_when_the_position_was_not_liquidatable(
    records_class, size, collateral, raw_price, leverage
):
    decision = records_class().decision(
        raw_price=raw_price,
        position={"size_e6": size, "collateral_e6": collateral, "leverage": leverage},
        action=Action.FULL,
    )
    complaint = decode(encode(decision)).complaint()
    assert (complaint is None) == margin.is_liquidatable(decision.health)


@pytest.mark.parametrize(
    ("changes", "complaint"),
    [
        ({"price": {"verdict": Verdict.STALE}}, "the price was stale"),
        ({"position": {"is_liquidated": True}}, "already liquidated"),
        ({"action": Action.HOLD}, "to hold"),
        ({"price": {"raw_price": 9_800_000_000}}, "not the one that the raw price gives"),
        ({"price": {"raw_price": -1}}, "cannot be used"),
        ({"raw_price": 10_000_000_000, "action": Action.FULL}, "health was 1 or above"),
    ],
)
def test_each_reason_not_to_send_is_named(records, changes, complaint):
    assert decode(encode(records.decision())).complaint() is None
    assert complaint in decode(encode(records.decision(**changes))).complaint()


def spoiled(text: str, *path: str, value: object) -> str:
    raw = json.loads(text)
    inner = raw
    for key in path[:-1]:
        inner = inner[key]
    inner[path[-1]] = value
    return json.dumps(raw)


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (("format",), 2),
        (("position", "size_e6"), 1.5),
        (("position", "size_e6"), "1.5"),
        (("position", "is_liquidated"), "no"),
        (("position", "owner"), "nobody"),
        (("price",), None),
        (("price", "verdict"), "fine"),
        (("reason",), 3),
    ],
)
def test_what_is_not_a_record_is_refused(records, path, value):
    with pytest.raises(DecisionRecordInvalid):
        decode(spoiled(encode(records.decision()), *path, value=value))


@pytest.mark.parametrize("text", ["", "[]", "null", '{"format": 1}', "{"])
def test_text_that_is_no_record_at_all_is_refused(text):
    with pytest.raises(DecisionRecordInvalid):
        decode(text)
