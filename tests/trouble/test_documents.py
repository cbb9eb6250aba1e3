"""The page about trouble names every setting there is and no other, and its examples do what they say."""

from __future__ import annotations

import json
import re
import shlex
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel

from engine.sandbox.settings_arguments import parse_settings
from engine.sandbox.trouble import Trouble
from engine.sandbox.trouble.settings import OracleTrouble

PAGE = (Path(__file__).parents[2] / "docs" / "trouble.md").read_text()
BLOCKS = dict(re.findall(r"^```(sh|json)\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL))
ROWS = re.findall(r"^\| `([a-zA-Z_.]+)` \|([^|]*)\|", PAGE, re.MULTILINE)


def settings() -> set[str]:
    """The paths of all settings, as the page writes them."""
    found = set()
    for section, field in Trouble.model_fields.items():
        model: Any = OracleTrouble if section == "oracle" else field.annotation
        if isinstance(model, type) and issubclass(model, BaseModel):
            prefix = "oracle.SYMBOL" if section == "oracle" else section
            found |= {f"{prefix}.{name}" for name in model.model_fields}
    return found


def test_the_page_names_every_setting_there_is_and_no_other() -> None:
    named = [path for path, _ in ROWS]
    assert len(named) == len(set(named))
    assert set(named) == settings()
    assert "`seed`" in PAGE


def test_units_are_those_of_the_names() -> None:
    endings = {"_ms": "ms", "_s": "s", "_slots": "slots", "_bps": "bps", "_share": "share", "_per_s": "1/s"}
    for path, unit in ROWS:
        ending = next((each for each in ("_per_s", *endings) if path.endswith(each)), None)
        if ending is not None:
            assert unit.strip() == endings[ending], path


def examples() -> list[list[str]]:
    """The --trouble arguments of each command on the page."""
    lines = [shlex.split(line) for line in BLOCKS["sh"].splitlines() if "--trouble" in line]
    return [[argument for flag, argument in pairwise(words) if flag == "--trouble"] for words in lines]


def test_there_are_examples_of_both_ways() -> None:
    assert len(examples()) >= 3
    assert len(BLOCKS["json"].splitlines()) >= 6


@pytest.mark.parametrize("arguments", examples())
def test_every_example_of_a_command_orders_trouble(arguments: list[str]) -> None:
    assert parse_settings("--trouble", arguments, Trouble) != Trouble()


async def test_every_example_of_a_call_is_followed_and_the_last_one_ends_all_trouble(rig: Any) -> None:
    rig.advance(10)
    for line in BLOCKS["json"].splitlines():
        request = json.loads(line)
        async with rig.http.post(rig.server.rpc_url, json=request) as response:
            answer = await response.json()
        assert "error" not in answer, answer
        patch = request["params"][0]
        assert (answer["result"]["settings"] == Trouble().model_dump(mode="json")) == (patch is None)
    assert answer["result"]["counters"]["forks"] == 1
    assert await rig.slot() == rig.ledger.slot


@pytest.mark.parametrize("text", re.findall(r"`(\{\"(?:kind|InstructionError)\"[^`]*\})`", PAGE))
def test_every_value_that_the_page_spells_out_is_accepted(text: str) -> None:
    value = text.replace("…", "5")
    setting = "http.latency" if "kind" in text else "landing.fail_error"
    assert parse_settings("--trouble", [f"{setting}={value}"], Trouble) != Trouble()
