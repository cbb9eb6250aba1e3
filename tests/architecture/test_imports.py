"""Who may import whom, read from the source: the engine runs without the console, the console only looks."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
# All that a viewer may know of the engine.
CLIENT_SIDE = {
    "engine",
    "engine.domain",
    "engine.paths",
    "engine.errors",
    "engine.api",
    "engine.api.message",
    "engine.api.orders",
    "engine.api.pages",
    "engine.api.wire",
    "engine.api.alert_page",
    "engine.api.client",
    "engine.api.delta",
    "engine.api.frames",
    "engine.api.stream_reader",
    "engine.api.launcher",
    "engine.api.clean",
    "engine.api.standing_stop",
    "engine.telemetry",
    "engine.telemetry.redaction",
}
CONSOLE_LIBRARIES = {"textual", "plotext", "textual_plotext", "rich"}


def modules(package: str) -> dict[str, Path]:
    """Every module of a package by its dotted name."""
    found = {}
    for path in sorted((ROOT / package).rglob("*.py")):
        parts = path.relative_to(ROOT).with_suffix("").parts
        found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


ENGINE, TUI = modules("engine"), modules("tui")
ALL = ENGINE | TUI


def imports_of(path: Path, *, at_load: bool) -> set[str]:
    """The modules that a file imports; `at_load` leaves out those inside functions and for types only."""
    return set(_imports(ast.parse(path.read_text()), at_load))


def _imports(node: ast.AST, at_load: bool) -> Iterator[str]:
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.Import):
            yield from (alias.name for alias in child.names)
        elif isinstance(child, ast.ImportFrom):
            assert child.level == 0, "relative imports are not used here"
            assert child.module is not None
            for alias in child.names:
                submodule = f"{child.module}.{alias.name}"
                yield submodule if submodule in ALL else child.module
        elif not (at_load and _waits(child)):
            yield from _imports(child, at_load)


def _waits(node: ast.AST) -> bool:
    """Whether what is inside is not run when the module is loaded."""
    if isinstance(node, ast.If):
        return "TYPE_CHECKING" in ast.unparse(node.test)
    return isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda)


def test_the_console_imports_only_the_client_side_of_the_engine() -> None:
    foreign = {
        f"{name} imports {imported}"
        for name, path in TUI.items()
        for imported in imports_of(path, at_load=False)
        if imported in ENGINE and imported not in CLIENT_SIDE
    }
    assert foreign == set()


def test_the_client_side_itself_needs_nothing_else_of_the_engine() -> None:
    foreign = {
        f"{name} imports {imported}"
        for name in CLIENT_SIDE
        for imported in imports_of(ENGINE[name], at_load=False)
        if imported in ENGINE and imported not in CLIENT_SIDE
    }
    assert foreign == set()


def test_the_engine_knows_of_the_console_in_one_place_and_only_when_asked() -> None:
    knowing = {
        name
        for name, path in ENGINE.items()
        for imported in imports_of(path, at_load=False)
        if imported.split(".")[0] in {"tui", *CONSOLE_LIBRARIES}
    }
    assert knowing == {"engine.cli.console"}
    at_load = imports_of(ENGINE["engine.cli.console"], at_load=True)
    assert {each for each in at_load if each.split(".")[0] in {"tui", *CONSOLE_LIBRARIES}} == set()


def test_only_the_command_line_starts_the_sandbox_and_no_part_of_the_engine_knows_of_it() -> None:
    knowing = {
        name
        for name, path in ENGINE.items()
        for imported in imports_of(path, at_load=False)
        if imported.startswith("engine.sandbox") and not name.startswith(("engine.sandbox", "engine.cli"))
    }
    assert knowing == set()


def test_nothing_imports_the_command_line() -> None:
    knowing = {
        name
        for name, path in ALL.items()
        for imported in imports_of(path, at_load=False)
        if imported.startswith("engine.cli") and not name.startswith(("engine.cli", "engine.__main__"))
    }
    assert knowing == set()


def test_there_are_no_circular_imports() -> None:
    graph = {
        name: {each for each in imports_of(path, at_load=True) if each in ALL and each != name}
        for name, path in ALL.items()
    }
    done: set[str] = set()

    def visit(name: str, trail: tuple[str, ...]) -> None:
        assert name not in trail, " → ".join([*trail[trail.index(name) :], name])
        if name in done:
            return
        for imported in sorted(graph[name]):
            visit(imported, (*trail, name))
        done.add(name)

    for name in sorted(graph):
        visit(name, ())
    assert done == set(ALL)


@pytest.mark.parametrize(
    ("package", "may"),
    [
        # The domain's words and the protocol's facts stand on nothing but each other.
        ("engine.domain", set()),
        ("engine.errors", set()),
        ("engine.protocol", {"engine.domain", "engine.errors"}),
        ("engine.symbol_settings", {"engine.protocol"}),
        (
            "engine.settings",
            {
                "engine.errors",
                "engine.protocol",
                "engine.setting_values",
                "engine.symbol_settings",
                "engine.alert_settings",
            },
        ),
        ("engine.alert_settings", set()),
        ("engine.setting_values", {"engine.protocol", "engine.symbol_settings"}),
        ("engine.wallet", {"engine.errors", "engine.chain.port", "engine.clock"}),
        ("engine.oracle", {"engine.domain", "engine.protocol", "engine.clock"}),
        ("engine.book", {"engine.domain", "engine.protocol", "engine.chain.port"}),
    ],
)
def test_the_inner_parts_stay_inner(package: str, may: set[str]) -> None:
    foreign = {
        f"{name} imports {imported}"
        for name, path in ENGINE.items()
        if name == package or name.startswith(package + ".")
        for imported in imports_of(path, at_load=False)
        if imported in ENGINE
        and imported != "engine"
        and not any(imported == each or imported.startswith(each + ".") for each in {*may, package})
    }
    assert foreign == set()


def test_help_and_refusals_load_nothing_heavy() -> None:
    program = (
        "import sys\n"
        "from engine.cli.main import main\n"
        "try:\n    main(['--version'])\n"
        "except SystemExit:\n"
        "    heavy = 'aiohttp asyncpg numpy pydantic solders solana structlog textual'.split()\n"
        "    print([name for name in heavy if name in sys.modules])\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, timeout=60, check=False
    )
    assert done.stdout.splitlines()[1:] == ["[]"], done.stderr
