"""The settings in force as viewers see them: the value, where it came from, what it does; secrets masked."""

from __future__ import annotations

from pydantic import SecretStr
from pydantic.fields import FieldInfo

from engine.api import wire
from engine.api.clean import clean
from engine.setting_values import LAMPORTS_PER_SOL
from engine.settings import ENVIRONMENT, Settings, derive_ws_url
from engine.telemetry.redaction import without_credentials

MASK = "***"
VALUE_LIMIT = 500


def settings_page(settings: Settings) -> wire.SettingsPage:
    """One row a setting, by the names and in the units in which they are given."""
    return wire.SettingsPage(
        rows=[
            wire.SettingRow(
                name=str(field.validation_alias),
                value=_text(name, field, settings),
                source=_source(name, settings),
                description=" ".join((field.description or "").split()),
            )
            for name, field in Settings.model_fields.items()
        ]
    )


def _source(name: str, settings: Settings) -> str:
    if name not in settings.model_fields_set:
        return "default"
    if name == "ws_urls" and settings.ws_urls == tuple(map(derive_ws_url, settings.rpc_urls)):
        return "derived from SOLANA_RPC_URL"
    return settings.source_of(str(Settings.model_fields[name].validation_alias)) or ENVIRONMENT


def _text(name: str, field: FieldInfo, settings: Settings) -> str:
    value = getattr(settings, name)
    if value is None:
        return ""
    if isinstance(value, SecretStr | bool):
        return MASK if isinstance(value, SecretStr) else ("on" if value else "off")
    if name.endswith("_milli") and isinstance(value, int):
        return f"{value / 1000:g}"
    if str(field.validation_alias).endswith("_SOL") and isinstance(value, int):
        return f"{value / LAMPORTS_PER_SOL:g}"
    if name == "symbols":
        return ", ".join(each.feed.symbol for each in settings.symbols)
    text = ",".join(map(str, value)) if isinstance(value, tuple) else str(value)
    return clean(without_credentials(text), VALUE_LIMIT)
