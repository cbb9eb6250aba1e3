"""Whatever Apprise speaks as an alert channel: mail, Telegram, Matrix, PagerDuty and a hundred others."""

from __future__ import annotations

import logging

from engine.telemetry.alerts import Severity
from engine.telemetry.notices import ChannelFailure, Notice


class AppriseChannel:
    """One Apprise URL. Only its scheme is ever shown: all that follows may be a token."""

    def __init__(self, url: str) -> None:
        """Raises ValueError when Apprise does not know the scheme, or the URL lacks something."""
        import apprise

        # Its log repeats URLs and answers of servers; what matters of them is told here.
        logging.getLogger("apprise").setLevel(logging.CRITICAL + 1)
        scheme = url.partition("://")[0].lower()
        self.name = f"apprise {scheme}"
        self._types = {
            Severity.INFO: apprise.NotifyType.INFO,
            Severity.WARNING: apprise.NotifyType.WARNING,
            Severity.DANGER: apprise.NotifyType.FAILURE,
        }
        asset = apprise.AppriseAsset(app_id="liquidation-engine", secure_logging=True)
        self._apprise = apprise.Apprise(asset=asset)
        if not self._apprise.add(url):
            raise ValueError(f"Apprise knows no {scheme}:// of this form")

    async def deliver(self, notice: Notice) -> None:
        """Send it in Apprise's own thread, which has a deadline of its own."""
        arrived = await self._apprise.async_notify(
            title=notice.title, body=notice.text, notify_type=self._types[notice.severity]
        )
        if not arrived:
            raise ChannelFailure("Apprise could not deliver it")
