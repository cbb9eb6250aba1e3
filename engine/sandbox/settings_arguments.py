"""Settings given on the command line: JSON files and single values as key.path=value; the last one wins."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from engine.api.clean import clean
from engine.errors import SettingsError

MAX_FILE_BYTES = 1_000_000
_SHOWN = 200
_SHOWN_FAULTS = 2_000

Model = TypeVar("Model", bound=BaseModel)


class SettingsArgumentError(SettingsError):
    """A settings argument that cannot be used; the message names its flag and the key that is wrong."""


def parse_settings(flag: str, arguments: Iterable[str], model: type[Model]) -> Model:
    """The settings that all arguments of a flag make together; raises SettingsArgumentError.

    An argument with "=" whose left side is a dotted path of names sets one value, in JSON or, failing that,
    as text; any other is the path of a JSON file.
    """
    merged: dict[str, Any] = {}
    for argument in arguments:
        path, separator, value = argument.partition("=")
        if separator and _is_dotted(path) and not _is_file(argument):
            _set(merged, flag, path.split("."), _value(value))
        else:
            _merge(merged, _file(flag, Path(argument)))
    try:
        return model.model_validate_json(json.dumps(merged))
    except ValidationError as error:
        raise SettingsArgumentError(complaint(flag, error)) from None


def _is_dotted(path: str) -> bool:
    """Whether it can be the path of a setting: names between dots, of which some are symbols as SOL/USD."""
    return all(part.replace("/", "").isidentifier() for part in path.split("."))


def _is_file(argument: str) -> bool:
    try:
        return Path(argument).is_file()
    except OSError:  # longer than the name of a file can be
        return False


def _value(text: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return text


def _file(flag: str, path: Path) -> dict[str, Any]:
    shown = clean(str(path), _SHOWN)
    try:
        with path.open(encoding="utf-8") as file:
            text = file.read(MAX_FILE_BYTES + 1)
    except OSError as error:
        raise SettingsArgumentError(
            f"{flag} {shown} is neither KEY=VALUE nor a file that can be read ({error.strerror}): give one"
        ) from error
    except (UnicodeDecodeError, ValueError) as error:
        raise SettingsArgumentError(f"{flag} {shown} is not a text file: give a JSON file") from error
    if len(text) > MAX_FILE_BYTES:
        raise SettingsArgumentError(
            f"{flag} {shown} has more than {MAX_FILE_BYTES} bytes: give a smaller file"
        )
    try:
        settings = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise SettingsArgumentError(f"{flag} {shown} is not JSON ({error}): correct it") from None
    if not isinstance(settings, dict):
        raise SettingsArgumentError(f"{flag} {shown} holds no JSON object: write its settings into {{}}")
    return settings


def _set(merged: dict[str, Any], flag: str, path: list[str], value: Any) -> None:
    *sections, name = path
    for section in sections:
        merged = merged.setdefault(section, {})
        if not isinstance(merged, dict):
            shown = clean(".".join(path), _SHOWN)
            raise SettingsArgumentError(f"{flag} {shown}: {section} is a value and has no parts")
    merged[name] = value


def _merge(merged: dict[str, Any], added: dict[str, Any]) -> None:
    for name, value in added.items():
        if isinstance(value, dict) and isinstance(merged.get(name), dict):
            _merge(merged[name], value)
        else:
            merged[name] = value


def complaint(flag: str, error: ValidationError) -> str:
    """Every fault in one line, each with the path of its setting; `flag` is what the settings came by."""
    faults = []
    for fault in error.errors(include_url=False, include_context=False):
        where = ".".join(str(part) for part in fault["loc"]) or "settings"
        given = "" if isinstance(fault["input"], dict | list) else f" {fault['input']!r}"
        what = fault["msg"].removeprefix("Value error, ")
        faults.append(f"{clean(f'{flag} {where}{given}', _SHOWN)}: {what[:1].lower()}{what[1:]}")
    return clean("; ".join(faults), _SHOWN_FAULTS)
