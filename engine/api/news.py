"""The WebSocket of news: numbered messages, resumed by number, for any number of readers up to a bound.

While somebody reads, and for some minutes afterwards, the engine is looked at a few times a second, and the
journal's new records are read beside its loop. What is told is kept in a ring: readers have no queue of their
own, and one that falls behind the ring is dropped with a reason. Those that keep up get the same bytes, which
are made once and written to one reader after the other; only who is behind is a task that wakes.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict, deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
import structlog
from aiohttp import WSCloseCode, web

from engine.api import news_types as tell
from engine.api.clean import clean
from engine.api.goodbye import say_goodbye
from engine.api.pace import Courtesy
from engine.api.parameters import Whole
from engine.api.position_view import SYMBOL_LIMIT, TEXT_LIMIT
from engine.api.routes import Call, Route, Scope
from engine.api.snapshots import Snapshots
from engine.chain.websocket import server_frame
from engine.commands import CommandError
from engine.journal.ended import records_after
from engine.journal.errors import JournalUnavailable
from engine.journal.records import OutboxKind, OutboxRow
from engine.own_loop import Engine

log = structlog.get_logger("api")

LOOK_S = 0.1
LINGER_S = 300.0
RING = 10_000
MOST_READERS = 256
RECORDS_AT_ONCE = 500
PING_S = 30.0
WRITE_DEADLINE_S = 10.0
AT_ONCE_BYTES = 64 * 1024  # of frames in one write, to a reader that has read all before
READERS_AT_ONCE = 16  # each costs a write to its socket, in which the interpreter does nothing else
LARGEST_SEQ = 2**53 - 1
_TOLD = 20_000
_TOO_SLOW = b"too slow: messages were lost; come back with after="


@dataclass(slots=True)
class _Abreast:
    """A reader that has everything up to `seen`; it `fell` when it has not taken what was written to it."""

    reader: web.WebSocketResponse
    transport: asyncio.WriteTransport
    seen: int
    fell: asyncio.Future[None]


@dataclass(frozen=True, slots=True)
class _Joined:
    """Messages behind a number, up to `last`, as they are on the wire; `newest` was the last of all then."""

    behind: int
    newest: int
    last: int
    frames: bytes


class NewsDesk:
    """Collects, keeps and tells. Belongs to the listeners' loop."""

    def __init__(
        self, engine: Engine, snapshots: Snapshots, journal: Path, courtesy: Courtesy | None = None
    ) -> None:
        self._engine = engine
        self._courtesy = courtesy or Courtesy(lambda: False)
        self._snapshots = snapshots
        self._journal = journal
        self._ring: deque[tuple[int, str]] = deque(maxlen=RING)
        self._seq = 0
        self._last: dict[str, tell.News] = {}
        self._journal_seq: int | None = None
        self._told: OrderedDict[str, None] = OrderedDict()  # liquidations, so that finality repeats none
        self._readers: set[web.WebSocketResponse] = set()
        self._abreast: dict[web.WebSocketResponse, _Abreast] = {}
        self._left_s = 0.0
        self._wanted = asyncio.Event()
        self._next: asyncio.Future[None] | None = None
        self._joined = _Joined(-1, -1, -1, b"")

    def __len__(self) -> int:
        return len(self._readers)

    def routes(self) -> list[Route]:
        """Its one operation."""
        return [
            Route(
                "GET",
                "/ws",
                Scope.READ,
                self._serve,
                "A WebSocket of news; `after` is the last number that was read",
                tell.News,
                query=(Whole("after", 0, LARGEST_SEQ, None),),
                refusals=(503,),
                statuses=(101,),
            )
        ]

    async def run(self) -> None:
        """Look while somebody reads, or did a short while ago; ends only by cancellation."""
        loop = asyncio.get_running_loop()
        while True:
            if not self._readers and loop.time() - self._left_s > LINGER_S:
                self._wanted.clear()
                self._last.clear()
                self._journal_seq = None
                await self._wanted.wait()
            try:
                await self.look()
            except (TimeoutError, JournalUnavailable) as error:
                log.warning("no news", reason=str(error) or "the engine is busy")
            except Exception:
                log.exception("news broke")
            await asyncio.sleep(LOOK_S)

    async def look(self) -> None:
        """Tell what has changed since the last look."""
        pulse = await self._engine.look(self._snapshots.pulse)
        # Numbers go on across restarts: they begin with the time, and no engine tells a million a second.
        self._seq = self._seq or pulse.at_ns // 1000
        self._note(pulse.at_ns, "state", pulse.state)
        for price in pulse.prices:
            self._note(pulse.at_ns, f"price of {price.symbol}", price)
        if pulse.fund is not None:
            self._note(pulse.at_ns, "fund", pulse.fund)
        self._note(pulse.at_ns, "queue", pulse.queue)
        if self._journal_seq is None:
            self._journal_seq = pulse.journal_seq
        while self._journal_seq < pulse.journal_seq:
            await self._courtesy.give_way()
            records = await asyncio.to_thread(
                records_after, self._journal, self._journal_seq, RECORDS_AT_ONCE
            )
            if not records:
                break
            self._journal_seq = records[-1].seq
            for news in self._of_records(records):
                self._tell(pulse.at_ns, news)
        if self._next is not None and not self._next.done():
            self._next.set_result(None)
        await self._spread()

    async def close(self) -> None:
        """Say goodbye to the readers."""
        await say_goodbye(self._readers)

    def _note(self, at_ns: int, about: str, news: tell.News) -> None:
        """Tell it unless it is what was told last."""
        if self._last.get(about) != news:
            self._last[about] = news
            self._tell(at_ns, news)

    def _tell(self, at_ns: int, news: tell.News) -> None:
        self._seq += 1
        numbered = msgspec.structs.replace(news, seq=self._seq, at_ns=at_ns)
        self._ring.append((self._seq, msgspec.json.encode(numbered).decode()))

    def _of_records(self, records: Sequence[OutboxRow]) -> Iterator[tell.News]:
        for record in records:
            raw = record.payload
            if record.kind is OutboxKind.INTENT:
                yield _attempt(raw, raw)
            elif record.kind is OutboxKind.OUTCOME:
                yield _attempt(raw, raw["intent"])
                if raw["error_message"] is None and raw["signature"] not in self._told:
                    self._told[raw["signature"]] = None
                    if len(self._told) > _TOLD:
                        self._told.popitem(last=False)
                    yield _liquidation(raw)

    async def _serve(self, call: Call) -> web.StreamResponse:
        if len(self._readers) >= MOST_READERS:
            raise CommandError("too_many_readers", f"{MOST_READERS} read already: close some", 503)
        # Not compressed: messages are short, and each reader would have its own to be compressed.
        reader = web.WebSocketResponse(heartbeat=PING_S, max_msg_size=4096, compress=False)
        if not reader.can_prepare(call.request).ok:
            raise CommandError("no_websocket", "This is a WebSocket: connect with ws://", 426)
        await reader.prepare(call.request)
        self._readers.add(reader)
        self._wanted.set()
        listener = asyncio.ensure_future(_until_closed(reader))
        try:
            await self._feed(reader, call.request.transport, listener, call.query["after"])
        except (TimeoutError, ConnectionError) as error:
            log.info("reader dropped", reason=type(error).__name__)
            if call.request.transport is not None:
                call.request.transport.abort()
        finally:
            listener.cancel()
            self._readers.discard(reader)
            self._left_s = asyncio.get_running_loop().time()
        return reader

    async def _feed(
        self,
        reader: web.WebSocketResponse,
        transport: asyncio.WriteTransport | None,
        listener: asyncio.Future[None],
        after: int | None,
    ) -> None:
        """From the message behind `after` on, or from now on, until the reader goes."""
        if not self._ring and after is not None:
            await self._something_new(listener)
        seen = self._seq if after is None else await self._begin(reader, after)
        while not listener.done():
            await self._courtesy.give_way()
            batch = self._behind(seen)
            if batch is None:
                log.info("reader dropped", reason="too slow")
                async with asyncio.timeout(WRITE_DEADLINE_S):
                    await reader.close(code=WSCloseCode.TRY_AGAIN_LATER, message=_TOO_SLOW)
                return
            if transport is not None and _has_read_all(reader, transport):
                if not batch:
                    seen = await self._keep_abreast(reader, transport, seen, listener)
                    continue
                seen = self._write_to(transport, seen)
                await asyncio.sleep(0)  # uvloop writes at the end of a turn of the loop
                continue
            # The library waits for a reader that does not take it.
            for seq, text in batch:
                async with asyncio.timeout(WRITE_DEADLINE_S):
                    await reader.send_str(text)
                seen = seq
            if seen >= self._seq:
                await self._something_new(listener)

    async def _keep_abreast(
        self,
        reader: web.WebSocketResponse,
        transport: asyncio.WriteTransport,
        seen: int,
        listener: asyncio.Future[None],
    ) -> int:
        """Have it told with the others until it falls behind or goes; the last number that it was told."""
        fell: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        abreast = self._abreast[reader] = _Abreast(reader, transport, seen, fell)
        try:
            await asyncio.wait({listener, fell}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            del self._abreast[reader]
        return abreast.seen

    async def _spread(self) -> None:
        """Tell those who have read all before what is new; the others have tasks that do."""
        while behind := [each for each in self._abreast.values() if self._is_due(each)]:
            for number, each in enumerate(behind):
                if number % READERS_AT_ONCE == 0:
                    await asyncio.sleep(0)  # for a stop that has come; and here uvloop writes what is written
                    await self._courtesy.give_way()
                if not self._is_due(each):
                    continue
                if _has_read_all(each.reader, each.transport) and not self._has_lost(each.seen):
                    each.seen = self._write_to(each.transport, each.seen)
                else:
                    each.fell.set_result(None)

    def _is_due(self, each: _Abreast) -> bool:
        return self._abreast.get(each.reader) is each and each.seen < self._seq and not each.fell.done()

    def _write_to(self, transport: asyncio.WriteTransport, seen: int) -> int:
        """Write some of what is kept behind a number; the number of the last."""
        if self._joined.behind != seen or self._joined.newest != self._seq:
            self._joined = self._join(seen)
        transport.write(self._joined.frames)
        return self._joined.last

    def _join(self, seen: int) -> _Joined:
        frames: list[bytes] = []
        size, last = 0, seen
        for seq, text in self._behind(seen) or ():
            frame = server_frame(text.encode())
            if frames and size + len(frame) > AT_ONCE_BYTES:
                break
            frames.append(frame)
            size, last = size + len(frame), seq
        return _Joined(seen, self._seq, last, b"".join(frames))

    async def _begin(self, reader: web.WebSocketResponse, after: int) -> int:
        """The number to go on behind; a gap is told."""
        oldest = self._ring[0][0] if self._ring else self._seq + 1
        if oldest - 1 <= after <= self._seq:
            return after
        gap = tell.Gap(seq=oldest - 1, after=after, oldest=oldest)
        await reader.send_str(msgspec.json.encode(gap).decode())
        return oldest - 1

    def _behind(self, seen: int) -> list[tuple[int, str]] | None:
        """What is kept behind a number; None when some of it is not kept any more."""
        if seen >= self._seq or not self._ring:
            return []
        if self._has_lost(seen):
            return None
        oldest = self._ring[0][0]
        return [self._ring[at] for at in range(max(0, seen + 1 - oldest), len(self._ring))]

    def _has_lost(self, seen: int) -> bool:
        return bool(self._ring) and 0 < seen < self._ring[0][0] - 1

    async def _something_new(self, listener: asyncio.Future[None]) -> None:
        if self._next is None or self._next.done():
            self._next = asyncio.get_running_loop().create_future()
        await asyncio.wait({listener, self._next}, return_when=asyncio.FIRST_COMPLETED)


def _attempt(raw: dict[str, Any], intent: dict[str, Any]) -> tell.Attempt:
    error = raw.get("error_message")
    return tell.Attempt(
        signature=raw["signature"],
        liquidation_id=intent["liquidation_id"],
        address=intent["position"],
        symbol=clean(intent["symbol"], SYMBOL_LIMIT),
        action=intent["action"],
        attempt=intent["attempt"],
        outcome=raw.get("outcome"),
        error_message=None if error is None else clean(error, TEXT_LIMIT),
        is_final=raw.get("finalized_at_ns") is not None,
    )


def _liquidation(raw: dict[str, Any]) -> tell.Liquidation:
    intent = raw["intent"]
    return tell.Liquidation(
        signature=raw["signature"],
        address=intent["position"],
        owner=intent["owner"],
        symbol=clean(intent["symbol"], SYMBOL_LIMIT),
        action=intent["action"],
        liquidated_size_e6=raw["liquidated_size_e6"],
        liquidation_price_e6=raw["liquidation_price_e6"],
        reward_lamports=raw["reward_lamports"],
        bad_debt_lamports=raw["bad_debt_lamports"],
        slot=raw["slot"],
    )


def _has_read_all(reader: web.WebSocketResponse, transport: asyncio.WriteTransport) -> bool:
    return not reader.closed and not transport.is_closing() and not transport.get_write_buffer_size()


async def _until_closed(reader: web.WebSocketResponse) -> None:
    """Read, and ignore, what the reader sends; ends when it goes."""
    async for _ in reader:
        pass
