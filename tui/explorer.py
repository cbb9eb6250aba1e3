"""Where others look at an account: the link to a public explorer, and whether a browser is at hand for it."""

from __future__ import annotations

import re
import shutil
from collections.abc import Mapping

_BASE58 = re.compile(r"[1-9A-HJ-NP-Za-km-z]{32,88}")
_CLUSTERS = {"mainnet": "", "devnet": "?cluster=devnet", "testnet": "?cluster=testnet"}
_BROWSERS = ("xdg-open", "open", "www-browser", "firefox", "chromium", "google-chrome")


def link_to(address: str, cluster: str) -> str | None:
    """The explorer's page of an address or of a signature; None where no public explorer has it.

    Only what is base58 through and through gets into a link: it is shown to a terminal and to a browser.
    """
    query = _CLUSTERS.get(cluster)
    if query is None or not _BASE58.fullmatch(address):
        return None
    kind = "tx" if len(address) > 44 else "address"
    return f"https://explorer.solana.com/{kind}/{address}{query}"


def has_browser(environment: Mapping[str, str]) -> bool:
    """Whether a browser of this machine would open where the operator sits."""
    if environment.get("SSH_CONNECTION") or environment.get("SSH_TTY"):
        return False
    has_display = bool(environment.get("DISPLAY") or environment.get("WAYLAND_DISPLAY"))
    return has_display and any(shutil.which(name) for name in _BROWSERS)
