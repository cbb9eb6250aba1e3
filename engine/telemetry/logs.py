"""The structured log: a line per event, of key=value pairs or JSON, on stderr, clean and without credentials.

Code logs through `structlog.get_logger()`; the libraries' own logging goes through the same processors. Where
stderr is the systemd journal, each line begins with its priority as journald reads it.
"""

from __future__ import annotations

import contextlib
import io
import logging
import os
import sys
import traceback
from collections.abc import MutableMapping
from pathlib import Path
from typing import Any, Final, TextIO, cast

import structlog
from structlog.typing import ExcInfo

from engine.api.clean import clean
from engine.telemetry.redaction import without_credentials

_LONGEST_VALUE: Final = 500
_FRAMES_SHOWN: Final = 4
_ORDER: Final = ("time", "level", "severity", "event")
_PRIORITIES: Final = {"debug": 7, "info": 6, "warning": 4, "error": 3, "exception": 3, "critical": 2}
_ERRORS: Final = {"error", "exception", "critical"}


class _LossyStream(io.TextIOBase):
    """A full disk or a closed pipe costs log lines; it must never cost a liquidation."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def write(self, text: str) -> int:
        with contextlib.suppress(OSError, ValueError):
            self._stream.write(text)
        return len(text)

    def flush(self) -> None:
        with contextlib.suppress(OSError, ValueError):
            self._stream.flush()


def _stderr() -> TextIO:
    """Stderr without a buffer: what Python keeps for a full disk ends the program with status 120."""
    if sys.stderr is None:  # closed before the program began
        return Path(os.devnull).open("w", encoding="utf-8")
    try:
        raw = io.FileIO(sys.stderr.fileno(), "w", closefd=False)
    except (OSError, ValueError):
        return sys.stderr
    return io.TextIOWrapper(raw, encoding="utf-8", errors="backslashreplace", write_through=True)


def configure_logging(level: str, stream: TextIO | None = None, *, as_json: bool = False) -> None:
    """Log events of `level` (debug, info, warning, error) and above to `stream`, by default stderr.

    May be called again, for another level. Libraries are heard from warnings on: at lower levels they log
    whole requests.
    """
    threshold = getattr(logging, level.upper())
    # Both loggers ask for a TextIO and use no more of it than write and flush.
    stream = stream or _stderr()
    target = cast(TextIO, _LossyStream(stream))
    render = _Line(as_json=as_json, with_priority=is_journal(stream))
    shared: list[structlog.typing.Processor] = [
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True, key="time"),
    ]
    finish: list[structlog.typing.Processor] = [
        structlog.stdlib.ProcessorFormatter.remove_processors_meta,
        _name_exception,
        _clean_values,
        render,
    ]
    structlog.configure(
        processors=[*shared, *finish[1:]],
        wrapper_class=structlog.make_filtering_bound_logger(threshold),
        logger_factory=structlog.WriteLoggerFactory(target),
        cache_logger_on_first_use=False,
    )
    handler = logging.StreamHandler(target)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=[*shared, structlog.stdlib.ExtraAdder()],
            processors=finish,
        )
    )
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(max(threshold, logging.WARNING))


def is_journal(stream: TextIO) -> bool:
    """Whether what is written to `stream` goes to journald: it names the socket's device and inode."""
    device, _, inode = os.environ.get("JOURNAL_STREAM", "").partition(":")
    try:
        status = os.fstat(stream.fileno())
    except (OSError, ValueError):
        return False
    return (device, inode) == (str(status.st_dev), str(status.st_ino))


class _Line:
    """An event as the line that is written; errors also carry the word that operators search for."""

    def __init__(self, *, as_json: bool, with_priority: bool) -> None:
        self._with_priority = with_priority
        self._as_json = as_json
        self._logfmt = structlog.processors.LogfmtRenderer(
            key_order=_ORDER, drop_missing=True, bool_as_flag=False
        )
        self._json = structlog.processors.JSONRenderer()

    def __call__(self, logger: object, method: str, event: MutableMapping[str, Any]) -> str:
        level = str(event.get("level", "info"))
        if level in _ERRORS:
            event["severity"] = "ERROR"
        if self._as_json:
            ordered = {name: event.pop(name) for name in _ORDER if name in event}
            line = str(self._json(logger, method, {**ordered, **event}))
        else:
            line = str(self._logfmt(logger, method, event))
        return f"<{_PRIORITIES.get(level, 6)}>{line}" if self._with_priority else line


def _clean_values(logger: object, method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """Texts may come from the chain or from a node; numbers and None pass as they are."""
    del logger, method
    for key, value in event.items():
        if value is None or isinstance(value, bool | int | float):
            continue
        event[key] = clean(without_credentials(str(value)), _LONGEST_VALUE)
    return event


def _name_exception(logger: object, method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """An exception as its class, its text and its innermost frames, in one value; never its locals."""
    del logger, method
    error = _exception_of(event.pop("exc_info", None))
    if error is not None:
        frames = traceback.extract_tb(error.__traceback__)[-_FRAMES_SHOWN:]
        where = " < ".join(f"{Path(frame.filename).name}:{frame.lineno}" for frame in reversed(frames))
        event["error"] = f"{type(error).__name__}: {error}"
        event["at"] = where
    return event


def _exception_of(exc_info: bool | BaseException | ExcInfo | None) -> BaseException | None:
    if exc_info is True:
        return sys.exc_info()[1]
    if isinstance(exc_info, BaseException):
        return exc_info
    return exc_info[1] if isinstance(exc_info, tuple) else None
