"""Every setting of the engine: its environment variable, its bounds, its default.

Values come from a mapping and nowhere else (engine.setting_sources makes it), and are frozen once read. Units
are in the names.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from ipaddress import ip_address
from pathlib import Path
from typing import Annotated, Any, Final, Self
from urllib.parse import urlsplit, urlunsplit

from pydantic import (
    BeforeValidator,
    Field,
    InstanceOf,
    PrivateAttr,
    SecretStr,
    ValidationError,
    model_validator,
)
from pydantic_settings import (
    BaseSettings,
    EnvSettingsSource,
    NoDecode,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
)
from solders.pubkey import Pubkey

from engine import setting_values as may_be
from engine.alert_settings import parse_alert_urls, parse_severity
from engine.errors import SettingsError
from engine.protocol.addresses import PROGRAM_ID
from engine.setting_values import LAMPORTS_PER_SOL, MAX_COMPUTE_UNITS, MOST_ENDPOINTS
from engine.symbol_settings import SymbolSettings, default_symbols

ENVIRONMENT: Final = "environment"
_NO_NODE: Final = "SOLANA_RPC_URL is not set (your node's URL)"


class Settings(BaseSettings):
    """One engine's settings, frozen; `load_settings` is the way to make them."""

    model_config = SettingsConfigDict(
        frozen=True,
        extra="forbid",
        case_sensitive=True,
        validate_default=False,
        use_attribute_docstrings=True,  # they are what a viewer of the settings reads
    )

    _sources: dict[str, str] = PrivateAttr(default_factory=dict)

    rpc_urls: Annotated[tuple[str, ...], NoDecode, BeforeValidator(may_be.urls("http", "https"))] = Field(
        validation_alias="SOLANA_RPC_URL", repr=False
    )
    """The nodes that are read from and sent to, up to 8, separated by commas; required, except with
    --sandbox.
    """
    ws_urls: Annotated[tuple[str, ...], NoDecode, BeforeValidator(may_be.urls("ws", "wss"))] = Field(
        validation_alias="SOLANA_WS_URL", repr=False
    )
    """Where to subscribe, one for each node; by default from the RPC URLs: http becomes ws, port 8899
    becomes 8900.
    """
    genesis_hash: Annotated[str | None, BeforeValidator(may_be.genesis_hash)] = Field(
        default=None, validation_alias="SOLANA_GENESIS_HASH"
    )
    """The genesis hash of the cluster that the nodes must be of; by default that of the first node."""
    rpc_requests_per_s: Annotated[tuple[int, ...], NoDecode, BeforeValidator(may_be.rates)] = Field(
        default=(500,), validation_alias="RPC_REQUESTS_PER_S"
    )
    """How many requests a node gets; one number for all, or one for each, separated by commas."""
    rpc_max_behind_slots: Annotated[int, may_be.whole(1, 150)] = Field(
        default=5, validation_alias="RPC_MAX_BEHIND_SLOTS"
    )
    """A node that is further behind the others is not asked."""
    database_url: Annotated[SecretStr | None, BeforeValidator(may_be.database_url)] = Field(
        default=None, validation_alias="DATABASE_URL"
    )
    """Where the record goes; without it PostgreSQL runs in the profile's state directory."""
    history_days: Annotated[int, may_be.whole(1, 730)] = Field(default=180, validation_alias="HISTORY_DAYS")
    """Whole days of attempts that the record keeps; bad debt, the fund's movements and the audit stay
    for ever.
    """
    wallet_path: Annotated[Path | None, BeforeValidator(may_be.path)] = Field(
        default=None, validation_alias="WALLET_PATH"
    )
    """The signing key as solana-keygen writes it, mode 0600, owned by you, no symbolic link; without it
    the key is in the OS keyring.
    """
    wallet_source: Annotated[str, BeforeValidator(may_be.wallet_source)] = Field(
        default="auto", validation_alias="WALLET_SOURCE"
    )
    """Where the key comes from; auto takes the first that has one (docs/security.md)."""
    program_id: Annotated[InstanceOf[Pubkey], BeforeValidator(may_be.pubkey)] = Field(
        default=PROGRAM_ID, validation_alias="PROGRAM_ID"
    )
    """The program whose positions are watched."""
    server_port: Annotated[int, may_be.whole(0, 65_535)] = Field(default=8080, validation_alias="SERVER_PORT")
    """The API for machines; 0 takes any free port."""
    server_host: Annotated[str, BeforeValidator(may_be.listening_address)] = Field(
        default="127.0.0.1", validation_alias="SERVER_HOST"
    )
    """Where that API listens; beyond this machine only with the two files of TLS."""
    tls_cert_path: Annotated[Path | None, BeforeValidator(may_be.path)] = Field(
        default=None, validation_alias="TLS_CERT_PATH"
    )
    """The API's certificate in PEM; with it the port speaks https alone."""
    tls_key_path: Annotated[Path | None, BeforeValidator(may_be.path)] = Field(
        default=None, validation_alias="TLS_KEY_PATH"
    )
    """The certificate's private key in PEM."""
    admin_group: Annotated[str | None, BeforeValidator(may_be.group_name)] = Field(
        default=None, validation_alias="ADMIN_GROUP"
    )
    """Its members may command the engine over its unix socket, like its own user."""
    one_commander: Annotated[bool, BeforeValidator(may_be.switch)] = Field(
        default=False, validation_alias="ONE_COMMANDER"
    )
    """One console at a time may command, the others look and stop: see docs/console.md."""
    log_level: Annotated[str, BeforeValidator(may_be.log_level)] = Field(
        default="info", validation_alias="LOG_LEVEL"
    )
    """What goes to stderr."""
    log_format: Annotated[str, BeforeValidator(may_be.log_format)] = Field(
        default="pairs", validation_alias="LOG_FORMAT"
    )
    """How its lines are written: key=value pairs, or JSON."""
    event_loop: Annotated[str, BeforeValidator(may_be.event_loop)] = Field(
        default="uvloop", validation_alias="EVENT_LOOP"
    )
    """What the engine runs on; Python's own loop is slower and there to rule uvloop out."""
    low_latency: Annotated[bool, BeforeValidator(may_be.switch)] = Field(
        default=False, validation_alias="LOW_LATENCY"
    )
    """An idle engine stays awake: news are in the queue sooner, and a whole processor is busy."""

    retry_attempts: Annotated[int, may_be.whole(1, 20)] = Field(default=5, validation_alias="RETRY_ATTEMPTS")
    """Attempts for one liquidation, the first included."""
    retry_base_ms: Annotated[int, may_be.whole(1, 60_000)] = Field(
        default=100, validation_alias="RETRY_BASE_MS"
    )
    """The wait before the second attempt; it doubles with each further one."""
    workers: Annotated[int, may_be.whole(1, 512)] = Field(default=32, validation_alias="WORKERS")
    """Liquidations between signing and sending at one time."""
    at_risk_factor_milli: Annotated[int, may_be.scaled("1.001", "10", 1000)] = Field(
        default=1300, validation_alias="AT_RISK_FACTOR"
    )
    """Positions below this health factor are shown as at risk."""
    priority_fee_microlamports: Annotated[int, may_be.whole(0, 1_000_000_000)] = Field(
        default=10_000, validation_alias="PRIORITY_FEE_MICROLAMPORTS"
    )
    """Base price of a compute unit."""
    priority_fee_cap_lamports: Annotated[int, may_be.whole(0, 10 * LAMPORTS_PER_SOL)] = Field(
        default=1_000_000, validation_alias="PRIORITY_FEE_CAP_LAMPORTS"
    )
    """The most that one transaction pays in priority fees."""
    fee_budget_lamports: Annotated[int, may_be.whole(0, 10_000 * LAMPORTS_PER_SOL)] = Field(
        default=500_000_000, validation_alias="FEE_BUDGET_LAMPORTS"
    )
    """The most that one day (UTC) costs in fees; when it is paid the engine stops itself."""
    wallet_floor_lamports: Annotated[int, may_be.whole(0, 100 * LAMPORTS_PER_SOL)] = Field(
        default=890_880, validation_alias="WALLET_FLOOR_LAMPORTS"
    )
    """Sending pauses while a fee would leave less in the wallet, until it is funded; its rent, the
    default, is the least.
    """
    compute_unit_limit: Annotated[int, may_be.whole(10_000, MAX_COMPUTE_UNITS)] = Field(
        default=200_000, validation_alias="COMPUTE_UNIT_LIMIT"
    )
    """Compute units asked for until the like was rehearsed or landed; from then on a fifth more than
    that used, and more after "exceeded CUs".
    """
    rebroadcast_ms: Annotated[int, may_be.whole(100, 60_000)] = Field(
        default=1500, validation_alias="REBROADCAST_MS"
    )
    """How often the same signed bytes are sent again until they land or expire."""
    send_to_nodes: Annotated[int, may_be.whole(1, MOST_ENDPOINTS)] = Field(
        default=3, validation_alias="SEND_TO_NODES"
    )
    """How many nodes get the same signed bytes at once, the best first."""
    rpc_timeout_s: Annotated[int, may_be.whole(1, 120)] = Field(default=5, validation_alias="RPC_TIMEOUT_S")
    """How long one question to the node may take."""
    insurance_fund_minimum_lamports: Annotated[int, may_be.scaled("0", "1000000", LAMPORTS_PER_SOL)] = Field(
        default=10 * LAMPORTS_PER_SOL, validation_alias="INSURANCE_FUND_MINIMUM_SOL"
    )
    """Below this the fund is shown as low."""
    max_price_age_s: Annotated[int, may_be.whole(1, 60)] = Field(
        default=60, validation_alias="MAX_PRICE_AGE_S"
    )
    """An older price holds its symbol; the program itself refuses prices older than 60 s."""
    halt_price_age_s: Annotated[int, may_be.whole(60, 86_400)] = Field(
        default=300, validation_alias="HALT_PRICE_AGE_S"
    )
    """A symbol without a price younger than this is halted."""
    max_confidence_bps: Annotated[int, may_be.whole(1, 100)] = Field(
        default=100, validation_alias="MAX_CONFIDENCE_BPS"
    )
    """A wider confidence interval holds its symbol; the program itself refuses one beyond 1 %."""
    max_jump_bps: Annotated[int, may_be.whole(1, 100_000)] = Field(
        default=1000, validation_alias="MAX_JUMP_BPS"
    )
    """A larger jump must be confirmed by the second source, or by two further updates."""
    max_divergence_bps: Annotated[int, may_be.whole(1, 10_000)] = Field(
        default=100, validation_alias="MAX_DIVERGENCE_BPS"
    )
    """A second source that differs by more holds the symbol."""
    symbols: Annotated[tuple[InstanceOf[SymbolSettings], ...], NoDecode, BeforeValidator(may_be.symbols)] = (
        Field(default_factory=default_symbols, validation_alias="SYMBOLS")
    )
    """What is watched beside or instead of the three of the protocol: a JSON object, or a file that
    holds one.
    """
    hermes_url: Annotated[str | None, BeforeValidator(may_be.url("http", "https"))] = Field(
        default=None, validation_alias="HERMES_URL", repr=False
    )
    """The second source of prices, as in https://pyth.dourolabs.app/hermes; without it there is none."""
    hermes_api_key: Annotated[SecretStr | None, BeforeValidator(may_be.bearer_key)] = Field(
        default=None, validation_alias="HERMES_API_KEY"
    )
    """Hermes's bearer key; sent over https only, or to this machine."""

    alert_urls: Annotated[tuple[SecretStr, ...], NoDecode, BeforeValidator(parse_alert_urls)] = Field(
        default=(), validation_alias="ALERT_URLS", repr=False
    )
    """Where alerts go beside the log and the console, up to 8, separated by commas (docs/monitoring.md)."""
    alert_severity: Annotated[str, BeforeValidator(parse_severity)] = Field(
        default="warning", validation_alias="ALERT_SEVERITY"
    )
    """The least urgent alert that is sent there."""
    alert_group_s: Annotated[int, may_be.whole(0, 300)] = Field(default=5, validation_alias="ALERT_GROUP_S")
    """Alerts that start or end within so many seconds are one message."""
    alert_messages_per_hour: Annotated[int, may_be.whole(1, 1000)] = Field(
        default=20, validation_alias="ALERT_MESSAGES_PER_HOUR"
    )
    """The most messages to one channel; for a danger one a minute is sent beyond it."""

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Only what the caller passes counts: `load_settings` reads the mapping that it was given."""
        del settings_cls, env_settings, dotenv_settings, file_secret_settings
        return (init_settings,)

    @model_validator(mode="after")
    def _key_stays_secret(self) -> Self:
        """A key must not cross a network that others can read."""
        if self.hermes_api_key is None or self.hermes_url is None:
            return self
        parts = urlsplit(self.hermes_url)
        if parts.scheme != "https" and parts.hostname not in ("localhost", "127.0.0.1", "::1"):
            raise ValueError("HERMES_URL must begin with https:// when HERMES_API_KEY is set")
        return self

    @model_validator(mode="after")
    def _commands_stay_private(self) -> Self:
        """Tokens must not cross a network in the clear."""
        if (self.tls_cert_path is None) != (self.tls_key_path is None):
            raise ValueError("TLS_CERT_PATH and TLS_KEY_PATH must be set together")
        if self.tls_cert_path is None and not ip_address(self.server_host).is_loopback:
            raise ValueError("SERVER_HOST beyond this machine needs TLS_CERT_PATH and TLS_KEY_PATH")
        return self

    @model_validator(mode="after")
    def _one_rate_for_each_node(self) -> Self:
        if len(self.rpc_requests_per_s) not in (1, len(self.rpc_urls)):
            raise ValueError(
                f"RPC_REQUESTS_PER_S must hold one number, or one for each of the {len(self.rpc_urls)} URLs "
                "of SOLANA_RPC_URL"
            )
        return self

    def source_of(self, name: str) -> str:
        """Where the setting of this name was given, as in `config.toml`; empty when it was not."""
        return self._sources.get(name, "")

    @property
    def rpc_url(self) -> str:
        """The first node."""
        return self.rpc_urls[0]

    @property
    def ws_url(self) -> str:
        """The first node's WebSocket."""
        return self.ws_urls[0]

    @property
    def rpc_budgets(self) -> tuple[int, ...]:
        """Requests per second for each of `rpc_urls`."""
        rates = self.rpc_requests_per_s
        return rates if len(rates) == len(self.rpc_urls) else rates * len(self.rpc_urls)

    @property
    def database_dsn(self) -> str | None:
        """The DSN in the clear, for the driver alone; None means the embedded server."""
        return None if self.database_url is None else self.database_url.get_secret_value()


class _Environ(EnvSettingsSource):
    """pydantic-settings' reader of environment variables, on a mapping instead of the process."""

    def __init__(self, environ: Mapping[str, str]) -> None:
        self._environ = environ
        super().__init__(Settings)

    def _load_env_vars(self) -> Mapping[str, str | None]:
        return {name: value for name, value in self._environ.items() if value.strip()}


def derive_ws_url(rpc_url: str) -> str:
    """The WebSocket URL that belongs to an RPC URL: http→ws, https→wss, and a node's own 8899→8900."""
    parts = urlsplit(rpc_url)
    location = parts.netloc
    if parts.port == 8899:
        location = location.removesuffix(":8899") + ":8900"
    scheme = "wss" if parts.scheme == "https" else "ws"
    return urlunsplit((scheme, location, parts.path, parts.query, ""))


NAMES: Final = tuple(str(field.validation_alias) for field in Settings.model_fields.values())
"""What the settings are called wherever they are given."""


def load_settings(
    environ: Mapping[str, str], *, sources: Mapping[str, str] | None = None, complaints: Sequence[str] = ()
) -> Settings:
    """Read the settings from texts by name, as in the environment; an empty one counts as not set.

    `sources` says where each was given (see engine.setting_sources), `complaints` what is wrong already.
    Raises SettingsError that names every bad setting in one line, without values that may be secret.
    """
    origins = dict(sources or {})
    values: dict[str, Any] = _Environ(environ)()
    if "SOLANA_WS_URL" not in values and "SOLANA_RPC_URL" in values:
        values["SOLANA_WS_URL"] = _derived_or_placeholder(str(values["SOLANA_RPC_URL"]))
    try:
        settings = Settings.model_validate(values)
    except ValidationError as error:
        raise SettingsError(_one_line([*complaints, *_complaints(error, origins)])) from None
    if complaints:
        raise SettingsError(_one_line(complaints))
    settings._sources = origins
    return settings


def _derived_or_placeholder(rpc_url: str) -> str:
    """A bad RPC URL is reported once, under its own name, not a second time as a bad WebSocket URL."""
    try:
        return ",".join(derive_ws_url(url) for url in may_be.urls("http", "https")(rpc_url))
    except ValueError:
        return "ws://localhost"


def _complaints(error: ValidationError, sources: Mapping[str, str]) -> Iterator[str]:
    """Each bad setting by its name, and where it was given when that is not the environment."""
    for each in error.errors(include_url=False, include_input=False):
        name = str(each["loc"][0]) if each["loc"] else ""
        if each["type"] == "missing":
            if name == "SOLANA_RPC_URL":
                yield _NO_NODE
            continue
        source = sources.get(name, ENVIRONMENT)
        where = "" if source == ENVIRONMENT else f" ({source})"
        yield f"{name}{where} {each['msg'].removeprefix('Value error, ')}".strip()


def _one_line(complaints: Sequence[str]) -> str:
    in_files = any("config.toml" in each or "(.env)" in each for each in complaints)
    remedy = "correct the files and the environment" if in_files else "correct the environment"
    if _NO_NODE in complaints:
        remedy += ", or use --sandbox, which needs none"
    return f"Bad settings: {'; '.join(complaints)}: {remedy}"
