"""Errors that an operator reads: one line that says what happened and what to do next."""

from __future__ import annotations


class OperatorError(Exception):
    """Something the operator can mend. `str()` is one line; commands end with `exit_code`.

    Subclasses and callers write the message as "what happened: what to do".
    """

    exit_code = 2


class SettingsError(OperatorError):
    """One or more settings cannot be used; the message names each of them."""


class RpcUnreachable(OperatorError):
    """No RPC node answered in time at start."""


class WrongCluster(OperatorError):
    """The RPC endpoints are of another cluster than the operator means, or of several."""


class DatabaseUnavailable(OperatorError):
    """PostgreSQL could not be reached at start, or refused us."""


class MigrationRefused(OperatorError):
    """The database holds a migration that this program does not know, or one that was edited."""


class AddressInUse(OperatorError):
    """A listening port or the engine's unix socket is taken."""


class EngineNotRunning(OperatorError):
    """No engine answers on the profile's unix socket."""


class WalletError(OperatorError):
    """The signing key cannot be read, or its file is not safe to use."""


class JournalCorrupt(OperatorError):
    """The local journal cannot be read; it is kept aside and the engine refuses to send."""
