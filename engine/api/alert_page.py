"""Alerts as viewers get them."""

from __future__ import annotations

from engine.api.message import Message


class AlertRow(Message, frozen=True):
    """One alert; `severity` is info, warning or danger. It is on while `ended_ns` is null.

    `rule` is its stable name, `id` the number under which it is acknowledged.
    """

    id: str
    rule: str
    severity: str
    text: str
    since_ns: int
    acknowledged_by: str | None = None
    acknowledged_ns: int | None = None
    ended_ns: int | None = None


class AlertPage(Message, frozen=True):
    """The alerts that are on, the most urgent first; behind them those that are over, newest first."""

    active: int
    alerts: list[AlertRow]
