"""The sandbox's options: every refusal is one line that names its flag."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from engine.errors import OperatorError
from engine.sandbox.options import SandboxOptions, SandboxOptionsError, parse_prices


@pytest.mark.parametrize(
    ("wrong", "complaint"),
    [
        ({"seed": -1}, "--seed -1 is out of range"),
        ({"seed": 2**64}, "--seed 18446744073709551616 is out of range"),
        ({"positions": -5}, "--positions -5 is out of range"),
        ({"positions": 10**9}, "--positions 1000000000 is out of range"),
        ({"scenario": "boom"}, "--scenario 'boom' is unknown: choose calm, trend, crash, flash"),
        ({"scenario": "replay"}, "--scenario replay needs --prices"),
        ({"prices": {"SOL/USD": Path("x.csv")}}, "--prices does not go with --scenario calm"),
        ({"scenario": "replay", "prices": {"DOGE/USD": Path("x")}}, "--prices DOGE/USD=… names an unknown"),
        ({"slot_ms": 0}, "--slot-ms 0 is out of range"),
        ({"rpc_port": 70_000}, "--rpc-port 70000 is out of range"),
        ({"ws_port": -1}, "--ws-port -1 is out of range"),
        ({"rpc_port": 9_000, "ws_port": 9_000}, "--rpc-port and --ws-port are both 9000"),
        ({"state_dir": Path(__file__)}, "is not a directory"),
        ({"ticks_per_candle": 3}, "--ticks-per-candle 3 is out of range"),
    ],
)
def test_a_wrong_option_is_refused_by_the_name_of_its_flag(wrong: dict[str, Any], complaint: str) -> None:
    with pytest.raises(SandboxOptionsError) as refusal:
        SandboxOptions(**wrong)
    assert complaint in str(refusal.value)
    assert "\n" not in str(refusal.value)
    assert isinstance(refusal.value, OperatorError) and refusal.value.exit_code == 2


def test_all_wrong_options_are_named_at_once() -> None:
    with pytest.raises(SandboxOptionsError) as refusal:
        SandboxOptions(seed=-1, positions=-1, scenario="none", slot_ms=1)
    for flag in ("--seed", "--positions", "--scenario", "--slot-ms"):
        assert flag in str(refusal.value)


def test_the_defaults_are_accepted_and_two_free_ports_may_be_asked_for() -> None:
    assert SandboxOptions().scenario == "calm"
    assert SandboxOptions(rpc_port=0, ws_port=0).rpc_port == 0


def test_prices_are_parsed_by_symbol_with_or_without_the_quote_currency() -> None:
    assert parse_prices(["SOL/USD=a.csv", "btc=dir/b=c.csv"]) == {
        "SOL/USD": Path("a.csv"),
        "BTC/USD": Path("dir/b=c.csv"),
    }


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["SOL"], "--prices 'SOL' is not of the form SYMBOL=FILE.csv"),
        (["=x.csv"], "is not of the form"),
        (["SOL="], "is not of the form"),
        (["DOGE=x.csv"], "names an unknown symbol: choose SOL/USD, BTC/USD, ETH/USD"),
        (["SOL=x.csv", "sol/usd=y.csv"], "--prices names SOL/USD twice"),
    ],
)
def test_prices_that_cannot_be_parsed_are_refused(arguments: list[str], complaint: str) -> None:
    with pytest.raises(SandboxOptionsError) as refusal:
        parse_prices(arguments)
    assert complaint in str(refusal.value)
