"""What README, docs and the example of an environment say is what the program does."""

from __future__ import annotations

import re
import shlex
import sys
from pathlib import Path
from typing import Any

import pytest
import typer

from engine.cli.main import app
from engine.settings import Settings, load_settings

# What the documents have in their fences is read by a module of tests/guide; test folders are no packages.
sys.path.insert(0, str(Path(__file__).parents[1] / "guide"))
from documents import fences

ROOT = Path(__file__).parents[2]
DOCUMENTS = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
SETTINGS = {str(field.validation_alias): name for name, field in Settings.model_fields.items()}
NODE = {"SOLANA_RPC_URL": "http://127.0.0.1:8899"}


def commands() -> list[str]:
    """Every call of the command in a code block or in inline code of a document."""
    lines = [command for fence in fences() for command in fence.commands]
    for document in DOCUMENTS:
        text = document.read_text()
        lines += re.findall(r"`([^`\n]+)`", re.sub(r"^```.*?^```", "", text, flags=re.MULTILINE | re.DOTALL))
    return sorted({line for line in lines if re.match(r"(\.venv/bin/)?liquidation-engine( |$)", line)})


def test_the_documents_call_the_command_often_enough_to_be_worth_reading() -> None:
    assert len(commands()) >= 12


@pytest.mark.parametrize("line", commands())
def test_every_call_of_the_command_in_the_documents_is_understood(line: str) -> None:
    group: Any = typer.main.get_command(app)
    arguments = shlex.split(line.replace("…", "words"))[1:]
    context = group.make_context("liquidation-engine", arguments, resilient_parsing=False)
    rest = [*context._protected_args, *context.args]
    if rest:
        name, command, remaining = group.resolve_command(context, rest)
        command.make_context(name, list(remaining), parent=context)


def test_every_make_target_in_the_documents_exists() -> None:
    targets = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    named = {
        target
        for document in DOCUMENTS
        for target in re.findall(r"(?:^|`)make ([a-z]+)", document.read_text(), re.M)
    }
    assert {"run", "test", "bench"} <= named
    assert named <= targets


def test_every_link_and_picture_in_the_documents_exists() -> None:
    missing = [
        f"{document.name}: {target}"
        for document in DOCUMENTS
        for target in re.findall(r"\]\((?!https?:)([^)#]+)", document.read_text())
        if not (document.parent / target).exists()
    ]
    assert missing == []


def test_every_file_of_the_engine_that_the_architecture_names_exists() -> None:
    table = (ROOT / "docs" / "architecture.md").read_text().split("| folder of", 1)[1].split("\n## ")[0]
    named = [
        name
        for row in table.splitlines()
        for name in re.findall(r"`([a-z_/]+(?:\.py|/))`", row.split("|")[1] if row.count("|") > 1 else "")
    ]
    assert [name for name in named if not (ROOT / "engine" / name).exists()] == []
    folders = {f"{each.parent.name}/" for each in (ROOT / "engine").glob("*/__init__.py")}
    assert folders - set(named) == set()


def documented_settings() -> dict[str, tuple[str, str]]:
    """Each row of the settings table: its default and its bounds, as written."""
    text = (ROOT / "docs" / "settings.md").read_text()
    rows = re.findall(r"^\| `([A-Z_]+)` \| ([^|]+) \| ([^|]+) \|", text, re.MULTILINE)
    return {name: (default.strip().strip("`"), bounds.strip()) for name, default, bounds in rows}


def test_the_table_of_settings_names_every_setting_with_its_default() -> None:
    documented = documented_settings()
    assert set(documented) == set(SETTINGS)
    plain = load_settings(NODE)
    in_words = {"SOLANA_RPC_URL", "SOLANA_WS_URL", "DATABASE_URL", "WALLET_PATH"}
    in_words |= {"HERMES_URL", "HERMES_API_KEY", "SOLANA_GENESIS_HASH", "ALERT_URLS"}
    in_words |= {"TLS_CERT_PATH", "TLS_KEY_PATH", "ADMIN_GROUP"}
    for name in set(documented) - in_words:
        spelled = load_settings({**NODE, name: documented[name][0]})
        assert getattr(spelled, SETTINGS[name]) == getattr(plain, SETTINGS[name]), name


@pytest.mark.parametrize(("name", "row"), sorted(documented_settings().items()))
def test_the_documented_bounds_are_the_bounds(name: str, row: tuple[str, str]) -> None:
    bounds = re.fullmatch(r"([\d.]+) to ([\d.]+)", row[1])
    if bounds is None:
        return
    low, high = bounds.groups()
    for value in (low, high):
        load_settings({**NODE, name: value})
    for value in (f"-{low}1", f"{high}1"):
        with pytest.raises(Exception, match=name):
            load_settings({**NODE, name: value})


def test_the_example_environment_names_every_setting_and_its_commented_values_are_the_defaults() -> None:
    lines = (ROOT / ".env.example").read_text().splitlines()
    pairs = [re.fullmatch(r"(# )?([A-Z_]+)=(.*)", line) for line in lines]
    given = {each[2]: each[3] for each in pairs if each and not each[1]}
    defaults = {each[2]: each[3] for each in pairs if each and each[1]}
    assert given.keys() | defaults.keys() == set(SETTINGS)
    load_settings(given)
    plain = load_settings(NODE)
    for name in defaults.keys() - {"DATABASE_URL", "HERMES_URL", "SOLANA_GENESIS_HASH", "ALERT_URLS"}:
        assert getattr(load_settings({**NODE, name: defaults[name]}), SETTINGS[name]) == getattr(
            plain, SETTINGS[name]
        ), name


def test_every_message_in_the_troubleshooting_table_is_one_that_the_program_says() -> None:
    text = (ROOT / "docs" / "troubleshooting.md").read_text().split("## In the console")[0]
    messages = re.findall(r"^\| `([^`]+)` \|", text, re.MULTILINE)
    assert len(messages) > 12
    source = "".join(path.read_text() for path in sorted((ROOT / "engine").rglob("*.py")))
    said = re.sub(r'"\s*f?"', "", source)  # adjacent strings are one message
    pieces = {
        message: [
            piece.strip(" `") for piece in re.split(r"…|: |\bN\b", message) if len(piece.strip(" `()")) > 2
        ]
        for message in messages
    }
    unknown = [
        message for message, parts in pieces.items() if not all(part.rstrip("(") in said for part in parts)
    ]
    assert unknown == []
