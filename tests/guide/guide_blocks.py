"""The operational guide's blocks as this folder keeps them, and as the guide itself has them."""

from __future__ import annotations

import hashlib
import re
import textwrap
import tomllib
from dataclasses import dataclass, field
from pathlib import Path

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
GUIDE = ROOT.parent / "shared" / "operational-guide.md"
AS_IT_STANDS, OURS, NOT_NEEDED, MISSING = "as it stands", "ours", "not needed", "missing"

_BLOCK = re.compile(
    r"^ *```(?P<language>\w*)\n(?P<text>.*?)^ *```$|^#{2,4} (?P<title>.+?)$|^\*\*(?P<bold>.+?)\*\*",
    re.M | re.S,
)


@dataclass(frozen=True)
class Step:
    """One command of a block: the guide's text, what is done about it, and how that is tried."""

    guide: str
    verdict: str
    ours: str = ""
    why: str = ""
    by: str = "shell"
    expect: tuple[str, ...] = ()
    first: str = ""
    not_run: str = ""
    waits: bool = False

    @property
    def command(self) -> str:
        """What an operator of this engine gives."""
        return (self.guide if self.verdict == AS_IT_STANDS else self.ours).strip("\n")


@dataclass(frozen=True)
class Block:
    """A fenced block of the guide; `sha256` is how the hash of its text begins."""

    number: int
    heading: str
    language: str
    sha256: str
    steps: tuple[Step, ...] = field(default=())


def kept_blocks() -> list[Block]:
    """The blocks of blocks.toml."""
    with (HERE / "blocks.toml").open("rb") as file:
        raw = tomllib.load(file)["block"]
    return [
        Block(
            **{name: value for name, value in block.items() if name != "step"},
            steps=tuple(Step(**step | {"expect": tuple(step.get("expect", ()))}) for step in block["step"]),
        )
        for block in raw
    ]


def guide_blocks(guide: str) -> list[tuple[Block, str]]:
    """The blocks of the guide's own text without steps, each with what stands in it."""
    found: list[tuple[Block, str]] = []
    heading = ""
    for match in _BLOCK.finditer(guide):
        if match["text"] is None:
            heading = match["title"] or match["bold"]
            continue
        text = match["text"]
        digest = hashlib.sha256(text.encode()).hexdigest()[:12]
        found.append((Block(len(found) + 1, heading, match["language"], digest), textwrap.dedent(text)))
    return found


def meant_lines(text: str) -> list[str]:
    """Lines without comments, indentation, log prefixes and empty ones: what a step has to hold."""
    lines = (re.sub(r"(^|  )(#|//) .*$|^\[\S+ INFO  \S+\] ", "", line).strip() for line in text.splitlines())
    return [line for line in lines if line and line != "#"]
