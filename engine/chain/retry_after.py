"""How long a server asks to be left alone: the Retry-After header, in seconds or as an HTTP date."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import UTC
from email.utils import parsedate_to_datetime

DEFAULT_S = 1.0  # for a refusal that names no time
LONGEST_S = 300.0  # what asks for more is asked again all the same: a date may be of a wrong clock


def retry_after_s(header: str | None, now_s: Callable[[], float] = time.time) -> float:
    """Seconds to wait; a header that is missing or cannot be read counts as one second.

    Source: RFC 9110, section 10.2.3: a non-negative decimal integer, or an HTTP date.
    """
    text = (header or "").strip()
    if text.isascii() and text.isdigit():
        return min(float(text[:9]), LONGEST_S)
    try:
        date = parsedate_to_datetime(text)
    except (ValueError, TypeError, IndexError, OverflowError):
        return DEFAULT_S
    due_s = date.replace(tzinfo=date.tzinfo or UTC).timestamp()
    return min(max(0.0, due_s - now_s()), LONGEST_S)
