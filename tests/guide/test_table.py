"""The steps that are tried are the operational guide's, all of them, and docs/guide.md says so."""

from __future__ import annotations

import re

import pytest
from guide_blocks import (
    AS_IT_STANDS,
    GUIDE,
    MISSING,
    NOT_NEEDED,
    OURS,
    ROOT,
    guide_blocks,
    kept_blocks,
    meant_lines,
)
from guide_document import document

BLOCKS = kept_blocks()


def test_the_document_is_the_one_that_the_data_make() -> None:
    made = "python tests/guide/guide_document.py > docs/guide.md"
    assert (ROOT / "docs" / "guide.md").read_text() == document(), f"make it anew: {made}"


def test_every_step_has_a_verdict_and_what_goes_with_it() -> None:
    assert [each.number for each in BLOCKS] == list(range(1, 55))
    for block in BLOCKS:
        assert block.steps, block.number
        for step in block.steps:
            assert step.verdict in (AS_IT_STANDS, OURS, NOT_NEEDED, MISSING), step
            assert bool(step.ours) == (step.verdict in (OURS, MISSING)), step
            assert step.why or step.verdict in (AS_IT_STANDS, MISSING), step
            assert (step.by == "not run") == bool(step.not_run), step


def test_every_step_is_tried_by_a_test() -> None:
    tests = (ROOT / "tests" / "guide" / "test_steps.py").read_text()
    named = {step.by for block in BLOCKS for step in block.steps if step.verdict != NOT_NEEDED}
    several = {"shell", "long", "log", "journal"}
    for by in several:
        assert f'steps("{by}")' in tests
    # What a single test tries, it finds by the block's number.
    alone = {"settings": 4, "database": 5, "rules": 26, "unit": 17, "formula": 38, "backup": 51, "gpg": 52}
    for number in alone.values():
        assert f"block({number})" in tests
    assert named == several | set(alone) | {
        "checkout",
        "enable",
        "engine",
        "not run",
        "tests/clients/test_anchor.py",
        "tests/deploy/test_booted.py",
    }


@pytest.mark.skipif(not GUIDE.exists(), reason="the guide itself is not beside this checkout")
def test_the_blocks_and_their_steps_are_the_guide_s() -> None:
    found = guide_blocks(GUIDE.read_text())
    kept = [(each.number, each.heading, each.language, each.sha256) for each in BLOCKS]
    assert kept == [(each.number, each.heading, each.language, each.sha256) for each, _ in found]
    for block, (_, text) in zip(BLOCKS, found, strict=True):
        ours = [line for step in block.steps for line in meant_lines(step.guide)]
        missing = [
            line for line in meant_lines(text) if not any(line in each or each in line for each in ours)
        ]
        assert missing == [], block.number
        strange = [line for line in ours if re.sub(r"\s+", "", line) not in re.sub(r"\s+", "", text)]
        assert strange == [], block.number
