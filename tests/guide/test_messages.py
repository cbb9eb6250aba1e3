"""Every one-line failure that an operator can meet stands in docs/troubleshooting.md."""

from __future__ import annotations

from messages import DOCUMENT, PARTS, document, messages


def test_every_message_of_the_sources_is_in_the_manual() -> None:
    made = "make it anew: python tests/guide/messages.py"
    assert document() == DOCUMENT.read_text(), made


def test_every_part_that_says_something_has_a_table() -> None:
    strays = [told for told in messages() if not told.part.startswith(sum((each for _, each in PARTS), ()))]
    assert strays == []
    assert len(messages()) > 150


def test_nearly_every_message_says_what_to_do() -> None:
    silent = [told.what for told in messages() if not told.remedy]
    assert len(silent) <= 8, silent
