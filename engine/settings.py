"""Every setting of the engine: its environment variable, its bounds, its default.

Values come from an environment mapping and nowhere else, and are frozen once read. Units are in the names.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import Annotated, Any, Final, Self
from urllib.parse import urlsplit, urlunsplit

from pydantic import BeforeValidator, Field, InstanceOf, SecretStr, ValidationError, model_validator
from pydantic_settings import (
    BaseSettings,
    EnvSettingsSource,
    NoDecode,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
)
from solders.hash import Hash, ParseHashError
from solders.pubkey import Pubkey

from engine.alert_settings import parse_alert_urls, parse_severity
from engine.errors import SettingsError
from engine.protocol.addresses import PROGRAM_ID
from engine.symbol_settings import SymbolSettings, default_symbols, parse_symbols

LAMPORTS_PER_SOL: Final = 1_000_000_000
MAX_COMPUTE_UNITS: Final = 1_400_000  # the runtime's own limit per transaction
MOST_ENDPOINTS: Final = 8
REQUESTS_PER_S: Final = (1, 100_000)
LOG_LEVELS: Final = ("debug", "info", "warning", "error")
EVENT_LOOPS: Final = ("uvloop", "asyncio")
SWITCH: Final = ("off", "on")
_SHOWN_CHARACTERS: Final = 40


def _shown(value: object) -> str:
    """A bad value as an error message may show it: printable, short, quoted."""
    text = ascii(value)
    return text if len(text) <= _SHOWN_CHARACTERS else text[: _SHOWN_CHARACTERS - 1] + "…'"


def _whole(low: int, high: int) -> BeforeValidator:
    """A whole number from `low` to `high`."""

    return BeforeValidator(lambda value: _whole_number(value, low, high))


def _whole_number(value: object, low: int, high: int) -> int:
    text = str(value).strip()
    digits = text.removeprefix("-")
    if len(digits) < 20 and digits.isascii() and digits.isdigit() and low <= int(text) <= high:
        return int(text)
    raise ValueError(f"must be a whole number from {low} to {high}, not {_shown(value)}")


def _scaled(low: str, high: str, scale: int) -> BeforeValidator:
    """A decimal number from `low` to `high`, kept as a whole number of 1/`scale`; no finer digits."""

    def check(value: object) -> int:
        refusal = f"must be a number from {low} to {high} in steps of 1/{scale}, not {_shown(value)}"
        try:
            number = Decimal(str(value).strip())
        except InvalidOperation:
            raise ValueError(refusal) from None
        if not number.is_finite() or not Decimal(low) <= number <= Decimal(high):
            raise ValueError(refusal)
        scaled = number * scale
        if scaled != int(scaled):
            raise ValueError(refusal)
        return int(scaled)

    return BeforeValidator(check)


def _url(*schemes: str) -> Callable[[object], str]:
    """A URL of one of these schemes with a host. The message never repeats the value: it may hold a key."""
    beginnings = " or ".join(f"{scheme}://" for scheme in schemes)
    refusal = f"must be a URL that begins with {beginnings} and names a host"

    def check(value: object) -> str:
        text = str(value).strip()
        try:
            parts = urlsplit(text)
            port = parts.port
        except ValueError:
            raise ValueError(refusal) from None
        if parts.scheme not in schemes or not parts.hostname or port == 0 or not _is_plain(text):
            raise ValueError(refusal)
        return text

    return check


def _urls(*schemes: str) -> Callable[[object], tuple[str, ...]]:
    """One or several such URLs, separated by commas, none of them twice."""
    check_one = _url(*schemes)

    def check(value: object) -> tuple[str, ...]:
        texts = value if isinstance(value, tuple) else str(value).split(",")
        urls = tuple(check_one(text) for text in texts)
        if len(urls) > MOST_ENDPOINTS:
            raise ValueError(f"must not name more than {MOST_ENDPOINTS} URLs")
        if len(set(urls)) < len(urls):
            raise ValueError("must not name a URL twice")
        return urls

    return check


def _rates(value: object) -> tuple[int, ...]:
    """One whole number for all endpoints, or one for each of them, separated by commas."""
    texts = value if isinstance(value, tuple) else str(value).split(",")
    rates = tuple(_whole_number(text, *REQUESTS_PER_S) for text in texts)
    if len(rates) > MOST_ENDPOINTS:
        raise ValueError(f"must not hold more than {MOST_ENDPOINTS} numbers")
    return rates


def _genesis_hash(value: object) -> str:
    try:
        return str(Hash.from_string(str(value).strip()))
    except ParseHashError:
        raise ValueError(f"must be a base58 hash of 32 bytes, not {_shown(value)}") from None


def _database_url(value: object) -> SecretStr:
    """A PostgreSQL DSN; the host may be missing, since a unix socket can stand in the query part."""
    text = value.get_secret_value() if isinstance(value, SecretStr) else str(value).strip()
    if text.startswith(("postgresql://", "postgres://")) and _is_plain(text):
        return SecretStr(text)
    raise ValueError("must begin with postgresql://, as in postgresql://user:password@host/database")


def _is_plain(text: str) -> bool:
    return text.isprintable() and " " not in text


def _path(value: object) -> Path:
    text = str(value)
    try:
        if text.isprintable():
            return Path(text).expanduser()
    except RuntimeError:  # ~somebody who does not exist
        pass
    raise ValueError(f"must be the path of a file, not {_shown(value)}")


def _pubkey(value: object) -> Pubkey:
    if isinstance(value, Pubkey):
        return value
    try:
        return Pubkey.from_string(str(value).strip())
    except ValueError:
        raise ValueError(f"must be a base58 address of 32 bytes, not {_shown(value)}") from None


def _bearer_key(value: object) -> SecretStr:
    """A key as it may stand in a header. The message never repeats it."""
    text = value.get_secret_value() if isinstance(value, SecretStr) else str(value).strip()
    if text.isascii() and _is_plain(text) and len(text) <= 4096:
        return SecretStr(text)
    raise ValueError("must be printable ASCII without spaces")


def _symbols(value: object) -> object:
    return parse_symbols(value.strip()) if isinstance(value, str) else value


def _log_level(value: object) -> str:
    level = str(value).strip().lower()
    if level in LOG_LEVELS:
        return level
    raise ValueError(f"must be one of {', '.join(LOG_LEVELS)}, not {_shown(value)}")


def _event_loop(value: object) -> str:
    name = str(value).strip().lower()
    if name in EVENT_LOOPS:
        return name
    raise ValueError(f"must be one of {', '.join(EVENT_LOOPS)}, not {_shown(value)}")


def _switch(value: object) -> bool:
    text = ("on" if value else "off") if isinstance(value, bool) else str(value).strip().lower()
    if text in SWITCH:
        return text == "on"
    raise ValueError(f"must be one of {', '.join(SWITCH)}, not {_shown(value)}")


class Settings(BaseSettings):
    """One engine's settings, frozen; `load_settings` is the way to make them."""

    model_config = SettingsConfigDict(
        frozen=True,
        extra="forbid",
        case_sensitive=True,
        validate_default=False,
        use_attribute_docstrings=True,  # they are what a viewer of the settings reads
    )

    rpc_urls: Annotated[tuple[str, ...], NoDecode, BeforeValidator(_urls("http", "https"))] = Field(
        validation_alias="SOLANA_RPC_URL", repr=False
    )
    """The nodes to read from and send to; of equals the first is asked first."""
    ws_urls: Annotated[tuple[str, ...], NoDecode, BeforeValidator(_urls("ws", "wss"))] = Field(
        validation_alias="SOLANA_WS_URL", repr=False
    )
    """Where to subscribe, one for each node."""
    genesis_hash: Annotated[str | None, BeforeValidator(_genesis_hash)] = Field(
        default=None, validation_alias="SOLANA_GENESIS_HASH"
    )
    """The cluster that every node must be of; None means that of the first node."""
    rpc_requests_per_s: Annotated[tuple[int, ...], NoDecode, BeforeValidator(_rates)] = Field(
        default=(500,), validation_alias="RPC_REQUESTS_PER_S"
    )
    """What each node may be asked; `rpc_budgets` has one for each URL."""
    rpc_max_behind_slots: Annotated[int, _whole(1, 150)] = Field(
        default=5, validation_alias="RPC_MAX_BEHIND_SLOTS"
    )
    """Nothing is decided by a node that is further behind the others."""
    database_url: Annotated[SecretStr | None, BeforeValidator(_database_url)] = Field(
        default=None, validation_alias="DATABASE_URL"
    )
    """PostgreSQL's DSN; None means the embedded server in the profile's state directory."""
    wallet_path: Annotated[Path | None, BeforeValidator(_path)] = Field(
        default=None, validation_alias="WALLET_PATH"
    )
    """The solana-keygen file of the signing key; None means the operating system's keyring."""
    program_id: Annotated[InstanceOf[Pubkey], BeforeValidator(_pubkey)] = Field(
        default=PROGRAM_ID, validation_alias="PROGRAM_ID"
    )
    """The program whose positions are watched."""
    server_port: Annotated[int, _whole(0, 65_535)] = Field(default=8080, validation_alias="SERVER_PORT")
    """The loopback TCP port of the API; 0 takes any free one."""
    log_level: Annotated[str, BeforeValidator(_log_level)] = Field(
        default="info", validation_alias="LOG_LEVEL"
    )
    """What goes to stderr."""
    event_loop: Annotated[str, BeforeValidator(_event_loop)] = Field(
        default="uvloop", validation_alias="EVENT_LOOP"
    )
    """What the engine's coroutines run on: uvloop, or Python's own where that is to be ruled out."""
    low_latency: Annotated[bool, BeforeValidator(_switch)] = Field(
        default=False, validation_alias="LOW_LATENCY"
    )
    """Whether an idle engine stays awake, for the price of a whole processor; see engine.vigil."""

    retry_attempts: Annotated[int, _whole(1, 20)] = Field(default=5, validation_alias="RETRY_ATTEMPTS")
    """Attempts per liquidation, the first one included."""
    retry_base_ms: Annotated[int, _whole(1, 60_000)] = Field(default=100, validation_alias="RETRY_BASE_MS")
    """Before attempt n + 1 the engine waits this times 2^(n - 1): 100, 200, 400 ms and so on."""
    workers: Annotated[int, _whole(1, 512)] = Field(default=32, validation_alias="WORKERS")
    """How many liquidations may be between signing and sending at one time."""
    at_risk_factor_milli: Annotated[int, _scaled("1.001", "10", 1000)] = Field(
        default=1300, validation_alias="AT_RISK_FACTOR"
    )
    """Positions below this health factor, in thousandths, are shown as at risk; read as a decimal number."""
    priority_fee_microlamports: Annotated[int, _whole(0, 1_000_000_000)] = Field(
        default=10_000, validation_alias="PRIORITY_FEE_MICROLAMPORTS"
    )
    """Base price of one compute unit."""
    priority_fee_cap_lamports: Annotated[int, _whole(0, 10 * LAMPORTS_PER_SOL)] = Field(
        default=1_000_000, validation_alias="PRIORITY_FEE_CAP_LAMPORTS"
    )
    """The most that one transaction may pay in priority fees."""
    fee_budget_lamports: Annotated[int, _whole(0, 10_000 * LAMPORTS_PER_SOL)] = Field(
        default=500_000_000, validation_alias="FEE_BUDGET_LAMPORTS"
    )
    """The most that one day (UTC) may cost in fees."""
    compute_unit_limit: Annotated[int, _whole(10_000, MAX_COMPUTE_UNITS)] = Field(
        default=200_000, validation_alias="COMPUTE_UNIT_LIMIT"
    )
    """Compute units asked for until the like was rehearsed or has landed."""
    rebroadcast_ms: Annotated[int, _whole(100, 60_000)] = Field(
        default=1500, validation_alias="REBROADCAST_MS"
    )
    """How often the same signed bytes are sent again until they land or expire."""
    send_to_nodes: Annotated[int, _whole(1, MOST_ENDPOINTS)] = Field(
        default=3, validation_alias="SEND_TO_NODES"
    )
    """How many nodes get the same signed bytes at once, the best first; it stays one transaction."""
    rpc_timeout_s: Annotated[int, _whole(1, 120)] = Field(default=5, validation_alias="RPC_TIMEOUT_S")
    """How long one question to a node may take."""
    insurance_fund_minimum_lamports: Annotated[int, _scaled("0", "1000000", LAMPORTS_PER_SOL)] = Field(
        default=10 * LAMPORTS_PER_SOL, validation_alias="INSURANCE_FUND_MINIMUM_SOL"
    )
    """Below this balance the fund is shown as low; read as SOL."""
    max_price_age_s: Annotated[int, _whole(1, 60)] = Field(default=60, validation_alias="MAX_PRICE_AGE_S")
    """Older prices hold their symbol; the program refuses them beyond 60 s, so it can only be less."""
    halt_price_age_s: Annotated[int, _whole(60, 86_400)] = Field(
        default=300, validation_alias="HALT_PRICE_AGE_S"
    )
    """A symbol without a price younger than this is shown as halted."""
    max_confidence_bps: Annotated[int, _whole(1, 100)] = Field(
        default=100, validation_alias="MAX_CONFIDENCE_BPS"
    )
    """A wider interval holds its symbol; the program refuses one beyond 1 %, so it can only be less."""
    max_jump_bps: Annotated[int, _whole(1, 100_000)] = Field(default=1000, validation_alias="MAX_JUMP_BPS")
    """A larger jump must be confirmed by the second source, or by two further updates."""
    max_divergence_bps: Annotated[int, _whole(1, 10_000)] = Field(
        default=100, validation_alias="MAX_DIVERGENCE_BPS"
    )
    """How far the second source may be from the chain's price."""
    symbols: Annotated[tuple[InstanceOf[SymbolSettings], ...], NoDecode, BeforeValidator(_symbols)] = Field(
        default_factory=default_symbols, validation_alias="SYMBOLS"
    )
    """What is watched, and each symbol's own limits; engine.symbol_settings reads it."""
    hermes_url: Annotated[str | None, BeforeValidator(_url("http", "https"))] = Field(
        default=None, validation_alias="HERMES_URL", repr=False
    )
    """The second source of prices; None means that there is none."""
    hermes_api_key: Annotated[SecretStr | None, BeforeValidator(_bearer_key)] = Field(
        default=None, validation_alias="HERMES_API_KEY"
    )
    """Its bearer key; it leaves only over TLS, or to this machine itself."""

    alert_urls: Annotated[tuple[SecretStr, ...], NoDecode, BeforeValidator(parse_alert_urls)] = Field(
        default=(), validation_alias="ALERT_URLS", repr=False
    )
    """Where alerts go beside the log and the console: webhooks, and what Apprise speaks."""
    alert_severity: Annotated[str, BeforeValidator(parse_severity)] = Field(
        default="warning", validation_alias="ALERT_SEVERITY"
    )
    """The least that is sent there: info, warning or danger."""
    alert_group_s: Annotated[int, _whole(0, 300)] = Field(default=5, validation_alias="ALERT_GROUP_S")
    """What changes within this many seconds is one message."""
    alert_messages_per_hour: Annotated[int, _whole(1, 1000)] = Field(
        default=20, validation_alias="ALERT_MESSAGES_PER_HOUR"
    )
    """To each channel; for a danger one a minute is sent beyond it."""

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
    def _one_rate_for_each_node(self) -> Self:
        if len(self.rpc_requests_per_s) not in (1, len(self.rpc_urls)):
            raise ValueError(
                f"RPC_REQUESTS_PER_S must hold one number, or one for each of the {len(self.rpc_urls)} URLs "
                "of SOLANA_RPC_URL"
            )
        return self

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


def load_settings(environ: Mapping[str, str]) -> Settings:
    """Read the settings from environment variables; an empty variable counts as not set.

    Raises SettingsError that names every bad setting in one line, without values that may be secret.
    """
    values: dict[str, Any] = _Environ(environ)()
    if "SOLANA_WS_URL" not in values and "SOLANA_RPC_URL" in values:
        values["SOLANA_WS_URL"] = _derived_or_placeholder(str(values["SOLANA_RPC_URL"]))
    try:
        return Settings.model_validate(values)
    except ValidationError as error:
        raise SettingsError(_one_line(error)) from None


def _derived_or_placeholder(rpc_url: str) -> str:
    """A bad RPC URL is reported once, under its own name, not a second time as a bad WebSocket URL."""
    try:
        return ",".join(derive_ws_url(url) for url in _urls("http", "https")(rpc_url))
    except ValueError:
        return "ws://localhost"


def _one_line(error: ValidationError) -> str:
    complaints = []
    for each in error.errors(include_url=False, include_input=False):
        name = str(each["loc"][0]) if each["loc"] else ""
        if each["type"] == "missing":
            if name == "SOLANA_RPC_URL":
                complaints.append("SOLANA_RPC_URL is not set (your node's URL)")
            continue
        complaints.append(f"{name} {each['msg'].removeprefix('Value error, ')}".strip())
    remedy = "correct the environment"
    if any(complaint.startswith("SOLANA_RPC_URL is not set") for complaint in complaints):
        remedy += ", or use --sandbox, which needs none"
    return f"Bad settings: {'; '.join(complaints)}: {remedy}"
