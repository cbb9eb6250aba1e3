"""The second source: one stream of Hermes, kept open, read with suspicion, and its trouble said in words."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Final, Protocol

import aiohttp
import structlog
from pydantic import SecretStr

from engine.clock import Clock
from engine.oracle.hermes_updates import read_update
from engine.oracle.sse import Event, EventReader, EventTooLong
from engine.protocol.addresses import Feed

log = structlog.get_logger("oracle")

PATH: Final = "/v2/updates/price/stream"
CONNECT_DEADLINE_S: Final = 10.0
SILENCE_DEADLINE_S: Final = 20.0  # without a price; the service's keep-alives alone are silence
STEADY_S: Final = 10.0  # a stream that lasted so long was no failure
RECONNECT_DELAYS_S: Final = (0.5, 1.0, 2.0, 5.0, 10.0, 30.0)
REFUSED_DELAY_S: Final = 60.0  # a key or a URL does not mend itself in less
MAX_RETRY_AFTER_S: Final = 120


class SourceState(StrEnum):
    """How the second source is."""

    OFF = "off"
    CONNECTING = "connecting"
    OK = "ok"
    AWAY = "away"
    REFUSED = "refused"


class SecondSourceListener(Protocol):
    """Where the second source's news goes; both are called in the loop's thread."""

    def on_opinion(self, symbol: str, price_e6: int, conf_e6: int, publish_time_s: int) -> None:
        """The second source says this of a symbol."""
        ...

    def on_second_source(self, state: SourceState, message: str) -> None:
        """The second source is in another state now; the message is our own words."""
        ...


@dataclass(frozen=True, slots=True)
class HermesTimes:
    """Deadlines and delays in seconds; a test has less patience."""

    silence_s: float = SILENCE_DEADLINE_S
    reconnect_s: Sequence[float] = RECONNECT_DELAYS_S
    refused_s: float = REFUSED_DELAY_S
    steady_s: float = STEADY_S


class _Refused(Exception):
    """The service answered, but not with a stream."""

    def __init__(self, state: SourceState, message: str, delay_s: float | None = None) -> None:
        super().__init__(message)
        self.state = state
        self.delay_s = delay_s


class HermesClient:
    """Reads the prices of feeds from one Hermes for ever; `refused` counts by reason what was no price."""

    def __init__(
        self,
        *,
        url: str | None,
        key: SecretStr | None,
        feeds: Sequence[Feed],
        listener: SecondSourceListener,
        clock: Clock,
        times: HermesTimes | None = None,
    ) -> None:
        self._url = url
        self._key = key
        self._symbols: Mapping[str, str] = {feed.feed_id.hex(): feed.symbol for feed in feeds}
        self._listener = listener
        self._clock = clock
        self._times = times or HermesTimes()
        self._prices = 0
        self.state = SourceState.OFF if url is None else SourceState.CONNECTING
        self.message = ""
        self.refused: dict[str, int] = {}
        self.connections = 0

    async def run(self) -> None:
        """Connect, listen, and connect again; ends by cancellation, or at once when there is no URL."""
        if self._url is None:
            return
        timeout = aiohttp.ClientTimeout(total=None, sock_connect=CONNECT_DEADLINE_S)
        async with aiohttp.ClientSession(timeout=timeout, auto_decompress=False) as session:
            failures = 0
            while True:
                begun_ns, heard = self._clock.monotonic_ns(), self._prices
                state, message, delay_s = await self._one_stream(session, self._url)
                lasted_s = (self._clock.monotonic_ns() - begun_ns) / 1e9
                if self._prices > heard and lasted_s >= self._times.steady_s:
                    failures = 0
                self._become(state, message)
                delays = self._times.reconnect_s
                await self._clock.sleep(delay_s or delays[min(failures, len(delays) - 1)])
                failures += 1

    async def _one_stream(
        self, session: aiohttp.ClientSession, url: str
    ) -> tuple[SourceState, str, float | None]:
        """Listen to one stream to its end: the state it leaves us in, why, and how long it bade us wait."""
        self.connections += 1
        try:
            await self._listen(session, url)
        except _Refused as refused:
            return refused.state, str(refused), refused.delay_s
        except EventTooLong:
            self._count("event too long")
            return SourceState.AWAY, "it sends what is no stream of prices", None
        except TimeoutError:
            return SourceState.AWAY, f"silent for {self._times.silence_s:g} s", None
        except Exception as error:
            # Whatever a second source does, the engine goes on without it.
            log.warning("second source: stream broke", reason=type(error).__name__)
            return SourceState.AWAY, f"connection lost ({type(error).__name__})", None
        return SourceState.AWAY, "it ended the stream", None

    async def _listen(self, session: aiohttp.ClientSession, url: str) -> None:
        loop = asyncio.get_running_loop()
        reader = EventReader()
        async with (
            asyncio.timeout(self._times.silence_s) as deadline,
            session.get(
                url.rstrip("/") + PATH,
                params=[("ids[]", feed_id) for feed_id in self._symbols]
                # Else one feed that it does not know costs us all the others.
                + [("parsed", "true"), ("ignore_invalid_price_ids", "true")],
                headers=self._headers(),
                allow_redirects=False,  # the key is for this host alone
            ) as response,
        ):
            self._check(response)
            while chunk := await response.content.readany():
                heard = self._prices
                for event in reader.feed(chunk):
                    self._take(event)
                if self._prices > heard:
                    deadline.reschedule(loop.time() + self._times.silence_s)
                    self._become(SourceState.OK, "")

    def _headers(self) -> dict[str, str]:
        headers = {"Accept": "text/event-stream", "Accept-Encoding": "identity"}
        if self._key is not None:
            headers["Authorization"] = f"Bearer {self._key.get_secret_value()}"
        return headers

    def _check(self, response: aiohttp.ClientResponse) -> None:
        """Raise _Refused for everything but a stream."""
        status = response.status
        if status in (401, 403):
            given = "refuses HERMES_API_KEY" if self._key else "wants a key: set HERMES_API_KEY"
            raise _Refused(SourceState.REFUSED, f"Hermes answers {status} and {given}", self._times.refused_s)
        if status == 404:
            raise _Refused(
                SourceState.REFUSED,
                "Hermes answers 404: check HERMES_URL and the feed ids in SYMBOLS",
                self._times.refused_s,
            )
        if status != 200:
            raise _Refused(SourceState.AWAY, f"it answers {status}", _retry_after_s(response))
        if response.content_type != "text/event-stream":
            raise _Refused(
                SourceState.REFUSED,
                "what answers is no Hermes: check HERMES_URL",
                self._times.refused_s,
            )

    def _take(self, event: Event) -> None:
        if event.name == b"error":  # the end of its longest stream, or a fault of its own: it closes then
            self._count("error event")
            return
        for price in read_update(event.data, self._symbols, self._count):
            self._prices += 1
            self._listener.on_opinion(price.symbol, price.price_e6, price.conf_e6, price.publish_time_s)

    def _count(self, reason: str) -> None:
        self.refused[reason] = self.refused.get(reason, 0) + 1
        if self.refused[reason] == 1:
            log.warning("second source: refused", reason=reason)

    def _become(self, state: SourceState, message: str) -> None:
        if (state, message) != (self.state, self.message):
            self.state, self.message = state, message
            self._listener.on_second_source(state, message)


def _retry_after_s(response: aiohttp.ClientResponse) -> float | None:
    """What Retry-After says in seconds, within reason; None when it says nothing usable."""
    text = response.headers.get("Retry-After", "")
    if re.fullmatch(r"[0-9]{1,9}", text) is None or int(text) == 0:
        return None
    return float(min(int(text), MAX_RETRY_AFTER_S))
