"""Makes docs/guide.md of blocks.toml and document.md.

`python tests/guide/guide_document.py > docs/guide.md`
"""

from __future__ import annotations

from collections import Counter

from guide_blocks import AS_IT_STANDS, HERE, MISSING, NOT_NEEDED, OURS, Block, Step, kept_blocks


def cell(text: str) -> str:
    """A text within a table."""
    return text.replace("|", "\\|").strip()


def code(text: str) -> str:
    """A command within a table, on one line; a long one by its beginning."""
    line = " ".join(text.split())
    return f"`{cell(line if len(line) <= 96 else line[:90].rstrip() + ' …')}`"


def row(block: Block, step: Step) -> str:
    """A step's line of the table."""
    here = {AS_IT_STANDS: "as it stands", NOT_NEEDED: "nothing to do", OURS: "", MISSING: "not there yet: "}[
        step.verdict
    ]
    if step.verdict in (OURS, MISSING):
        here += code(step.ours)
    why = step.why + (f"; not run by a test: {step.not_run}" if step.not_run else "")
    return f"| {block.number} | {code(step.guide)} | {here} | {cell(why.removeprefix('; '))} |"


def document() -> str:
    """The whole of docs/guide.md."""
    blocks = kept_blocks()
    counts = Counter(step.verdict for block in blocks for step in block.steps)
    missing = f"{counts[MISSING]} are not there yet.\n" if counts[MISSING] else ""
    return (
        (HERE / "document.md")
        .read_text()
        .format(
            rows="\n".join(row(block, step) for block in blocks for step in block.steps),
            blocks=len(blocks),
            as_it_stands=counts[AS_IT_STANDS],
            ours=counts[OURS],
            not_needed=counts[NOT_NEEDED],
            missing=missing,
        )
    )


if __name__ == "__main__":
    print(document(), end="")
