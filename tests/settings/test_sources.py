"""Settings are given in several places; the strongest one that has one wins, and its name is kept."""

from __future__ import annotations

import itertools
import os
from pathlib import Path

import pytest

from engine.errors import SettingsError
from engine.setting_sources import (
    Source,
    config_file,
    exposed_secrets,
    given_settings,
    parse_choices,
)

NODE = "http://127.0.0.1:8899"


@pytest.fixture
def places(tmp_path: Path):
    """Writes the files, and reads all sources together."""
    return Places(tmp_path)


class Places:
    """A home with a config.toml, a folder with a .env, an environment and a command line."""

    def __init__(self, root: Path) -> None:
        self.folder = root / "here"
        self.folder.mkdir()
        self.environ = {"XDG_CONFIG_HOME": str(root / "config"), "SOLANA_RPC_URL": NODE}
        self.chosen: dict[str, str] = {}
        self.config = config_file(self.environ)
        self.config.parent.mkdir(parents=True)

    def write(self, *, config: str = "", dotenv: str = "") -> None:
        self.config.write_text(config)
        (self.folder / ".env").write_text(dotenv)

    def settings(self, profile: str = "default"):
        return self.given(profile).settings()

    def given(self, profile: str = "default"):
        return given_settings(profile, self.environ, self.chosen, self.folder)

    def refusal(self, profile: str = "default") -> str:
        with pytest.raises(SettingsError) as caught:
            self.settings(profile)
        assert "\n" not in str(caught.value)
        return str(caught.value)


def test_without_files_the_environment_and_the_defaults_count(places) -> None:
    settings = places.settings()
    assert (settings.rpc_url, settings.workers) == (NODE, 32)
    assert settings.source_of("SOLANA_RPC_URL") == "environment"
    assert settings.source_of("WORKERS") == ""


@pytest.mark.parametrize("given", list(itertools.product([False, True], repeat=4)))
def test_the_strongest_source_that_has_a_setting_wins(places, given) -> None:
    in_config, in_dotenv, in_environment, on_command_line = given
    places.write(
        config="workers = 11\n" if in_config else "", dotenv="WORKERS=12\n" if in_dotenv else "OTHER=1\n"
    )
    if in_environment:
        places.environ["WORKERS"] = "13"
    if on_command_line:
        places.chosen["WORKERS"] = "14"
    order = [
        (on_command_line, 14, Source.COMMAND_LINE),
        (in_environment, 13, Source.ENVIRONMENT),
        (in_dotenv, 12, Source.DOTENV),
        (in_config, 11, Source.FILE),
        (True, 32, ""),
    ]
    value, source = next((value, source) for is_given, value, source in order if is_given)
    settings = places.settings()
    assert (settings.workers, settings.source_of("WORKERS")) == (value, source)


def test_an_empty_variable_hides_what_the_files_say(places) -> None:
    places.write(config='hermes_url = "https://prices.example"\n', dotenv="DATABASE_URL=postgresql://db/x\n")
    places.environ |= {"HERMES_URL": "", "DATABASE_URL": " "}
    settings = places.settings()
    assert settings.hermes_url is None
    assert settings.database_url is None


def test_a_profile_has_its_own_table_over_that_of_all(places) -> None:
    places.write(config="workers = 8\nretry_attempts = 3\n[profiles.storm]\nworkers = 64\n")
    assert (places.settings().workers, places.settings("storm").workers) == (8, 64)
    assert places.settings("storm").retry_attempts == 3


def test_values_of_the_file_are_exact_and_may_be_lists_tables_and_truths(places) -> None:
    del places.environ["SOLANA_RPC_URL"]
    places.write(
        config='SOLANA_RPC_URL = ["https://a.example", "https://b.example"]\n'
        "rpc_requests_per_s = [10, 20]\nat_risk_factor = 1.275\nlow_latency = true\n"
        '[symbols."BTC/USD"]\nmax_confidence_bps = 50\n'
    )
    settings = places.settings()
    assert settings.rpc_urls == ("https://a.example", "https://b.example")
    assert settings.rpc_budgets == (10, 20)
    assert settings.at_risk_factor_milli == 1275
    assert settings.low_latency
    assert {each.feed.symbol for each in settings.symbols} == {"SOL/USD", "BTC/USD", "ETH/USD"}


def test_every_mistake_is_told_at_once_with_its_place_and_the_likely_name(places) -> None:
    places.write(config='workers = 0\nwokers = 9\nworker_count = "x"\n', dotenv="SERVER_PORT=http\n")
    places.environ["RETRY_ATTEMPTS"] = "99"
    line = places.refusal()
    assert "WORKERS (config.toml) must be a whole number" in line
    assert "'WOKERS' in config.toml is no setting (did you mean WORKERS?)" in line
    assert "'WORKER_COUNT' in config.toml is no setting" in line
    assert "SERVER_PORT (.env) must be a whole number" in line
    assert "RETRY_ATTEMPTS must be a whole number" in line
    assert line.endswith("correct the files and the environment")


def test_the_dotenv_is_read_as_shells_read_it_and_strangers_in_it_are_nobodys_business(places) -> None:
    places.write(
        dotenv="# a comment\nexport WORKERS='9'\nSOMEBODYS=1\nDATABASE_URL=postgresql://u:$p#w@h/d\n"
    )
    settings = places.settings()
    assert settings.workers == 9
    assert settings.database_dsn == "postgresql://u:$p#w@h/d"


@pytest.mark.parametrize(
    ("text", "level"),
    [
        ("info", "info"),
        ("warn", "warning"),
        ("TRACE", "debug"),
        ("hyper=warn,error", "error"),
        ("odd", "info"),
    ],
)
def test_the_log_level_may_have_the_name_that_the_guide_gives_it(places, text, level) -> None:
    places.write(dotenv=f"RUST_LOG={text}\n")
    assert places.settings().log_level == level
    places.environ["LOG_LEVEL"] = "debug"
    assert places.settings().log_level == "debug"


def test_a_file_that_makes_no_sense_stops_the_start_and_is_named(places) -> None:
    places.write(config="workers = = 3\n")
    assert f"{places.config} cannot be read" in places.refusal()
    places.write(config="profiles = 3\n")
    assert "[profiles.name]" in places.refusal()
    places.config.write_bytes(b"\xff\xfe")
    assert "no UTF-8" in places.refusal()
    places.config.unlink()
    places.config.mkdir()
    assert f"{places.config} " in places.refusal()


def test_a_file_that_others_could_have_written_is_not_believed(places) -> None:
    places.write(config="workers = 3\n")
    places.config.chmod(0o646)
    assert f"chmod o-w {places.config}" in places.refusal()
    places.config.chmod(0o600)
    assert places.settings().workers == 3


@pytest.mark.skipif(os.getuid() != 0, reason="only root can give a file away")
def test_a_file_of_another_user_is_not_believed(places) -> None:
    places.write(dotenv="WORKERS=3\n")
    os.chown(places.folder / ".env", 12_345, -1)
    assert "could have been written by somebody else" in places.refusal()


def test_secrets_in_a_file_that_others_read_are_told_of_with_the_remedy(places) -> None:
    places.write(dotenv="DATABASE_URL=postgresql://u:hunter2@h/d\n", config="workers = 3\n")
    for path in (places.config, places.folder / ".env"):
        path.chmod(0o644)
    (line,) = exposed_secrets(places.environ, places.folder)
    assert line.endswith(f"`chmod 600 {places.folder / '.env'}`")
    assert "hunter2" not in line
    (places.folder / ".env").chmod(0o600)
    assert exposed_secrets(places.environ, places.folder) == []


def test_choices_of_the_command_line_name_settings_or_are_refused() -> None:
    assert parse_choices(["workers=3", "DATABASE_URL=postgresql://h/d?a=b"]) == {
        "WORKERS": "3",
        "DATABASE_URL": "postgresql://h/d?a=b",
    }
    for bad in ("WOKERS=3", "WORKERS", "=3"):
        with pytest.raises(SettingsError, match="--set NAME=VALUE"):
            parse_choices([bad])


def test_a_sandboxs_settings_hide_those_of_files_and_environment(places) -> None:
    places.write(config='solana_genesis_hash = "5eykt4UsFv8P8NJdTREpY1vzqKqZKvdpKuc147dw2N9d"\n')
    beside = {"SOLANA_RPC_URL": "http://127.0.0.1:9", "SOLANA_GENESIS_HASH": ""}
    settings = places.given().under(beside, Source.SANDBOX).settings()
    assert (settings.rpc_url, settings.genesis_hash) == ("http://127.0.0.1:9", None)
    assert settings.source_of("SOLANA_RPC_URL") == "sandbox"


@pytest.mark.parametrize("number", ["1" * 5000, "0x" + "1" * 5000])
def test_a_number_with_more_digits_than_python_reads_is_refused_in_one_line(places, number: str) -> None:
    places.write(config=f"workers = {number}\n")
    assert str(places.config) in places.refusal()


def test_a_fifo_in_place_of_a_file_is_refused_at_once(places) -> None:
    os.mkfifo(places.config)
    assert "is no file" in places.refusal()


def test_where_the_working_folder_was_removed_the_other_sources_are_read(places, monkeypatch) -> None:
    monkeypatch.chdir(places.folder)
    places.folder.rmdir()
    given = given_settings("default", places.environ)
    assert given.settings().rpc_url == NODE
    assert exposed_secrets(places.environ) == []
