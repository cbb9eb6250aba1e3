"""The one-line failures that an operator can meet, read from the sources, and their table in the documents.

`python tests/guide/messages.py` writes the end of docs/troubleshooting.md anew.
"""

from __future__ import annotations

import ast
import functools
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parents[2]
DOCUMENT = ROOT / "docs" / "troubleshooting.md"
HEADING = "\n## Every message\n"
INTRODUCTION = """
Made of the program's own texts: what a message says, and what it asks of you; `…` is a name, a number or
a reason.
"""
PARTS = (
    ("Commands and settings", ("cli", "setting", "paths", "telemetry")),
    ("Nodes and the program", ("chain", "runtime", "evidence")),
    ("Wallet", ("wallet",)),
    ("Database", ("store",)),
    ("Journal, and one engine at a time", ("journal", "lock")),
    ("API, tokens, stopping", ("api", "drill")),
    ("Insurance fund", ("contribution", "commands")),
    ("Sandbox", ("sandbox",)),
)
# What a program over HTTP meets as an error's code, and what only a developer meets.
_FOR_OTHERS = ("CommandError", "BadParameter", "BuildFailed")
_UNKNOWN = "¤"


class Told(NamedTuple):
    """What happened, what to do, and the part of the engine that says so."""

    what: str
    remedy: str
    part: str


@functools.cache
def messages() -> list[Told]:
    """Every message whose text stands in the sources, once, in the order of the sources."""
    trees = {
        path.relative_to(ROOT / "engine"): ast.parse(path.read_text())
        for path in sorted((ROOT / "engine").rglob("*.py"))
    }
    raised = _operator_errors(list(trees.values())) - set(_FOR_OTHERS)
    found: dict[str, Told] = {}
    for path, tree in trees.items():
        for text in _texts(tree, raised | ({"fail"} if path.parts[0] == "cli" else set())):
            what, colon, remedy = text.rpartition(": ")
            if _has_words(what or text):
                part = path.parts[0]
                found.setdefault(text, Told(what, remedy, part) if colon else Told(text, "", part))
    return list(found.values())


def _operator_errors(trees: list[ast.Module]) -> set[str]:
    """The names of OperatorError and of all that derive from it."""
    bases = {
        node.name: {_name(base) for base in node.bases}
        for tree in trees
        for node in ast.walk(tree)
        if isinstance(node, ast.ClassDef)
    }
    known = {"OperatorError"}
    while more := {name for name, of in bases.items() if of & known} - known:
        known |= more
    return known


def _texts(tree: ast.Module, raised: set[str]) -> Iterator[str]:
    """The first argument of each call of these names, where any of its words stand there."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and node.args and _name(node.func) in raised:
            text = " ".join(_text(node.args[0]).split())
            if _UNKNOWN not in text:
                yield text


def _has_words(text: str) -> bool:
    return any(word.isalpha() for word in text.split())


def _name(node: ast.expr) -> str:
    match node:
        case ast.Name(id=name) | ast.Attribute(attr=name):
            return name
    return ""


def _text(node: ast.expr) -> str:
    """What a text will be, with `…` for what is known only then."""
    match node:
        case ast.Constant(value=str(text)):
            return text
        case ast.JoinedStr(values=values):
            return "".join(_text(value) for value in values)
        case ast.FormattedValue():
            return "…"
        case ast.BinOp(left=left, right=right):
            return _text(left) + _text(right)
    return _UNKNOWN


def tables() -> str:
    """The tables of all messages, part by part."""
    found = messages()
    sections = []
    for title, parts in PARTS:
        rows = sorted(
            f"| {_cell(told.what)} | {_cell(told.remedy) or '–'} |"
            for told in found
            if told.part.startswith(parts)
        )
        sections.append("\n".join([f"### {title}", "", "| message | do |", "| --- | --- |", *rows]))
    return "\n\n".join(sections) + "\n"


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("<", "&lt;")


def document() -> str:
    """docs/troubleshooting.md with its end made anew."""
    return DOCUMENT.read_text().split(HEADING)[0] + HEADING + INTRODUCTION + "\n" + tables()


if __name__ == "__main__":
    DOCUMENT.write_text(document())
