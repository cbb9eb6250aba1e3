"""An asyncio event loop whose time is the world's, and that ends where its process dies.

Nothing is waited for: when no callback is ready, time jumps to the next timer or to the next thing that
happens in the world. Callbacks run in the order in which they were asked for, threads do not exist.
"""

from __future__ import annotations

import asyncio
import socket
from asyncio import Future
from collections import deque
from collections.abc import Awaitable, Callable, Iterator
from contextvars import Context, copy_context
from heapq import heappop, heappush
from typing import TYPE_CHECKING, Any
from weakref import ReferenceType, ref

from sim.timeline import Timeline

if TYPE_CHECKING:
    from sim.network import Network

MOST_AT_ONE_INSTANT = 200_000  # callbacks without any time passing: a loop that goes round for ever


class Livelock(Exception):
    """The engine went on and on without time passing."""


class Handle:
    """A callback that was asked for: what the loop's own handles do, without what only debugging needs."""

    __slots__ = ("args", "callback", "context", "is_cancelled", "when_s")

    def __init__(
        self,
        callback: Callable[..., Any],
        args: tuple[Any, ...],
        context: Context | None,
        when_s: float = 0.0,
    ) -> None:
        self.callback: Callable[..., Any] = callback
        self.args: tuple[Any, ...] = args
        self.context = copy_context() if context is None else context
        self.when_s = when_s
        self.is_cancelled = False

    def cancel(self) -> None:
        """It is never called; a timer leaves when its time comes."""
        self.is_cancelled = True
        self.callback, self.args = _nothing, ()

    def cancelled(self) -> bool:
        """Whether it was given up."""
        return self.is_cancelled

    done = cancelled  # as an alarm says it

    def when(self) -> float:
        """When it is due, in the loop's seconds."""
        return self.when_s


def _nothing() -> None:
    """What a cancelled callback does."""


class _Task(asyncio.Task[Any]):
    """Hashed by number: the order within a set of tasks must not depend on where they lie in memory."""

    def __init__(self, coroutine: Any, loop: VirtualLoop, name: str | None, context: Context | None) -> None:
        self._number = len(loop.tasks)
        super().__init__(coroutine, loop=loop, name=name, context=context)

    def __hash__(self) -> int:
        return self._number


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
        self.tasks: list[ReferenceType[asyncio.Task[Any]]] = []
        self._due: deque[Handle] = deque()
        self._timers: list[tuple[float, int, Handle | asyncio.Future[None]]] = []
        self._timers_made = 0
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

    # --- what is due ---

    def call_soon(self, callback: Any, *args: Any, context: Context | None = None) -> Any:
        """In the next turn, after whatever was asked for before."""
        self._due.append(handle := Handle(callback, args, context))
        return handle

    def call_soon_threadsafe(self, callback: Any, *args: Any, context: Context | None = None) -> Any:
        """There are no other threads."""
        return self.call_soon(callback, *args, context=context)

    def call_at(self, when: float, callback: Any, *args: Any, context: Context | None = None) -> Any:
        """At a time of the world; what is due at one instant comes in the order in which it was asked for."""
        handle = Handle(callback, args, context, when)
        self._timers_made += 1
        heappush(self._timers, (when, self._timers_made, handle))
        return handle

    def call_later(self, delay: float, callback: Any, *args: Any, context: Context | None = None) -> Any:
        """After so many seconds."""
        return self.call_at(self._timeline.now_s + delay, callback, *args, context=context)

    def alarm(self, delay_s: float) -> asyncio.Future[None]:
        """It is done after so many seconds; one that was cancelled leaves when its time comes."""
        alarm: asyncio.Future[None] = Future(loop=self)
        self._timers_made += 1
        heappush(self._timers, (self._timeline.now_s + delay_s, self._timers_made, alarm))
        return alarm

    def create_task(self, coro: Any, *, name: str | None = None, context: Context | None = None) -> Any:
        """A task with a number."""
        task = _Task(coro, self, name, context)
        self.tasks.append(ref(task))
        return task

    def unfinished_tasks(self) -> Iterator[asyncio.Task[Any]]:
        """In the order in which they were made."""
        for each in self.tasks:
            task = each()
            if task is not None and not task.done():
                yield task

    get_debug = staticmethod(bool)  # never; each future asks for it

    def close(self) -> None:
        """Nothing that was asked for happens any more."""
        super().close()
        self._due.clear()
        self._timers.clear()

    def _run_once(self) -> None:
        """Turn after turn, until somebody stops the loop: that is one turn less of Python's own for each."""
        due = self._due
        while not self._stopping:  # type: ignore[attr-defined]
            if not due:
                self._jump()
            for _ in range(len(due)):
                handle = due.popleft()
                if handle.is_cancelled:
                    continue
                try:
                    handle.context.run(handle.callback, *handle.args)
                except (SystemExit, KeyboardInterrupt):
                    raise
                except BaseException as error:
                    self.call_exception_handler({"message": "a callback broke", "exception": error})
                if self._stopping:  # type: ignore[attr-defined]
                    return
            self._at_this_instant += 1
            if self._at_this_instant > MOST_AT_ONE_INSTANT:
                raise Livelock(f"{MOST_AT_ONE_INSTANT} turns at {self._timeline.now_s:.6f} s")

    def _jump(self) -> None:
        """Go on to whatever comes next: timers of the engine, or something in the world."""
        timers, timeline = self._timers, self._timeline
        while timers and timers[0][2].done():
            heappop(timers)
        next_s = timeline.next_s
        happens = True
        if timers and timers[0][0] < next_s:
            next_s, happens = timers[0][0], False
        if next_s > self.ends_at_s:
            timeline.now_s = max(timeline.now_s, self.ends_at_s)
            self.stop()
            return
        if next_s > timeline.now_s:
            timeline.now_s = next_s
            self._at_this_instant = 0
        if happens:
            timeline.happen()
        now_s = timeline.now_s
        while timers and timers[0][0] <= now_s:
            alarm = heappop(timers)[2]
            if type(alarm) is Handle:
                self._due.append(alarm)
            elif not alarm.done():
                alarm.set_result(None)  # type: ignore[union-attr]


def sleep(delay_s: float) -> Awaitable[None]:
    """As asyncio's, with one turn of the loop less, and for whoever waits for several things no task."""
    if delay_s <= 0:
        return asyncio.sleep(0)
    alarm: asyncio.Future[None] = asyncio.get_running_loop().alarm(delay_s)  # type: ignore[attr-defined]
    return alarm
