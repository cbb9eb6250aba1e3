"""Every way in which a command can fail, as one line on stderr and an exit code.

0 done, 1 refused or found wrong, 2 bad input or a part that is not there, 130 interrupted.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import sys
import tempfile
import time
import traceback
from collections.abc import Coroutine, Iterator
from pathlib import Path
from typing import Any, Final, NoReturn, TextIO, TypeVar

from engine.api.clean import clean
from engine.errors import OperatorError
from engine.paths import profile_paths
from engine.telemetry.redaction import without_credentials

T = TypeVar("T")

PROGRAM: Final = "liquidation-engine"
EXIT_REFUSED: Final = 1
EXIT_BAD_INPUT: Final = 2
EXIT_INTERRUPTED: Final = 130
_LONGEST_LINE: Final = 2000


class BadUsage(OperatorError):
    """The command line cannot be followed; nothing was changed."""


def say(text: str) -> None:
    """One line on stderr, in the program's name."""
    with contextlib.suppress(OSError, ValueError):
        print(f"{PROGRAM}: {clean(without_credentials(text), _LONGEST_LINE)}", file=sys.stderr, flush=True)


def fail(text: str, exit_code: int = EXIT_BAD_INPUT) -> NoReturn:
    """Say why and end the process."""
    say(text)
    sys.exit(exit_code)


@contextlib.contextmanager
def failing_in_one_line() -> Iterator[None]:
    """Turn whatever escapes into one line and an exit code; a fault of ours leaves a report in a file."""
    try:
        yield
        sys.stdout.flush()
    except OperatorError as error:
        fail(str(error), error.exit_code)
    except (KeyboardInterrupt, asyncio.CancelledError):
        fail("Interrupted", EXIT_INTERRUPTED)
    except BrokenPipeError:
        sys.exit(EXIT_REFUSED)  # whoever read us went away
    except Exception as error:
        known = _operator_error_in(error)
        if known is not None:
            fail(str(known), known.exit_code)
        fail(_report(error), EXIT_REFUSED)
    finally:
        for stream in (sys.stdout, sys.stderr):
            _let_go(stream)


def _let_go(stream: TextIO | None) -> None:
    """Drop what cannot be written any more: for its sake Python would end the process with status 120."""
    if stream is None:  # closed before the program began
        return
    try:
        stream.flush()
    except (OSError, ValueError):
        with contextlib.suppress(OSError, ValueError):
            os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())


def run_async(work: Coroutine[Any, Any, T]) -> T:
    """Run a command's coroutine on an ordinary event loop."""
    return asyncio.run(work)


def _operator_error_in(error: BaseException) -> OperatorError | None:
    """The operator's error in a group of several tasks' errors, when that is all there is in it."""
    if isinstance(error, OperatorError):
        return error
    if not isinstance(error, BaseExceptionGroup):
        return None
    known = [_operator_error_in(each) for each in error.exceptions]
    return known[0] if all(known) else None


def _report(error: BaseException) -> str:
    """Write the traceback, without local variables: they may hold a key. Returns the line to say."""
    what = f"{type(error).__name__}: {error}"
    text = without_credentials("".join(traceback.format_exception(error)))
    name = f"crash-{time.strftime('%Y%m%dT%H%M%S')}-{os.getpid()}.txt"
    for folder in (profile_paths().state.parent, Path(tempfile.gettempdir())):
        try:
            folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            descriptor = os.open(folder / name, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        except OSError:
            continue
        with os.fdopen(descriptor, "w") as report:
            report.write(text)
        return f"Unexpected error ({what}): please report it with the file {folder / name}"
    return f"Unexpected error ({what}): no report could be written, the disk refuses"
