"""Changing trouble: a patch of some settings, as a client sends it, on the settings in force."""

from __future__ import annotations

import json
from collections.abc import Mapping

from pydantic import ValidationError

from engine.sandbox.settings_arguments import SettingsArgumentError, complaint
from engine.sandbox.trouble.settings import Trouble

# These are one value each: a patch replaces them, and does not mix the old and the new.
_WHOLE = {"latency", "fail_error"}


def patched(source: str, trouble: Trouble, patch: Mapping[str, object]) -> Trouble:
    """The settings with some of them replaced; null puts a setting back to its default.

    Raises SettingsArgumentError, naming `source` and each wrong setting; `trouble` itself never changes.
    """
    try:
        return Trouble.model_validate_json(json.dumps(_merged(trouble.model_dump(mode="json"), patch)))
    except ValidationError as error:
        raise SettingsArgumentError(complaint(source, error)) from None


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
