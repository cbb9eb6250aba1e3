"""Cleans text that strangers wrote (chain, node, market, logs), once, where it enters the engine.

What comes out holds no control characters, no escape sequences, nothing that reorders or hides text, and
is one line of a known length: it may go to a terminal, a log and a web page as it is.
"""

from __future__ import annotations

import re
import unicodedata

# Whole terminal sequences go with their parameters, so that "\x1b[31mred" becomes "red" and not "[31mred":
# CSI, then the string sequences (OSC, DCS, PM, APC, SOS) up to their end, then two-character escapes.
_SEQUENCES = re.compile(
    r"(?:\x1b\[|\x9b)[0-?]*[ -/]*[@-~]"
    r"|(?:\x1b[\]PX^_]|[\x9d\x90\x98\x9e\x9f])[^\x07\x1b\x9c]*(?:\x07|\x1b\\|\x9c)"
    r"|\x1b[ -/]*[0-~]"
)
# Control, format (bidi, zero width, tags), surrogate, private use, unassigned, line and paragraph separators.
_DROPPED = frozenset({"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"})
_MARKS = frozenset({"Mn", "Me", "Mc"})
_MARKS_IN_A_ROW = 2  # scripts need one or two; more of them paint over the neighbouring lines
_BLANK = re.compile(r"[\t\n\v\f\r\x85\u2028\u2029]+")
# Letters with width and no ink: they pass every category test and hide text all the same.
_INKLESS = frozenset("\u115f\u1160\u17b4\u17b5\u3164\uffa0\u2800")
_LONGEST_INPUT_PER_CHARACTER = 8
# What nearly every text is made of: ASCII, and the engine's own signs in addresses, figures and sentences.
_HARMLESS = re.compile("[ -~…·×–−≈≤≥→]*")


def clean(text: str, limit: int) -> str:
    """`text` as one printable line of at most `limit` characters; what was cut ends in an ellipsis.

    Work is bounded by `limit`, whatever the length of the text. `limit` must be positive.
    """
    if limit <= 0:
        raise ValueError(f"limit is {limit}, it must be positive")
    if len(text) <= limit and _HARMLESS.fullmatch(text):
        return text
    considered = text[: limit * _LONGEST_INPUT_PER_CHARACTER]
    kept = _kept(_BLANK.sub(" ", _SEQUENCES.sub("", considered)))
    if len(kept) > limit or len(considered) < len(text):
        return kept[: limit - 1] + "…"
    return kept


def _kept(text: str) -> str:
    characters: list[str] = []
    marks = 0
    for character in text:
        category = unicodedata.category(character)
        if category in _DROPPED or character in _INKLESS:
            continue
        marks = marks + 1 if category in _MARKS else 0
        if marks <= _MARKS_IN_A_ROW:
            characters.append(" " if category == "Zs" else character)
    return "".join(characters)
