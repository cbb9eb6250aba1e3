"""The structured log: one line of key=value pairs per event, on stderr, clean and without credentials.

Code logs through `structlog.get_logger()`; the libraries' own logging goes through the same processors.
"""

from __future__ import annotations

import contextlib
import io
import logging
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


def configure_logging(level: str, stream: TextIO | None = None) -> None:
    """Log events of `level` (debug, info, warning, error) and above to `stream`, by default stderr.

    Libraries are heard from warnings on: at lower levels they log whole requests.
    """
    threshold = getattr(logging, level.upper())
    # Both loggers ask for a TextIO and use no more of it than write and flush.
    target = cast(TextIO, _LossyStream(stream or sys.stderr))
    shared: list[structlog.typing.Processor] = [
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True, key="time"),
    ]
    finish: list[structlog.typing.Processor] = [
        structlog.stdlib.ProcessorFormatter.remove_processors_meta,
        _name_exception,
        _clean_values,
        structlog.processors.LogfmtRenderer(key_order=["time", "level", "event"], bool_as_flag=False),
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
