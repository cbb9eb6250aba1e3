"""Reading trouble: patches of settings, from a request, from --trouble arguments, from a file."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from pathlib import Path

from pydantic import ValidationError

from engine.errors import SettingsError
from engine.sandbox.trouble.settings import Trouble

MAX_FILE_BYTES = 1 << 20
_LONGEST_SHOWN = 120
# These are one value each: a patch replaces them, and does not mix the old and the new.
_WHOLE = {"latency", "fail_error"}
_LATENCY_KINDS = {"fixed", "uniform", "lognormal"}


class TroubleRefused(SettingsError):
    """A description of trouble that cannot be used; the message names the field."""


def patched(trouble: Trouble, patch: Mapping[str, object]) -> Trouble:
    """The settings with some of them replaced; null puts a setting back to its default.

    Raises TroubleRefused, naming each wrong field; `trouble` itself never changes.
    """
    try:
        return Trouble.model_validate(_merged(trouble.model_dump(), patch))
    except ValidationError as error:
        faults = [f"{_path(each['loc'])}: {_plain(each['msg'])}" for each in error.errors()]
        raise TroubleRefused("; ".join(faults[:5])) from None


def trouble_of(arguments: Iterable[str]) -> Trouble:
    """The settings of some --trouble arguments, each a JSON file or `path.to.setting=value`; later ones win.

    Raises TroubleRefused with one line that names the argument.
    """
    trouble = Trouble()
    for argument in arguments:
        try:
            trouble = patched(trouble, _patch(argument))
        except TroubleRefused as refusal:
            raise TroubleRefused(f"--trouble {_plain(argument)}: {refusal}: see docs/trouble.md") from None
    return trouble


def _patch(argument: str) -> Mapping[str, object]:
    file = Path(argument)
    path, separator, value = argument.partition("=")
    if not separator or file.is_file():
        return _file(file)
    patch: object = _value(value)
    for name in reversed(path.split(".")):
        patch = {name.strip(): patch}
    assert isinstance(patch, dict)
    return patch


def _file(file: Path) -> Mapping[str, object]:
    try:
        with file.open("rb") as opened:
            content = opened.read(MAX_FILE_BYTES + 1)
    except OSError as error:
        raise TroubleRefused(error.strerror or "cannot be read") from None
    if len(content) > MAX_FILE_BYTES:
        raise TroubleRefused(f"is longer than {MAX_FILE_BYTES} bytes")
    try:
        patch = json.loads(content)
    except (ValueError, RecursionError) as error:
        raise TroubleRefused(f"is no JSON ({_plain(str(error))})") from None
    if not isinstance(patch, dict):
        raise TroubleRefused("is no JSON object")
    return patch


def _value(text: str) -> object:
    """A value as JSON, or the text itself where it is none: words need no quotes."""
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return text


def _merged(old: Mapping[str, object], patch: Mapping[str, object]) -> dict[str, object]:
    merged = dict(old)
    for name, value in patch.items():
        before = merged.get(name)
        if value is None:
            merged.pop(name, None)
        elif isinstance(value, dict) and isinstance(before, dict) and name not in _WHOLE:
            merged[name] = _merged(before, value)
        else:
            merged[name] = value
    return merged


def _path(location: tuple[int | str, ...]) -> str:
    """A field's path as one writes it, without what the validation adds for itself."""
    names: list[str] = []
    for each in location:
        if each == "[key]" or (each in _LATENCY_KINDS and names[-1:] == ["latency"]):
            continue
        names.append(_plain(str(each)))
    return ".".join(names) or "trouble"


def _plain(text: str) -> str:
    """Text that may come from outside, on one printable line of moderate length."""
    text = ascii(text.removeprefix("Value error, "))[1:-1]
    return text if len(text) <= _LONGEST_SHOWN else text[: _LONGEST_SHOWN - 1] + "…"
