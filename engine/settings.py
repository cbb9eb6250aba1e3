"""Every setting of the engine: its environment variable, its bounds, its default.

Values come from an environment mapping and nowhere else, and are frozen once read. Units are in the names.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import Annotated, Any, Final
from urllib.parse import urlsplit, urlunsplit

from pydantic import BeforeValidator, Field, InstanceOf, SecretStr, ValidationError
from pydantic_settings import BaseSettings, EnvSettingsSource, PydanticBaseSettingsSource, SettingsConfigDict
from solders.pubkey import Pubkey

from engine.errors import SettingsError
from engine.protocol.addresses import PROGRAM_ID

LAMPORTS_PER_SOL: Final = 1_000_000_000
MAX_COMPUTE_UNITS: Final = 1_400_000  # the runtime's own limit per transaction
LOG_LEVELS: Final = ("debug", "info", "warning", "error")
_SHOWN_CHARACTERS: Final = 40


def _shown(value: object) -> str:
    """A bad value as an error message may show it: printable, short, quoted."""
    text = ascii(value)
    return text if len(text) <= _SHOWN_CHARACTERS else text[: _SHOWN_CHARACTERS - 1] + "…'"


def _whole(low: int, high: int) -> BeforeValidator:
    """A whole number from `low` to `high`."""

    def check(value: object) -> int:
        text = str(value).strip()
        digits = text.removeprefix("-")
        if len(digits) < 20 and digits.isascii() and digits.isdigit() and low <= int(text) <= high:
            return int(text)
        raise ValueError(f"must be a whole number from {low} to {high}, not {_shown(value)}")

    return BeforeValidator(check)


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


def _log_level(value: object) -> str:
    level = str(value).strip().lower()
    if level in LOG_LEVELS:
        return level
    raise ValueError(f"must be one of {', '.join(LOG_LEVELS)}, not {_shown(value)}")


class Settings(BaseSettings):
    """One engine's settings, frozen; `load_settings` is the way to make them."""

    model_config = SettingsConfigDict(
        frozen=True, extra="forbid", case_sensitive=True, validate_default=False
    )

    rpc_url: Annotated[str, BeforeValidator(_url("http", "https"))] = Field(
        validation_alias="SOLANA_RPC_URL", repr=False
    )
    ws_url: Annotated[str, BeforeValidator(_url("ws", "wss"))] = Field(
        validation_alias="SOLANA_WS_URL", repr=False
    )
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
    server_port: Annotated[int, _whole(0, 65_535)] = Field(default=8080, validation_alias="SERVER_PORT")
    """The loopback TCP port of the API; 0 takes any free one."""
    log_level: Annotated[str, BeforeValidator(_log_level)] = Field(
        default="info", validation_alias="LOG_LEVEL"
    )

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
    rebroadcast_ms: Annotated[int, _whole(100, 60_000)] = Field(
        default=1500, validation_alias="REBROADCAST_MS"
    )
    """How often the same signed bytes are sent again until they land or expire."""
    rpc_timeout_s: Annotated[int, _whole(1, 120)] = Field(default=5, validation_alias="RPC_TIMEOUT_S")
    insurance_fund_minimum_lamports: Annotated[int, _scaled("0", "1000000", LAMPORTS_PER_SOL)] = Field(
        default=10 * LAMPORTS_PER_SOL, validation_alias="INSURANCE_FUND_MINIMUM_SOL"
    )
    """Below this balance the fund is shown as low; read as SOL."""
    max_price_age_s: Annotated[int, _whole(1, 300)] = Field(default=60, validation_alias="MAX_PRICE_AGE_S")
    max_confidence_bps: Annotated[int, _whole(1, 10_000)] = Field(
        default=100, validation_alias="MAX_CONFIDENCE_BPS"
    )
    max_jump_bps: Annotated[int, _whole(1, 100_000)] = Field(default=1000, validation_alias="MAX_JUMP_BPS")

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
        return derive_ws_url(_url("http", "https")(rpc_url))
    except ValueError:
        return "ws://localhost"


def _one_line(error: ValidationError) -> str:
    complaints = []
    for each in error.errors(include_url=False, include_input=False):
        name = str(each["loc"][0])
        if each["type"] == "missing":
            if name == "SOLANA_RPC_URL":
                complaints.append("SOLANA_RPC_URL is not set (your node's URL)")
            continue
        complaints.append(f"{name} {each['msg'].removeprefix('Value error, ')}")
    remedy = "correct the environment"
    if any(complaint.startswith("SOLANA_RPC_URL is not set") for complaint in complaints):
        remedy += ", or use --sandbox, which needs none"
    return f"Bad settings: {'; '.join(complaints)}: {remedy}"
