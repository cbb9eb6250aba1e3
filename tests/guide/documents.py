"""The commands in the documents' fences, and what a fence says of itself."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
DOCUMENTS = [
    ROOT / "README.md",
    *sorted((ROOT / "docs").glob("*.md")),
    *sorted((ROOT / "deploy").glob("*.md")),
]
_FENCE = re.compile(r"^ *```(?P<info>[^\n]*)\n(?P<text>.*?)^ *```$", re.M | re.S)
_SHELLS = ("sh", "bash", "shell", "console")
_OF_NO_SHELL = ("json", "js", "ts", "toml", "ini", "sql", "yaml", "text", "mermaid")


@dataclass(frozen=True)
class Fence:
    """A fence of a document. After `sh not-run: ` stands why no test runs it."""

    document: str
    info: str
    text: str

    @property
    def is_shell(self) -> bool:
        """Whether it has commands; a fence of no language that is no drawing is taken to have some."""
        language = self.info.split(" ")[0]
        assert language in (*_SHELLS, *_OF_NO_SHELL), (
            f"{self.document}: a fence of {language or 'no language'}"
        )
        return language in _SHELLS

    @property
    def not_run(self) -> str:
        """Why no test runs it; empty for those that are run."""
        return self.info.partition(" not-run: ")[2]

    @property
    def commands(self) -> list[str]:
        """Each command on one line, without what the document says beside it."""
        joined = re.sub(r" *\\\n\s*", " ", self.text)
        lines = (re.split(r"  +# |^ *# ", line)[0].strip() for line in joined.splitlines())
        return [line for line in lines if line]


def fences() -> list[Fence]:
    """All fences with commands, in the order of the documents."""
    found = [
        Fence(document.relative_to(ROOT).as_posix(), match["info"].strip(), match["text"])
        for document in DOCUMENTS
        for match in _FENCE.finditer(document.read_text())
    ]
    return [fence for fence in found if fence.is_shell]
