"""Settings come from one mapping, within their bounds, and every bad one is named at once."""

from __future__ import annotations

import pytest
from pydantic import ValidationError
from solders.pubkey import Pubkey

from engine.errors import SettingsError
from engine.protocol.addresses import PROGRAM_ID
from engine.settings import Settings, derive_ws_url, load_settings

RPC = {"SOLANA_RPC_URL": "http://127.0.0.1:8899"}
BOUNDS = [
    ("SERVER_PORT", "server_port", 0, 65_535),
    ("RETRY_ATTEMPTS", "retry_attempts", 1, 20),
    ("RETRY_BASE_MS", "retry_base_ms", 1, 60_000),
    ("WORKERS", "workers", 1, 512),
    ("PRIORITY_FEE_MICROLAMPORTS", "priority_fee_microlamports", 0, 1_000_000_000),
    ("PRIORITY_FEE_CAP_LAMPORTS", "priority_fee_cap_lamports", 0, 10_000_000_000),
    ("FEE_BUDGET_LAMPORTS", "fee_budget_lamports", 0, 10_000_000_000_000),
    ("COMPUTE_UNIT_LIMIT", "compute_unit_limit", 10_000, 1_400_000),
    ("REBROADCAST_MS", "rebroadcast_ms", 100, 60_000),
    ("RPC_TIMEOUT_S", "rpc_timeout_s", 1, 120),
    ("MAX_PRICE_AGE_S", "max_price_age_s", 1, 60),
    ("HALT_PRICE_AGE_S", "halt_price_age_s", 60, 86_400),
    ("MAX_DIVERGENCE_BPS", "max_divergence_bps", 1, 10_000),
    ("MAX_CONFIDENCE_BPS", "max_confidence_bps", 1, 100),
    ("MAX_JUMP_BPS", "max_jump_bps", 1, 100_000),
]


def refusal(**environ: str) -> str:
    """The one line that load_settings answers to this environment."""
    with pytest.raises(SettingsError) as caught:
        load_settings({**RPC, **environ})
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_with_only_a_node_everything_else_has_the_documented_default() -> None:
    settings = load_settings(RPC)
    assert settings.ws_url == "ws://127.0.0.1:8900"
    assert settings.database_url is None
    assert settings.database_dsn is None
    assert settings.wallet_path is None
    assert settings.program_id == PROGRAM_ID
    assert (settings.server_port, settings.log_level) == (8080, "info")
    assert (settings.retry_attempts, settings.retry_base_ms) == (5, 100)
    assert settings.at_risk_factor_milli == 1300
    assert settings.insurance_fund_minimum_lamports == 10_000_000_000
    assert (settings.max_price_age_s, settings.max_confidence_bps, settings.max_jump_bps) == (60, 100, 1000)


def test_the_given_mapping_counts_and_the_process_environment_does_not(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("WORKERS", "7")
    assert load_settings(RPC).workers == 32
    assert load_settings({**RPC, "WORKERS": "9"}).workers == 9


@pytest.mark.parametrize(("name", "field", "low", "high"), BOUNDS)
def test_a_number_is_taken_at_both_bounds_and_refused_beyond_them(
    name: str, field: str, low: int, high: int
) -> None:
    assert getattr(load_settings({**RPC, name: str(low)}), field) == low
    assert getattr(load_settings({**RPC, name: f" {high} "}), field) == high
    for bad in (str(low - 1), str(high + 1), "1.5", "1e3", "٣", "ten", "9" * 5000):
        assert f"{name} must be a whole number from {low} to {high}" in refusal(**{name: bad})


def test_decimal_settings_become_exact_integers() -> None:
    settings = load_settings({**RPC, "AT_RISK_FACTOR": "1.275", "INSURANCE_FUND_MINIMUM_SOL": "0.000000001"})
    assert settings.at_risk_factor_milli == 1275
    assert settings.insurance_fund_minimum_lamports == 1


@pytest.mark.parametrize("bad", ["1", "10.001", "1.2755", "nan", "inf", "-inf", "1e999999", "1,3", "many"])
def test_a_decimal_setting_that_is_out_of_range_or_too_fine_is_refused(bad: str) -> None:
    assert "AT_RISK_FACTOR must be a number from 1.001 to 10 in steps of 1/1000" in refusal(
        AT_RISK_FACTOR=bad
    )


def test_every_bad_setting_is_named_in_one_line() -> None:
    bad = {
        "SOLANA_RPC_URL": "ftp://node",
        "DATABASE_URL": "mysql://x",
        "PROGRAM_ID": "short",
        "SERVER_PORT": "http",
        "LOG_LEVEL": "loud",
        "WORKERS": "0",
        "WALLET_PATH": "~nobody-of-that-name/key",
    }
    line = refusal(**bad)
    assert [name for name in bad if name not in line] == []
    assert "SOLANA_WS_URL" not in line  # it was derived, so it is not the operator's fault


def test_a_missing_node_says_that_the_sandbox_needs_none() -> None:
    with pytest.raises(SettingsError, match=r"SOLANA_RPC_URL is not set.*--sandbox"):
        load_settings({})


def test_an_empty_variable_counts_as_not_set() -> None:
    assert load_settings({**RPC, "WORKERS": "", "DATABASE_URL": " "}).workers == 32


@pytest.mark.parametrize(
    ("rpc_url", "ws_url"),
    [
        ("http://localhost:8899", "ws://localhost:8900"),
        ("https://api.mainnet-beta.solana.com", "wss://api.mainnet-beta.solana.com"),
        ("https://node.example/v2/KEY?a=b", "wss://node.example/v2/KEY?a=b"),
        ("http://user:pw@10.0.0.1:8899/", "ws://user:pw@10.0.0.1:8900/"),
        ("http://[::1]:8899", "ws://[::1]:8900"),
        ("http://10.0.0.1:18899", "ws://10.0.0.1:18899"),
    ],
)
def test_the_websocket_url_follows_from_the_node_url(rpc_url: str, ws_url: str) -> None:
    assert derive_ws_url(rpc_url) == ws_url
    assert load_settings({"SOLANA_RPC_URL": rpc_url}).ws_url == ws_url


def test_a_given_websocket_url_wins() -> None:
    assert load_settings({**RPC, "SOLANA_WS_URL": "wss://other/"}).ws_url == "wss://other/"


@pytest.mark.parametrize(
    "bad",
    [
        "localhost:8899",
        "http://",
        "http://:8899",
        "http://a b",
        "http://h:99999",
        "http://no..host:8899",
        f"http://{'h' * 64}.example",
        "h\x1b",
    ],
)
def test_a_node_url_without_scheme_or_host_is_refused(bad: str) -> None:
    assert "SOLANA_RPC_URL must be a URL" in refusal(SOLANA_RPC_URL=bad)


def test_no_password_or_provider_key_is_printed() -> None:
    settings = load_settings(
        {
            "SOLANA_RPC_URL": "https://node.example/v2/PROVIDERKEY",
            "DATABASE_URL": "postgresql://liquidation:hunter2@localhost/liquidation_db",
        }
    )
    assert settings.database_dsn == "postgresql://liquidation:hunter2@localhost/liquidation_db"
    for text in (repr(settings), str(settings), f"{settings.database_url}"):
        assert "hunter2" not in text
        assert "PROVIDERKEY" not in text


def test_a_refused_url_is_not_repeated_since_it_may_hold_a_password() -> None:
    line = refusal(DATABASE_URL="postgres-ql://me:hunter2@db/x", SOLANA_RPC_URL="htps://node/KEYKEY")
    assert "hunter2" not in line
    assert "KEYKEY" not in line


def test_a_hostile_value_is_shown_short_and_printable() -> None:
    line = refusal(WORKERS="\x1b[31m" + "x" * 500)
    assert line.isprintable()
    assert len(line) < 200


def test_settings_cannot_be_changed() -> None:
    settings: Settings = load_settings(RPC)
    with pytest.raises(ValidationError):
        settings.workers = 5  # type: ignore[misc]  # the attempt is the test
    assert settings.workers == 32


def test_the_program_can_be_another_one() -> None:
    other = Pubkey.from_string("11111111111111111111111111111111")
    assert load_settings({**RPC, "PROGRAM_ID": f" {other} "}).program_id == other


def test_several_nodes_are_separated_by_commas_and_each_has_its_websocket_and_its_budget():
    urls = "https://a.example/key-1, http://127.0.0.1:8899"
    settings = load_settings({"SOLANA_RPC_URL": urls, "RPC_REQUESTS_PER_S": "20,300"})
    assert settings.rpc_urls == ("https://a.example/key-1", "http://127.0.0.1:8899")
    assert settings.ws_urls == ("wss://a.example/key-1", "ws://127.0.0.1:8900")
    assert settings.rpc_budgets == (20, 300)
    assert load_settings({"SOLANA_RPC_URL": urls, "RPC_REQUESTS_PER_S": "50"}).rpc_budgets == (50, 50)


@pytest.mark.parametrize(
    ("environ", "complaint"),
    [
        ({"SOLANA_RPC_URL": "http://a/secret-key,"}, "SOLANA_RPC_URL must be a URL"),
        ({"SOLANA_RPC_URL": "http://a/secret-key,ftp://b/secret-key"}, "SOLANA_RPC_URL must be a URL"),
        ({"SOLANA_RPC_URL": "http://a/secret-key,http://a/secret-key"}, "must not name a URL twice"),
        ({"SOLANA_RPC_URL": ",".join(f"http://a{n}" for n in range(9))}, "not name more than 8 URLs"),
        ({"SOLANA_RPC_URL": "http://a,http://b,http://c", "RPC_REQUESTS_PER_S": "1,2"}, "each of the 3 URLs"),
        ({"SOLANA_RPC_URL": "http://a", "RPC_REQUESTS_PER_S": "0"}, "RPC_REQUESTS_PER_S must be a whole"),
        ({"SOLANA_RPC_URL": "http://a", "RPC_MAX_BEHIND_SLOTS": "0"}, "RPC_MAX_BEHIND_SLOTS must be a whole"),
        ({"SOLANA_RPC_URL": "http://a", "SOLANA_GENESIS_HASH": "mainnet"}, "SOLANA_GENESIS_HASH must be"),
    ],
)
def test_a_bad_list_of_nodes_is_refused_without_repeating_a_credential(environ, complaint):
    with pytest.raises(SettingsError) as refusal:
        load_settings(environ)
    assert complaint in str(refusal.value)
    assert "secret-key" not in str(refusal.value)


@pytest.mark.parametrize(("text", "is_on"), [("on", True), (" OFF ", False), ("", False)])
def test_an_engine_is_kept_awake_only_where_that_is_wanted(text: str, is_on: bool) -> None:
    assert load_settings({**RPC, "LOW_LATENCY": text}).low_latency is is_on
    assert "LOW_LATENCY must be one of off, on, not 'yes'" in refusal(LOW_LATENCY="yes")


def test_beyond_this_machine_the_api_listens_only_with_a_certificate_and_its_key() -> None:
    for host in ("0.0.0.0", "::", "192.0.2.7"):
        assert "SERVER_HOST beyond this machine needs TLS_CERT_PATH" in refusal(SERVER_HOST=host)
    assert "must be set together" in refusal(SERVER_HOST="192.0.2.7", TLS_CERT_PATH="/c.pem")
    both = {"SERVER_HOST": "192.0.2.7", "TLS_CERT_PATH": "/c.pem", "TLS_KEY_PATH": "/k.pem"}
    assert load_settings({**RPC, **both}).server_host == "192.0.2.7"
    assert load_settings({**RPC, "SERVER_HOST": "127.0.0.2"}).tls_cert_path is None
