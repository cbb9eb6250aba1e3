"""Where a profile keeps its state and its socket, by the XDG conventions; directories are private to us."""

from __future__ import annotations

import os
import tempfile
from dataclasses import dataclass
from pathlib import Path

from engine.errors import SettingsError

DEFAULT_PROFILE = "default"
DRY_RUN_SUFFIX = "-dry-run"
LONGEST_SOCKET_PATH = 107  # sun_path, less its final zero


@dataclass(frozen=True, slots=True)
class ProfilePaths:
    """The files of one profile. Creating the value touches nothing; `prepare` makes the directories."""

    profile: str
    state: Path
    runtime: Path

    @property
    def socket(self) -> Path:
        """The engine's unix socket."""
        return self.runtime / "engine.sock"

    @property
    def standing_stop(self) -> Path:
        """Exists while a stop was ordered with no engine running; the next start obeys it."""
        return self.state / "STOP"

    @property
    def stop_acknowledged(self) -> Path:
        """What the engine answered to the stop that was ordered by `standing_stop`, in words."""
        return self.state / "STOP.acknowledged"

    @property
    def stop_token(self) -> Path:
        """What a stop over loopback TCP must carry; new at each start of the engine."""
        return self.state / "stop.token"

    @property
    def tokens(self) -> Path:
        """The hashes of the tokens with which programs may use the API, with their scopes."""
        return self.state / "tokens.json"

    @property
    def sandbox_descriptor(self) -> Path:
        """The JSON object of the sandbox that this profile's console started."""
        return self.runtime / "sandbox.json"

    @property
    def engine_log(self) -> Path:
        """The log of an engine that was started by a console."""
        return self.state / "engine.log"

    def book_of(self, genesis_hash: str, wallet: str, program_id: str) -> Path:
        """The state of one wallet on one program of one cluster: gate, journal, lock.

        All profiles share it: two engines with one wallet are one too many, whatever their profiles, and a
        stop under one profile is a stop under the other. A dry run never acts: it has a state of its own.
        """
        kind = "-dry-run" if self.is_dry_run else ""
        name = f"{genesis_hash[:12]}-{wallet[:12]}-{program_id[:12]}{kind}"
        return self.state.parent / ".books" / name

    @property
    def is_dry_run(self) -> bool:
        """Whether the profile's engine sends nothing. Its name alone says so: no flag can be forgotten."""
        return self.profile.endswith(DRY_RUN_SUFFIX)

    def of_dry_run(self) -> ProfilePaths:
        """The paths of this profile's dry run, which is a profile of its own beside it: NAME-dry-run."""
        if self.is_dry_run:
            return self
        name = f"{self.profile}{DRY_RUN_SUFFIX}"
        return ProfilePaths(name, self.state.parent / name, self.runtime.parent / name)

    def prepare(self) -> None:
        """Make the directories, readable by this user alone.

        Raises SettingsError when the socket's path is longer than a unix socket's may be.
        """
        length = len(os.fsencode(self.socket))
        if length > LONGEST_SOCKET_PATH:
            raise SettingsError(
                f"The path of the engine's socket, {self.socket}, has {length} bytes and may have "
                f"{LONGEST_SOCKET_PATH}: set XDG_RUNTIME_DIR to a shorter one, or choose a shorter --profile"
            )
        for directory in (self.state, self.runtime):
            directory.mkdir(parents=True, exist_ok=True, mode=0o700)


def profile_paths(profile: str = DEFAULT_PROFILE) -> ProfilePaths:
    """The paths of a profile: $XDG_STATE_HOME and $XDG_RUNTIME_DIR, or their usual places."""
    state_home = Path(os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state")
    runtime_home = os.environ.get("XDG_RUNTIME_DIR")
    runtime = (
        Path(runtime_home) / "liquidation-engine"
        if runtime_home
        else Path(tempfile.gettempdir()) / f"liquidation-engine-{os.getuid()}"
    )
    return ProfilePaths(profile, state_home / "liquidation-engine" / profile, runtime / profile)
