"""Copies over the terminal itself (OSC 52), also from within tmux and screen, over any number of SSH hops."""

from __future__ import annotations

import base64
from collections.abc import Mapping

LONGEST_COPY_BYTES = 8_192  # far more than an address or a link; terminals cut long sequences in silence
_SCREEN_PIECE = 76 * 10  # GNU screen takes no longer string than 768 bytes


class TooLongToCopy(ValueError):
    """The text is longer than terminals take."""


def copy_sequence(text: str, environment: Mapping[str, str]) -> str:
    """What to write to the terminal so that `text` is in its clipboard. Raises TooLongToCopy.

    tmux takes the plain sequence where its set-clipboard is on, and hands the wrapped one through where its
    allow-passthrough is on: both are written, and where both count the clipboard gets the same text twice.
    """
    data = text.encode()
    if len(data) > LONGEST_COPY_BYTES:
        raise TooLongToCopy(f"{len(data):,} bytes are too long for a terminal's clipboard")
    plain = f"\x1b]52;c;{base64.b64encode(data).decode()}\x07"
    if environment.get("TMUX"):
        return plain + "\x1bPtmux;" + plain.replace("\x1b", "\x1b\x1b") + "\x1b\\"
    if environment.get("STY"):
        pieces = [plain[at : at + _SCREEN_PIECE] for at in range(0, len(plain), _SCREEN_PIECE)]
        return "".join(f"\x1bP{piece}\x1b\\" for piece in pieces)
    return plain
