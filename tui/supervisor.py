"""Brings the engine up, and its sandbox, when it does not run; and again when it ends unasked."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Callable, Sequence
from typing import Protocol

from textual.message import Message

from engine.api import launcher
from engine.errors import OperatorError
from tui.messages import LaunchFailed, LaunchProgress
from tui.plan import LaunchPlan

BACKOFF_S = (0.0, 1.0, 2.0, 4.0, 8.0)  # one start for each; then the operator decides
STABLE_S = 60.0

Post = Callable[[Message], object]
Report = Callable[[str], None]


class EngineHost(Protocol):
    """What can bring an engine up."""

    async def bring_up(self, report: Report) -> None:
        """Return when the engine answers; report each step in words. Raises OperatorError."""
        ...

    def ended_on_purpose(self) -> bool:
        """Whether the engine ended cleanly, so that it should stay ended."""
        ...

    async def take_down_surroundings(self) -> None:
        """End what was started for the engine (a sandbox), after the engine itself has ended."""
        ...


class LaunchedHost:
    """Brings up the processes of a LaunchPlan."""

    def __init__(self, plan: LaunchPlan) -> None:
        self._plan = plan
        self._engine: launcher.EngineProcess | None = None

    async def bring_up(self, report: Report) -> None:
        """Start what does not run yet."""
        plan = self._plan
        environment = dict(os.environ)
        if plan.sandbox_arguments is not None:
            report("starting the sandbox cluster…")
            sandbox = await launcher.ensure_sandbox(plan.paths, plan.sandbox_arguments)
            environment |= launcher.engine_environment(sandbox)
        report("starting the engine…")
        self._engine = await launcher.ensure_engine(plan.paths, environment, plan.engine_arguments)

    def ended_on_purpose(self) -> bool:
        """Exit status 0 of an engine that was started here; of another one nothing is known."""
        process = self._engine.process if self._engine is not None else None
        return process is not None and process.poll() == 0

    async def take_down_surroundings(self) -> None:
        """End the plan's sandbox."""
        if self._plan.sandbox_arguments is not None:
            await launcher.stop_sandbox(self._plan.paths)


class Supervisor:
    """Owns the decision to start. The app tells it what the feed hears; it never looks by itself."""

    def __init__(self, host: EngineHost, post: Post, *, backoff_s: Sequence[float] = BACKOFF_S) -> None:
        self._host = host
        self._post = post
        self._backoff_s = tuple(backoff_s)
        self._wanted = asyncio.Event()
        self._starts_in_a_row = 0
        self._heard_since_s: float | None = None
        self._draining = False
        self._gave_up = False

    def heard(self, *, draining: bool) -> None:
        """A snapshot came."""
        now_s = time.monotonic()
        if self._heard_since_s is None:
            self._heard_since_s = now_s
        if now_s - self._heard_since_s > STABLE_S:
            self._starts_in_a_row = 0
        self._draining = draining

    def lost(self) -> None:
        """The connection ended. Starts the engine again unless it ended on purpose."""
        if self._heard_since_s is None or self._gave_up:
            return
        self._heard_since_s = None
        if self._draining or self._host.ended_on_purpose():
            self._gave_up = True
            self._post(LaunchFailed("the engine was shut down: ctrl+p, “Start the engine” starts it again"))
            return
        self._wanted.set()

    def start_again(self) -> None:
        """The operator wants another start, whatever happened before."""
        self._starts_in_a_row = 0
        self._gave_up = False
        self._wanted.set()

    async def run(self) -> None:
        """Bring the engine up now, and again whenever it is wanted, until cancelled."""
        await self._bring_up(again=False)
        while True:
            await self._wanted.wait()
            self._wanted.clear()
            await self._bring_up(again=True)

    async def _bring_up(self, *, again: bool) -> None:
        reason = "the engine ended by itself"
        while self._starts_in_a_row < len(self._backoff_s):
            wait_s = self._backoff_s[self._starts_in_a_row]
            self._starts_in_a_row += 1
            prefix = f"start {self._starts_in_a_row} of {len(self._backoff_s)}: " if again else ""
            if wait_s:
                self._post(LaunchProgress(f"{prefix}{reason}, waiting {wait_s:.0f} s"))
                await asyncio.sleep(wait_s)
            try:
                await self._host.bring_up(lambda step, prefix=prefix: self._tell(prefix + step))  # type: ignore[misc]
            except OperatorError as error:
                reason = str(error)
                if not again:
                    break
            else:
                self._post(LaunchProgress("connecting to the engine…"))
                return
        self._gave_up = True
        tries = f"no more starts after {self._starts_in_a_row} in a row: " if again else ""
        self._post(LaunchFailed(f"{tries}{reason}"))

    def _tell(self, step: str) -> None:
        self._post(LaunchProgress(step))
