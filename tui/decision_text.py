"""A decision's inputs, which travel as JSON, as an operator reads them: in units, not in names of fields."""

from __future__ import annotations

import json
from typing import Any

from tui import format as fmt

FORMAT = 1  # of engine.liquidation.decision_record
_KNOWN = frozenset({"address", "owner"})


def decision_text(decision_json: str) -> str:
    """Position, price, and what was decided from them and why; anything unknown as it came, name by name."""
    try:
        inputs = json.loads(decision_json)
    except ValueError:
        return decision_json
    if not isinstance(inputs, dict):
        return decision_json
    if inputs.get("format") == FORMAT:
        try:
            return _of_record(inputs, inputs["position"], inputs["price"])
        except (KeyError, TypeError, ValueError):
            pass
    # A pair must not be torn apart by the wrapping, hence the blank that does not break.
    return " · ".join(f"{name}\u00a0{value}" for name, value in _flat(inputs))


def _of_record(inputs: dict[str, Any], position: dict[str, Any], price: dict[str, Any]) -> str:
    entry, collateral = fmt.price(int(position["entry_price_e6"])), fmt.usd(int(position["collateral_e6"]))
    mark, spread = fmt.price(int(price["price_e6"])), fmt.price(int(price["conf_e6"]))
    published = fmt.clock_time(int(price["publish_time_s"]) * 10**9)
    amount = int(inputs["amount_e6"])
    parts = (
        f"{position['side']} {fmt.size(int(position['size_e6']))} at {position['leverage']}×",
        f"entered at {entry}",
        f"collateral {collateral}",
        f"account of slot {fmt.count(int(position['slot']))} ({position['generation']} layout)",
        f"price {mark} ± {spread} {price['verdict']}, published {published}",
        f"price of slot {fmt.count(int(price['slot']))}",
        f"therefore {inputs['action']} {fmt.size(amount) if amount else ''}: {inputs['reason']}",
    )
    return " · ".join(parts)


def _flat(inputs: dict[str, object]) -> list[tuple[str, object]]:
    """Nested inputs as one list, the position's own identity left out: the screen is about it."""
    pairs: list[tuple[str, object]] = []
    for name, value in inputs.items():
        if isinstance(value, dict):
            pairs += [(f"{name}.{inner}", each) for inner, each in value.items() if inner not in _KNOWN]
        else:
            pairs.append((name, value))
    return pairs
