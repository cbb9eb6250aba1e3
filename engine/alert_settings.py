"""How the settings of the alert channels are read: URLs that are secrets, and severities."""

from __future__ import annotations

import re
from typing import Final
from urllib.parse import urlsplit

from pydantic import SecretStr

MOST_CHANNELS: Final = 8
SEVERITIES: Final = ("info", "warning", "danger")
_SCHEME: Final = re.compile(r"[a-z][a-z0-9+.-]*\Z", re.IGNORECASE)


def parse_alert_urls(value: object) -> tuple[SecretStr, ...]:
    """URLs separated by commas or spaces: each is a webhook (http, https) or one of Apprise's.

    Raises ValueError with a message that repeats none of them.
    """
    if isinstance(value, tuple):
        return value
    text = value.get_secret_value() if isinstance(value, SecretStr) else str(value)
    urls = [url for url in re.split(r"[,\s]+", text) if url]
    if len(urls) > MOST_CHANNELS:
        raise ValueError(f"must not name more than {MOST_CHANNELS} channels")
    for number, url in enumerate(urls, 1):
        if not _is_url(url):
            raise ValueError(f"must be URLs, separated by commas: the one at place {number} is none")
    return tuple(SecretStr(url) for url in urls)


def _is_url(url: str) -> bool:
    scheme, separator, rest = url.partition("://")
    if not separator or not rest or not _SCHEME.match(scheme) or not url.isprintable():
        return False
    if scheme.lower() not in ("http", "https"):
        return True
    try:
        parts = urlsplit(url)
        return bool(parts.hostname) and parts.port != 0
    except ValueError:
        return False


def parse_severity(value: object) -> str:
    """One of the three, in lower case."""
    severity = str(value).strip().lower()
    if severity in SEVERITIES:
        return severity
    raise ValueError(f"must be one of {', '.join(SEVERITIES)}")
