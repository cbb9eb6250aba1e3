"""The sandbox's options: every refusal is one line that names its flag."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from engine.cli.options import SandboxFlags
from engine.errors import OperatorError
from engine.sandbox.options import SandboxOptions, SandboxOptionsError, parse_prices


@pytest.mark.parametrize(
    ("wrong", "complaint"),
    [
        ({"seed": -1}, "--seed -1 is out of range"),
        ({"seed": 2**64}, "--seed 18446744073709551616 is out of range"),
        ({"positions": -5}, "--positions -5 is out of range"),
        ({"positions": 10**9}, "--positions 1000000000 is out of range: give 0 to 1000000"),
        ({"positions": 5, "genesis_positions": 6}, "--genesis-positions 6 is out of range: give 0 to"),
        ({"genesis_positions": -1}, "--genesis-positions -1 is out of range"),
        ({"scenario": "trend", "trend": "sideways"}, "--trend 'sideways' is unknown: choose up, down"),
        ({"scenario": "calm", "trend": "up"}, "--trend does not go with --scenario calm"),
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
    assert SandboxOptions(positions=1_000_000, genesis_positions=1_000_000).positions == 10**6
    assert SandboxOptions(scenario="trend", trend="down").trend == "down"


def test_flags_are_handed_on_whole_and_mean_the_same_there() -> None:
    flags = SandboxFlags(
        seed=3,
        positions=50,
        scenario="trend",
        genesis_positions=20,
        population=("long_share=0.9", "size.median_usd=700"),
        behaviour=("rival_share=0.25",),
        trend="up",
    )
    arguments = iter(flags.arguments())
    pairs = list(zip(arguments, arguments, strict=True))
    assert ("--population", "size.median_usd=700") in pairs and ("--trend", "up") in pairs
    assert len(pairs) == 8
    options = flags.options()
    assert options.population.long_share == 0.9 and options.population.size.median_usd == 700
    assert (options.behaviour.rival_share, options.genesis_positions, options.trend) == (0.25, 20, "up")


@pytest.mark.parametrize(
    ("flags", "complaint"),
    [
        ({"population": ("long_share=2",)}, "--population long_share 2: input should be less than"),
        ({"behaviour": ("rival_share=x",)}, "--behaviour rival_share 'x': input should be a valid number"),
        ({"population": ("nowhere.json",)}, "--population nowhere.json is neither KEY=VALUE nor a file"),
    ],
)
def test_wrong_settings_are_refused_by_flag_and_key(flags: dict[str, Any], complaint: str) -> None:
    with pytest.raises(OperatorError) as refusal:
        SandboxFlags(**flags).options()
    assert complaint in str(refusal.value) and "\n" not in str(refusal.value)


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
