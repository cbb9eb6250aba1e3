"""What a crashed console leaves: one line on the terminal, a traceback without variables in a file."""

from __future__ import annotations

import os
import tempfile
import time
import traceback
from pathlib import Path

from textual.worker import WorkerFailed

from engine.telemetry.redaction import without_credentials

EXIT_CODE = 1


def report(error: BaseException, folder: Path) -> str:
    """Write the traceback to a new file of mode 0600 in `folder` and return the line that names it."""
    if isinstance(error, WorkerFailed):
        error = error.error  # Textual's wrapper has no traceback of its own
    trace = traceback.TracebackException.from_exception(error, capture_locals=False)
    text = without_credentials("".join(trace.format()))
    summary = f"The console crashed ({type(error).__name__}); the engine runs on"
    try:
        path = _write(text, folder)
    except OSError:
        try:
            path = _write(text, Path(tempfile.gettempdir()))
        except OSError as refused:
            return f"{summary}. No traceback could be written: {refused}"
    return f"{summary}. Traceback: {path}"


def _write(text: str, folder: Path) -> Path:
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    path = folder / f"console-crash-{time.time_ns()}.txt"
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w") as file:
        file.write(text)
    return path
