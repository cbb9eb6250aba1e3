"""SIGHUP: reads the settings again, takes over what can change in a running engine, and names what cannot."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TYPE_CHECKING, Final

import structlog

from engine.cli.service_manager import notify, notify_reloading
from engine.errors import OperatorError
from engine.settings import Settings
from engine.telemetry.channels import channels_of, limits_of
from engine.telemetry.logs import configure_logging

if TYPE_CHECKING:
    from engine.telemetry.notices import Notices

RELOADED: Final = frozenset(
    {
        "log_level",
        "log_format",
        "alert_urls",
        "alert_severity",
        "alert_group_s",
        "alert_messages_per_hour",
    }
)
"""The settings that SIGHUP changes; every other one holds from the start to the end of an engine."""

log = structlog.get_logger("engine")


class Reloader:
    """The settings in force of one engine. `read` reads them again; it may raise OperatorError."""

    def __init__(
        self, settings: Settings, read: Callable[[], Settings], notices: Callable[[], Notices]
    ) -> None:
        self._settings = settings
        self._read = read
        self._notices = notices
        self._asked = asyncio.Event()

    def ask(self) -> None:
        """What the signal does."""
        self._asked.set()

    async def run(self) -> None:
        """Reload whenever that is asked for; ends only by cancellation."""
        while True:
            await self._asked.wait()
            self._asked.clear()
            notify_reloading()
            try:
                await self.reload()
            except Exception:
                # Whatever the files hold, the next signal is heard, and the manager waits for no READY.
                log.exception("settings not reloaded")
            notify("READY=1")

    async def reload(self) -> None:
        """Once. Settings that cannot be used change nothing, and say why."""
        try:
            fresh = await asyncio.to_thread(self._read)
            channels = await asyncio.to_thread(channels_of, fresh)
        except OperatorError as error:
            log.error("settings not reloaded", reason=str(error))
            return
        changed = [
            name for name in Settings.model_fields if getattr(fresh, name) != getattr(self._settings, name)
        ]
        taken = [name for name in changed if name in RELOADED]
        configure_logging(fresh.log_level, as_json=fresh.log_format == "json")
        if any(name.startswith("alert_") for name in taken):
            self._notices().change(channels, limits_of(fresh))
        self._settings = self._settings.model_copy(update={name: getattr(fresh, name) for name in taken})
        waiting = [name for name in changed if name not in RELOADED]
        log.info(
            "settings reloaded",
            changed=_names(taken) or "nothing",
            needs_restart=_names(waiting) or "nothing",
        )


def _names(fields: list[str]) -> str:
    """As the environment names them."""
    return " ".join(str(Settings.model_fields[name].validation_alias) for name in fields)
