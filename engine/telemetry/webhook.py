"""A webhook of one's own as an alert channel: one POST of JSON for each message."""

from __future__ import annotations

from typing import Any

import aiohttp

from engine import __version__
from engine.api.clean import clean
from engine.chain.retry_after import retry_after_s
from engine.telemetry.alerts import Alert
from engine.telemetry.notices import ChannelFailure, Notice
from engine.telemetry.redaction import without_credentials

DEADLINE_S = 10.0
LONGEST_REASON = 80
AGAIN = {408, 425, 429}  # refusals that another attempt may not meet


class Webhook:
    """Any server that takes JSON. Its `text` is what Slack, Mattermost and their like show."""

    def __init__(self, url: str) -> None:
        self.name = f"webhook {without_credentials(url)}"
        self._url = url

    async def deliver(self, notice: Notice) -> None:
        """Post it; any 2xx is an arrival. No redirect is followed: the URL is where it goes, or nowhere."""
        deadline = aiohttp.ClientTimeout(total=DEADLINE_S)
        headers = {"User-Agent": f"liquidation-engine/{__version__}"}
        try:
            async with (
                aiohttp.ClientSession(timeout=deadline) as session,
                session.post(
                    self._url, json=_body(notice), headers=headers, allow_redirects=False
                ) as response,
            ):
                _check(response)
        except (aiohttp.ClientError, OSError) as error:
            # The error's own text may repeat the URL.
            raise ChannelFailure(f"cannot be reached ({type(error).__name__})") from None


def _check(response: aiohttp.ClientResponse) -> None:
    status = response.status
    if 200 <= status < 300:
        return
    reason = f"answered {status} {clean(response.reason or '', LONGEST_REASON)}".strip()
    if status in AGAIN or status >= 500:
        asked = response.headers.get("Retry-After")
        raise ChannelFailure(reason, retry_after_s=0.0 if asked is None else retry_after_s(asked))
    raise ChannelFailure(reason, is_final=True)


def _body(notice: Notice) -> dict[str, Any]:
    return {
        "title": notice.title,
        "text": f"{notice.title}\n{notice.text}",
        "severity": notice.severity.value,
        "alerts": [_row(alert) for alert in notice.alerts],
    }


def _row(alert: Alert) -> dict[str, Any]:
    """Times in seconds of the Unix clock; `ended_at` is null while the alert is on."""
    return {
        "id": str(alert.number),
        "rule": alert.rule,
        "subject": alert.subject,
        "severity": alert.severity.value,
        "text": alert.text,
        "since": alert.since_ns / 1e9,
        "ended_at": None if alert.ended_ns is None else alert.ended_ns / 1e9,
    }
