"""The operational guide's numbers and error phrases are the engine's, as docs/guide.md lists them."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from engine.domain import OutcomeClass
from engine.settings import load_settings
from engine.telemetry import alert_rules

TEXT = (Path(__file__).parents[2] / "docs" / "guide.md").read_text()
PLAIN = load_settings({"SOLANA_RPC_URL": "http://127.0.0.1:8899"})


@pytest.mark.parametrize("phrase", ["timeout", "exceeded CUs", "already liquidated", "insufficient funds"])
def test_an_error_phrase_of_the_guide_is_an_outcome_s_name(phrase: str) -> None:
    assert phrase in [outcome.value for outcome in OutcomeClass]
    assert f"`{phrase}`" in TEXT.split("## Its error phrases")[1]


def test_the_guide_s_thresholds_are_those_of_the_alerts_and_settings() -> None:
    assert PLAIN.insurance_fund_minimum_lamports == 10_000_000_000  # 10 SOL
    assert alert_rules.FAILED_PERCENT[0] == alert_rules.SLOW_PERCENT[0] == 5
    assert alert_rules.SLOW_US == 100_000
    assert alert_rules.UTILIZATION_BPS[0] == 5_000
    assert alert_rules.WALLET_LOW_LAMPORTS[0] == 500_000_000
    assert (PLAIN.retry_attempts, PLAIN.retry_base_ms, PLAIN.server_port) == (5, 100, 8080)


def test_each_alert_and_setting_that_the_numbers_are_told_with_exists() -> None:
    table = TEXT.split("## Numbers of the guide")[1].split("\n## ")[0]
    alerts = re.findall(r"alert `([a-z-]+)`|\| `(failure-rate)`", table)
    names = {rule.name for rule in alert_rules.RULES}
    assert {name for pair in alerts for name in pair if name} <= names
    assert len(alerts) == 4
    settings = set(re.findall(r"`([A-Z_]+)`", table))
    assert settings == {"INSURANCE_FUND_MINIMUM_SOL", "RETRY_ATTEMPTS", "RETRY_BASE_MS", "SERVER_PORT"}
    assert all(hasattr(PLAIN, name.lower().replace("_sol", "_lamports")) for name in settings)
