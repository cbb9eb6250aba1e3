"""The inputs of a decision as JSON: everything that is needed to recompute it later, exactly.

Numbers are decimal strings, so that no JSON reader on the way can round a u64 through a float.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

import msgspec
from solders.pubkey import Pubkey

from engine.domain import Action, Decision, Generation, Side, Verdict
from engine.protocol import margin
from engine.protocol.accounts import AccountRefused
from engine.protocol.pyth import to_e6

FORMAT = 1


class DecisionRecordInvalid(ValueError):
    """The text is not a decision record of this format."""


@dataclass(frozen=True, slots=True)
class DecisionInputs:
    """What a decision was made from, and what it said. Units as in engine.domain."""

    position: Pubkey
    owner: Pubkey
    symbol: str
    terms: margin.Terms
    maintenance_margin_e6: int
    is_liquidated: bool
    generation: Generation
    account_slot: int
    raw_price: int
    exponent: int
    price_e6: int
    conf_e6: int
    publish_time_s: int
    price_slot: int
    verdict: Verdict
    action: Action
    amount_e6: int
    reason: str

    def complaint(self) -> str | None:
        """Why this decision should not have led to a transaction, or None when it was right.

        Recomputed from the inputs alone with the exact margin arithmetic.
        """
        if self.is_liquidated or self.terms.size_e6 == 0:
            return "the position was already liquidated"
        if self.action is Action.HOLD:
            return "the decision was to hold"
        return self._price_complaint() or self._health_complaint()

    def _price_complaint(self) -> str | None:
        if self.verdict is not Verdict.OK:
            return f"the price was {self.verdict.value}"
        try:
            mark_e6 = to_e6(self.raw_price, self.exponent)
        except AccountRefused as refusal:
            return f"the price cannot be used: {refusal.reason}"
        if mark_e6 != self.price_e6 or mark_e6 <= 0:
            return "the mark price is not the one that the raw price gives"
        return None

    def _health_complaint(self) -> str | None:
        try:
            health = margin.health_at(self.terms, self.price_e6)
        except margin.UnsupportedLeverage:
            return f"no maintenance ratio is defined for leverage {self.terms.leverage}"
        return None if margin.is_liquidatable(health) else "the position's health was 1 or above"


def encode(decision: Decision) -> str:
    """A decision's inputs as one line of JSON."""
    position, price = decision.position, decision.price
    return msgspec.json.encode(
        {
            "format": FORMAT,
            "position": {
                "address": str(position.address),
                "owner": str(position.owner),
                "symbol": position.symbol,
                "side": position.side.value,
                "size_e6": str(position.size_e6),
                "entry_price_e6": str(position.entry_price_e6),
                "collateral_e6": str(position.collateral_e6),
                "leverage": str(position.leverage),
                "maintenance_margin_e6": str(position.maintenance_margin_e6),
                "is_liquidated": position.is_liquidated,
                "generation": position.generation.value,
                "slot": str(position.slot),
            },
            "price": {
                "raw": str(price.raw_price),
                "exponent": str(price.exponent),
                "price_e6": str(price.price_e6),
                "conf_e6": str(price.conf_e6),
                "publish_time_s": str(price.publish_time_s),
                "slot": str(price.slot),
                "verdict": price.verdict.value,
            },
            "action": decision.action.value,
            "amount_e6": str(decision.amount_e6),
            "reason": decision.reason,
        }
    ).decode()


def decode(text: str) -> DecisionInputs:
    """The inputs that `encode` wrote; raises DecisionRecordInvalid."""
    try:
        raw = json.loads(text)
        if raw["format"] != FORMAT:
            raise DecisionRecordInvalid(f"decision record of format {raw['format']!r}")
        return _inputs(raw, raw["position"], raw["price"])
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        if isinstance(error, DecisionRecordInvalid):
            raise
        raise DecisionRecordInvalid(f"not a decision record: {type(error).__name__}") from None


def _inputs(raw: dict[str, Any], position: dict[str, Any], price: dict[str, Any]) -> DecisionInputs:
    return DecisionInputs(
        position=Pubkey.from_string(position["address"]),
        owner=Pubkey.from_string(position["owner"]),
        symbol=_text(position, "symbol"),
        terms=margin.Terms(
            side=Side(position["side"]),
            size_e6=_integer(position, "size_e6"),
            entry_price_e6=_integer(position, "entry_price_e6"),
            collateral_e6=_integer(position, "collateral_e6"),
            leverage=_integer(position, "leverage"),
        ),
        maintenance_margin_e6=_integer(position, "maintenance_margin_e6"),
        is_liquidated=_flag(position, "is_liquidated"),
        generation=Generation(position["generation"]),
        account_slot=_integer(position, "slot"),
        raw_price=_integer(price, "raw"),
        exponent=_integer(price, "exponent"),
        price_e6=_integer(price, "price_e6"),
        conf_e6=_integer(price, "conf_e6"),
        publish_time_s=_integer(price, "publish_time_s"),
        price_slot=_integer(price, "slot"),
        verdict=Verdict(price["verdict"]),
        action=Action(raw["action"]),
        amount_e6=_integer(raw, "amount_e6"),
        reason=_text(raw, "reason"),
    )


def _integer(raw: dict[str, Any], key: str) -> int:
    value = raw[key]
    if not isinstance(value, str):
        raise DecisionRecordInvalid(f"{key} is not a decimal string")
    return int(value)


def _text(raw: dict[str, Any], key: str) -> str:
    value = raw[key]
    if not isinstance(value, str):
        raise DecisionRecordInvalid(f"{key} is not text")
    return value


def _flag(raw: dict[str, Any], key: str) -> bool:
    value = raw[key]
    if not isinstance(value, bool):
        raise DecisionRecordInvalid(f"{key} is neither true nor false")
    return value
