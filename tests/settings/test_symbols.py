"""SYMBOLS says what is watched; what cannot be used is named by symbol and field, in one line."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from solders.pubkey import Pubkey

from engine.errors import SettingsError
from engine.oracle.feeds import default_feeds
from engine.price_feeds import watched_feeds
from engine.protocol.addresses import BTC_USD, PYTH_RECEIVER, SOL_USD, feed_account
from engine.settings import load_settings

RPC = {"SOLANA_RPC_URL": "http://127.0.0.1:8899"}
DOGE = "dcef50dd0a4cd2dcc17e45df1676dcb336a11a61c69df7a0299b0150c672d25c"
OTHER = str(Pubkey.from_bytes(bytes(range(32))))


def watched(symbols: Any, **environ: str) -> dict[str, Any]:
    """What is watched with this setting, by symbol."""
    text = symbols if isinstance(symbols, str) else json.dumps(symbols)
    return {
        each.feed.symbol: each for each in watched_feeds(load_settings({**RPC, "SYMBOLS": text, **environ}))
    }


def refusal(symbols: Any, **environ: str) -> str:
    with pytest.raises(SettingsError) as caught:
        watched(symbols, **environ)
    line = str(caught.value)
    assert line.isprintable() and len(line) < 300
    return line


def test_without_the_setting_the_protocols_symbols_are_watched_with_its_limits() -> None:
    assert watched_feeds(load_settings(RPC)) == default_feeds()


def test_a_symbol_can_be_added_and_its_account_follows_from_feed_shard_and_program() -> None:
    found = watched({"DOGE/USD": {"feed_id": f"0x{DOGE.upper()}", "shard": 7, "push_oracle": OTHER}})
    assert list(found) == ["SOL/USD", "BTC/USD", "ETH/USD", "DOGE/USD"]
    feed = found["DOGE/USD"].feed
    assert feed.account == feed_account(bytes.fromhex(DOGE), 7, Pubkey.from_string(OTHER))
    assert found["DOGE/USD"].receiver == PYTH_RECEIVER


def test_a_symbol_can_be_changed_field_by_field_and_left_out() -> None:
    found = watched(
        {"BTC/USD": {"account": OTHER, "receiver": OTHER, "max_jump_bps": 300}, "ETH/USD": None},
        MAX_CONFIDENCE_BPS="77",
    )
    assert list(found) == ["SOL/USD", "BTC/USD"]
    changed = found["BTC/USD"]
    assert (str(changed.feed.account), str(changed.receiver)) == (OTHER, OTHER)
    assert changed.feed.feed_id == BTC_USD.feed_id
    assert (changed.limits.max_jump_bps, changed.limits.max_confidence_bps) == (300, 77)
    assert found["SOL/USD"].limits.max_jump_bps == 1_000
    assert found["SOL/USD"].feed == SOL_USD


def test_the_general_limits_are_every_symbols_that_has_none_of_its_own() -> None:
    found = watched(
        {"BTC/USD": {"max_age_s": 5, "halt_age_s": 90}},
        MAX_PRICE_AGE_S="30",
        HALT_PRICE_AGE_S="600",
        MAX_DIVERGENCE_BPS="42",
    )
    assert (found["BTC/USD"].limits.max_age_s, found["BTC/USD"].limits.halt_age_s) == (5, 90)
    assert (found["SOL/USD"].limits.max_age_s, found["SOL/USD"].limits.halt_age_s) == (30, 600)
    assert {each.limits.max_divergence_bps for each in found.values()} == {42}


def test_it_may_stand_in_a_file(tmp_path: Path) -> None:
    path = tmp_path / "symbols.json"
    path.write_text(json.dumps({"DOGE/USD": {"feed_id": DOGE}}))
    assert "DOGE/USD" in watched(str(path))


@pytest.mark.parametrize(
    ("symbols", "complaint"),
    [
        ({"DOGE/USD": {}}, "SYMBOLS DOGE/USD.feed_id must be 64 hexadecimal digits, not None"),
        ({"DOGE/USD": {"feed_id": "dc"}}, "DOGE/USD.feed_id must be 64 hexadecimal digits, not 'dc'"),
        ({"BTC/USD": {"feed_id": 5}}, "BTC/USD.feed_id"),
        ({"BTC/USD": {"account": "x"}}, "BTC/USD.account must be a base58 address of 32 bytes, not 'x'"),
        ({"BTC/USD": {"receiver": 1}}, "BTC/USD.receiver"),
        ({"BTC/USD": {"push_oracle": None}}, "BTC/USD.push_oracle"),
        ({"BTC/USD": {"shard": 65_536}}, "BTC/USD.shard must be a whole number from 0 to 65535"),
        ({"BTC/USD": {"shard": True}}, "BTC/USD.shard"),
        ({"BTC/USD": {"max_age_s": 61}}, "BTC/USD.max_age_s must be a whole number from 1 to 60, not 61"),
        ({"BTC/USD": {"halt_age_s": 59}}, "BTC/USD.halt_age_s must be a whole number from 60 to 86400"),
        ({"BTC/USD": {"max_jump_bps": 0}}, "BTC/USD.max_jump_bps"),
        ({"BTC/USD": {"max_confidence_bps": 1.5}}, "BTC/USD.max_confidence_bps"),
        ({"BTC/USD": {"max_divergence_bps": "1"}}, "BTC/USD.max_divergence_bps"),
        ({"BTC/USD": {"max_ages": 1}}, "BTC/USD.'max_ages' is not known"),
        ({"BTC/USD": 5}, "BTC/USD must be an object"),
        ({"SOL/USD": None}, "must keep SOL/USD"),
        ({"X" * 33: {"feed_id": DOGE}}, "is no symbol"),
        ({"\x1b[2J": {"feed_id": DOGE}}, r"'\x1b[2J' is no symbol"),
        ({"": {"feed_id": DOGE}}, "is no symbol"),
        ({"DOGE/USD": {"feed_id": SOL_USD.feed_id.hex()}}, "DOGE/USD.feed_id is that of SOL/USD too"),
        (
            {"DOGE/USD": {"feed_id": DOGE, "account": str(BTC_USD.account)}},
            "DOGE/USD.account is that of BTC/USD too",
        ),
        ({f"S{n}": {"feed_id": f"{n:064x}"} for n in range(98)}, "names 101 symbols, 100 are the most"),
        ('{"BTC/USD": {}, "BTC/USD": {}}', "names 'BTC/USD' twice"),
        ('{"BTC/USD": {"shard": 1, "shard": 2}}', "names 'shard' twice"),
        ("{", "is not JSON (line 1, column 2)"),
        ('{"BTC/USD": NaN}', "BTC/USD must be an object"),
        ('{"a":' * 100_000, "is nested too deeply"),
        ("/no/such/file", "the path of a readable file"),
        ("[]", "the path of a readable file"),
        ("\x00", "the path of a readable file"),
    ],
)
def test_what_cannot_be_used_is_named_by_symbol_and_field(symbols: Any, complaint: str) -> None:
    line = refusal(symbols)
    assert line.startswith("Bad settings: SYMBOLS ")
    assert complaint in line


def test_a_key_for_the_second_source_is_never_shown_and_never_sent_in_the_clear() -> None:
    settings = load_settings({**RPC, "HERMES_URL": "https://h.example/hermes", "HERMES_API_KEY": "SESAME"})
    assert settings.hermes_api_key is not None
    assert settings.hermes_api_key.get_secret_value() == "SESAME"
    assert "SESAME" not in repr(settings) + str(settings) + f"{settings.hermes_api_key}"
    for url in ("http://h.example", "http://127.0.0.1.example"):
        line = refusal({}, HERMES_URL=url, HERMES_API_KEY="SESAME")
        assert "HERMES_URL must begin with https:// when HERMES_API_KEY is set" in line
        assert "SESAME" not in line
    for url in ("http://127.0.0.1:8", "http://[::1]:8", "http://localhost"):
        assert load_settings({**RPC, "HERMES_URL": url, "HERMES_API_KEY": "SESAME"}).hermes_url == url


@pytest.mark.parametrize("key", ["a b", "a\nX: y", "schlüssel", "k" * 5_000])
def test_a_key_that_cannot_stand_in_a_header_is_refused_without_repeating_it(key: str) -> None:
    line = refusal({}, HERMES_URL="https://h.example", HERMES_API_KEY=key)
    assert "HERMES_API_KEY must be printable ASCII without spaces" in line
    assert key not in line
