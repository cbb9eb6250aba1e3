"""Makes the viewers' rows out of the alerts that are on and that were; their texts are clean already."""

from __future__ import annotations

from engine.alert_watch import AlertWatch
from engine.api.alert_page import AlertPage, AlertRow
from engine.telemetry.alerts import Alert

ACTIVE_ROWS = 20  # of a snapshot


class AlertViews:
    """Rows on demand; reads only, and awaits nothing."""

    def __init__(self, watch: AlertWatch) -> None:
        self._watch = watch

    def active_rows(self) -> list[AlertRow]:
        """The most urgent of those that are on, for a snapshot."""
        return [_row(alert) for alert in self._watch.active[:ACTIVE_ROWS]]

    def page(self) -> AlertPage:
        """All that are on, and all that are kept of those that are over."""
        active = self._watch.active
        return AlertPage(active=len(active), alerts=[_row(alert) for alert in (*active, *self._watch.ended)])


def _row(alert: Alert) -> AlertRow:
    return AlertRow(
        id=str(alert.number),
        rule=alert.rule,
        severity=alert.severity.value,
        text=alert.text,
        since_ns=alert.since_ns,
        acknowledged_by=alert.acknowledged_by,
        acknowledged_ns=alert.acknowledged_ns,
        ended_ns=alert.ended_ns,
    )
