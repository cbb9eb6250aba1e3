"""An asyncio event loop whose time is the world's, and that ends where its process dies.

Nothing is waited for: when no callback is ready, time jumps to the next timer or to the next thing that
happens in the world. Callbacks run in the order in which they were asked for, threads do not exist.
"""

from __future__ import annotations

import asyncio
import heapq
import itertools
import socket
from collections.abc import Callable
from typing import Any

from sim.network import Network
from sim.timeline import Timeline

MOST_AT_ONE_INSTANT = 200_000  # callbacks without any time passing: a loop that goes round for ever


class Livelock(Exception):
    """The engine went on and on without time passing."""


class _Task(asyncio.Task[Any]):
    """Hashed by number: the order within a set of tasks must not depend on where they lie in memory."""

    def __init__(self, coroutine: Any, *, loop: VirtualLoop) -> None:
        self._number = next(loop.task_numbers)
        super().__init__(coroutine, loop=loop)

    def __hash__(self) -> int:
        return self._number


def _numbered(loop: VirtualLoop, coroutine: Any) -> asyncio.Task[Any]:
    return _Task(coroutine, loop=loop)


class VirtualLoop(asyncio.BaseEventLoop):
    """What the engine would give to a thread, `run_inline` does in the loop, after `delay_s()`."""

    def __init__(
        self,
        timeline: Timeline,
        run_inline: Callable[[Callable[[], Any]], Any],
        delay_s: Callable[[], float],
        network: Network,
    ) -> None:
        super().__init__()
        self._timeline = timeline
        self._run_inline = run_inline
        self._delay_s = delay_s
        self._network = network
        self.task_numbers = itertools.count()
        self.set_task_factory(_numbered)  # type: ignore[arg-type]
        self._at_this_instant = 0
        self.ends_at_s = float("inf")

    def time(self) -> float:
        """Seconds of the world's time."""
        return self._timeline.now_s

    def _write_to_self(self) -> None:
        """Nobody has to be woken: there are no other threads."""

    def _process_events(self, event_list: list[Any]) -> None:
        """There are no sockets."""

    def run_in_executor(self, executor: Any, func: Callable[..., Any], *args: Any) -> asyncio.Future[Any]:
        """Run it after the disk's time, in this thread."""
        done = self.create_future()
        self.call_later(self._delay_s(), self._run_for, done, lambda: func(*args))
        return done

    def _run_for(self, done: asyncio.Future[Any], work: Callable[[], Any]) -> None:
        try:
            result = self._run_inline(work)
        except Exception as error:
            if not done.done():
                done.set_exception(error)
        else:
            if not done.done():
                done.set_result(result)

    async def getaddrinfo(self, host: Any, port: Any, **_: Any) -> Any:
        """Every node has one address: its name."""
        return [(socket.AF_INET, socket.SOCK_STREAM, 0, "", (host, port))]

    async def sock_connect(self, sock: Any, address: Any) -> None:
        """To a node of the world."""
        await self._network.connect(sock, address)

    async def create_connection(self, protocol_factory: Any, *_: Any, sock: Any = None, **__: Any) -> Any:  # type: ignore[override]
        """On a line that was connected; there are no others."""
        protocol = protocol_factory()
        transport = self._network.attach(sock, protocol)
        protocol.connection_made(transport)
        return transport, protocol

    def _run_once(self) -> None:
        """Turn after turn, until somebody stops the loop: that is one turn less of Python's own for each."""
        ready = self._ready  # type: ignore[attr-defined]
        while not self._stopping:  # type: ignore[attr-defined]
            if not ready:
                self._jump()
            for _ in range(len(ready)):
                handle = ready.popleft()
                if not handle._cancelled:
                    handle._run()
                    if self._stopping:  # type: ignore[attr-defined]
                        return
            self._at_this_instant += 1
            if self._at_this_instant > MOST_AT_ONE_INSTANT:
                raise Livelock(f"{MOST_AT_ONE_INSTANT} turns at {self._timeline.now_s:.6f} s")

    def _jump(self) -> None:
        """Go on to whatever comes next: timers of the engine, or something in the world."""
        scheduled = self._scheduled  # type: ignore[attr-defined]
        while scheduled and scheduled[0]._cancelled:
            heapq.heappop(scheduled)._scheduled = False
        due_s = scheduled[0]._when if scheduled else float("inf")
        next_s = min(due_s, self._timeline.next_s)
        if next_s > self.ends_at_s:
            self._timeline.now_s = max(self._timeline.now_s, self.ends_at_s)
            self.stop()
            return
        if next_s > self._timeline.now_s:
            self._timeline.now_s = next_s
            self._at_this_instant = 0
        self._timeline.happen()
        now_s = self._timeline.now_s
        while scheduled and scheduled[0]._when <= now_s:
            handle = heapq.heappop(scheduled)
            handle._scheduled = False
            self._ready.append(handle)  # type: ignore[attr-defined]

    def _timer_handle_cancelled(self, handle: asyncio.TimerHandle) -> None:
        """Cancelled timers leave when their time comes."""
