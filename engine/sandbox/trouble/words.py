"""Names in the settings of trouble that only the cluster knows: a misspelt one would never do anything."""

from __future__ import annotations

from solders.transaction_status import InstructionErrorFieldless, TransactionErrorFieldless

from engine.sandbox.cluster.rpc.method_table import PARAMETERS
from engine.sandbox.settings_arguments import SettingsArgumentError
from engine.sandbox.trouble.settings import Trouble

_WITH_DETAIL = {"DuplicateInstruction", "InsufficientFundsForRent", "ProgramExecutionTemporarilyRestricted"}


def refuse_unknown_words(source: str, trouble: Trouble) -> None:
    """Raise SettingsArgumentError, naming `source` and the setting, for a method or error that nobody has."""
    for name in trouble.http.methods:
        if name not in PARAMETERS:
            raise SettingsArgumentError(f"{source}: http.methods.{name}: no method of the node")
    if not _is_error(trouble.landing.fail_error):
        raise SettingsArgumentError(f"{source}: landing.fail_error: no error of a transaction has this name")


def _is_error(error: object) -> bool:
    if isinstance(error, str):
        return hasattr(TransactionErrorFieldless, error)
    if not isinstance(error, dict):
        return False
    ((name, detail),) = error.items()
    if name == "InstructionError":
        fault = detail[1]
        return isinstance(fault, dict) or hasattr(InstructionErrorFieldless, fault)
    return name in _WITH_DETAIL
