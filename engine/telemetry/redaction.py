"""Takes credentials out of text: providers put API keys into paths and queries, DSNs hold passwords."""

from __future__ import annotations

import re
from typing import Final

_URL: Final = re.compile(
    r"\b(?P<scheme>https?|wss?|postgres(?:ql)?)://(?P<authority>[^\s/?#\"'<>]*)(?P<rest>[^\s\"'<>]*)",
    re.IGNORECASE,
)


def without_credentials(text: str) -> str:
    """`text` with each URL cut down to its scheme, host and port; what was cut is shown as an ellipsis."""
    return _URL.sub(_host_only, text)


def _host_only(match: re.Match[str]) -> str:
    host = match["authority"].rpartition("@")[2]
    cut = "…" if match["rest"] not in ("", "/") else match["rest"]
    return f"{match['scheme']}://{host}{'/' if cut == '…' else ''}{cut}"
