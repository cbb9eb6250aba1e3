"""Decides what to do with one position at one price: exact, pure, and with its reasons."""

from __future__ import annotations

from engine.book.book import terms_of
from engine.domain import Action, Decision, Health, Position, Price, Verdict
from engine.protocol.margin import UnsupportedLeverage, choose_action, health_at

_NO_HEALTH = Health(equity_e12=0, value_e12=0, maintenance_bps=0)


def decide(position: Position, price: Price) -> Decision:
    """Full, partial or hold. A price that is not OK, or a position without a maintenance ratio, is held."""
    if price.verdict is not Verdict.OK:
        return Decision(position, price, _NO_HEALTH, Action.HOLD, 0, f"price is held: {price.verdict.value}")
    if position.symbol != price.symbol:
        raise ValueError(f"a {price.symbol} price cannot decide a {position.symbol} position")
    if position.is_liquidated or position.size_e6 == 0:
        return Decision(position, price, _NO_HEALTH, Action.HOLD, 0, "already liquidated")
    try:
        health = health_at(terms_of(position), price.price_e6)
    except UnsupportedLeverage:
        return Decision(position, price, _NO_HEALTH, Action.HOLD, 0, "unsupported leverage")
    action, amount_e6, reason = choose_action(position.size_e6, health, price.price_e6)
    return Decision(position, price, health, action, amount_e6, reason)
