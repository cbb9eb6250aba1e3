"""Makes the alert channels that the settings name."""

from __future__ import annotations

from engine.errors import SettingsError
from engine.settings import Settings
from engine.telemetry.alerts import Severity
from engine.telemetry.apprise_channel import AppriseChannel
from engine.telemetry.notices import Channel, NoticeLimits
from engine.telemetry.webhook import Webhook


def channels_of(settings: Settings) -> list[Channel]:
    """One for each URL of ALERT_URLS, and named by its place there: two may be on one host.

    Raises SettingsError for one that Apprise does not take.
    """
    channels = []
    for number, url in enumerate(settings.alert_urls, 1):
        channel = _channel(number, url.get_secret_value())
        channel.name = f"{number} {channel.name}"
        channels.append(channel)
    return channels


def limits_of(settings: Settings) -> NoticeLimits:
    """What the settings say of who is told of what, and how often."""
    return NoticeLimits(
        Severity(settings.alert_severity), settings.alert_group_s, settings.alert_messages_per_hour
    )


def _channel(number: int, url: str) -> Channel:
    if url.lower().startswith(("http://", "https://")):
        return Webhook(url)
    try:
        return AppriseChannel(url)
    except ValueError as error:
        raise SettingsError(
            f"Bad settings: ALERT_URLS, at place {number}: {error}: "
            "look the URL up in Apprise's documentation"
        ) from None
