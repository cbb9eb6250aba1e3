"""The engine, with an event loop that is busy for as long as a file says so: nothing runs in it meanwhile.

Run as a program; BUSY_FILE names the file.
"""

from __future__ import annotations

import asyncio
import os
import sys
import threading
import time
from pathlib import Path
from typing import Any

from engine.stopping.stop_signal import hold_signal

hold_signal()  # before the imports that start threads, as the command does

from engine import runtime  # noqa: E402
from engine.cli.main import main  # noqa: E402

BUSY = Path(os.environ["BUSY_FILE"])
serve = runtime._serve


def keep_busy() -> None:
    """Hold the loop, as a long calculation would."""
    while BUSY.exists():
        sum(range(1000))


async def serve_until_told_otherwise(*arguments: Any) -> None:
    loop = asyncio.get_running_loop()

    def watch() -> None:
        while True:
            if BUSY.exists():
                loop.call_soon_threadsafe(keep_busy)
                while BUSY.exists():
                    time.sleep(0.01)
            time.sleep(0.01)

    threading.Thread(target=watch, daemon=True).start()
    await serve(*arguments)


if __name__ == "__main__":
    runtime._serve = serve_until_told_otherwise
    main(sys.argv[1:])
