"""What trouble can be asked for, in which ways, and how nonsense is refused by its name."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from engine.errors import OperatorError
from engine.sandbox.settings_arguments import SettingsArgumentError, parse_settings
from engine.sandbox.trouble import Trouble
from engine.sandbox.trouble.reading import patched as patched_by
from engine.sandbox.trouble.settings import FixedLatency, UniformLatency


def trouble_of(arguments: list[str]) -> Trouble:
    return parse_settings("--trouble", arguments, Trouble)


def patched(trouble: Trouble, patch: dict[str, Any]) -> Trouble:
    return patched_by("sandboxTrouble", trouble, patch)


def test_no_arguments_are_no_trouble() -> None:
    assert trouble_of([]) == Trouble()


def test_single_settings_are_reached_by_their_path_and_words_need_no_quotes() -> None:
    trouble = trouble_of(
        [
            'http.latency={"kind":"fixed","ms":20}',
            "http.methods.getSlot.error_share=0.5",
            "oracle.SOL/USD.outage=true",
            'websocket.kinds=["account","slot"]',
            "landing.fail_error=AccountInUse",
        ]
    )
    assert trouble.http.latency == FixedLatency(ms=20)
    assert trouble.http.of("getSlot").error_share == 0.5
    assert trouble.http.of("getHealth").error_share == 0
    assert trouble.oracle["SOL/USD"].outage
    assert trouble.websocket.kinds == ("account", "slot")
    assert trouble.landing.fail_error == "AccountInUse"


def test_a_file_and_paths_are_put_together_and_the_later_one_wins(tmp_path: Path) -> None:
    file = tmp_path / "storm=1.json"
    file.write_text(json.dumps({"landing": {"lost_share": 0.5, "late_share": 0.25}}))
    trouble = trouble_of([str(file), "landing.lost_share=0.125"])
    assert (trouble.landing.lost_share, trouble.landing.late_share) == (0.125, 0.25)


def test_a_patch_changes_what_it_names_and_null_puts_back() -> None:
    first = patched(Trouble(), {"http": {"error_share": 0.5, "drop_share": 0.25}})
    second = patched(first, {"http": {"error_share": None}})
    assert (second.http.error_share, second.http.drop_share) == (0, 0.25)
    assert patched(second, {"http": None}) == Trouble()


def test_a_latency_is_replaced_whole() -> None:
    first = patched(Trouble(), {"http": {"latency": {"kind": "fixed", "ms": 5}}})
    second = patched(first, {"http": {"latency": {"kind": "uniform", "low_ms": 1, "high_ms": 2}}})
    assert second.http.latency == UniformLatency(low_ms=1, high_ms=2)


WRONG: list[tuple[dict[str, Any], str, str]] = [
    ({"htp": {}}, "htp", "extra inputs are not permitted"),
    ({"http": {"dropshare": 0.5}}, "http.dropshare", "extra inputs"),
    ({"http": {"drop_share": 1.5}}, "http.drop_share", "should be less than or equal to 1"),
    ({"http": {"drop_share": "0.5"}}, "http.drop_share", "should be a valid number"),
    ({"http": {"drop_share": float("nan")}}, "http.drop_share", "finite number"),
    ({"http": 5}, "http", "should be an object"),
    ({"http": {"drop_share": 0.6, "error_share": 0.6}}, "http", "the shares of this section add up"),
    ({"http": {"error_status": 418}}, "http.error_status", "should be 500, 502, 503 or 504"),
    ({"http": {"latency": {"kind": "fixed"}}}, "http.latency", "field required"),
    ({"http": {"latency": {"kind": "gamma"}}}, "http.latency", "'fixed', 'uniform', 'lognormal'"),
    ({"http": {"latency": {"kind": "uniform", "low_ms": 3, "high_ms": 2}}}, "http.latency", "low_ms must"),
    ({"http": {"latency": {"kind": "lognormal", "p50_ms": 3, "p99_ms": 2}}}, "http.latency", "p50_ms must"),
    ({"http": {"methods": {"getSlot": {"drop_share": -1}}}}, "http.methods.getSlot.drop_share", "greater"),
    ({"http": {"methods": {"get slot!": {}}}}, "http.methods.get slot!", "should match pattern"),
    ({"websocket": {"kinds": ["vote"]}}, "websocket.kinds.0", "should be 'account'"),
    ({"node": {"lag_slots": 1.5}}, "node.lag_slots", "should be a valid integer"),
    ({"node": {"lag_slots": 10**6}}, "node.lag_slots", "should be less than"),
    ({"landing": {"fail_error": {"InstructionError": 3}}}, "landing.fail_error", "no error of a transaction"),
    (
        {"landing": {"fail_error": {"InstructionError": [0, {"Custom": -1}]}}},
        "landing.fail_error",
        "no error",
    ),
    ({"landing": {"accounts": ["0OIl"]}}, "landing.accounts.0", "no address"),
    ({"landing": {"accounts": ["z" * 44]}}, "landing.accounts.0", "no address"),
    ({"forks": {"depth_slots": 31}}, "forks.depth_slots", "should be less than or equal to 30"),
    ({"oracle": {"DOGE/USD": {}}}, "oracle.DOGE/USD", "should be 'SOL/USD'"),
    ({"oracle": {"SOL/USD": {"jump_bps": -10_000}}}, "oracle.SOL/USD.jump_bps", "should be greater than"),
    ({"hermes": {"http": {"methods": {}}}}, "hermes.http.methods", "extra inputs"),
    ({"seed": -1}, "seed", "should be greater than or equal to 0"),
]


@pytest.mark.parametrize(("patch", "path", "complaint"), WRONG)
def test_a_wrong_setting_is_refused_by_its_path(patch: dict[str, Any], path: str, complaint: str) -> None:
    before = patched(Trouble(), {"http": {"error_share": 0.125}})
    with pytest.raises(SettingsArgumentError) as refusal:
        patched(before, patch)
    assert str(refusal.value).startswith(f"sandboxTrouble {path}")
    assert complaint in str(refusal.value)
    assert before == patched(Trouble(), {"http": {"error_share": 0.125}})


def test_hostile_names_and_words_are_shown_harmless_and_short() -> None:
    with pytest.raises(SettingsArgumentError) as refusal:
        patched(Trouble(), {"http": {"latency": {"kind": "\x1b[2J\n" * 500}}, "\x07\u202e" * 500: 1})
    text = str(refusal.value)
    assert text.isprintable() and len(text) < 2_100


@pytest.mark.parametrize(
    ("argument", "path"),
    [
        ("http.dropshare=1", "http.dropshare"),
        ("http.drop_share=lots", "http.drop_share"),
        ("oracle.DOGE/USD.outage=true", "oracle.DOGE/USD"),
    ],
)
def test_a_wrong_argument_is_one_line_that_names_the_setting(argument: str, path: str) -> None:
    with pytest.raises(SettingsArgumentError) as refusal:
        trouble_of([argument])
    text = str(refusal.value)
    assert text.startswith(f"--trouble {path}") and text.isprintable()
    assert isinstance(refusal.value, OperatorError) and refusal.value.exit_code == 2
