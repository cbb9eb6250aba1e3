"""Requests that are word for word one that was answered a moment ago: they get its answer without being read.

Reading a request and writing its answer takes a fifth of a millisecond of the interpreter that the engine's
thread needs too; programs that ask again and again send the same bytes each time.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from email.utils import formatdate

from aiohttp import HttpVersion11, web

MOST_KNOWN = 32
LONGEST = 1024
_END = b"\r\n\r\n"
# What may stand in such a request. Whoever sends anything else, a token above all, is looked at each time.
_HEADERS = frozenset({"host", "user-agent", "accept", "accept-encoding", "accept-language"})

Again = Callable[[], bytes | None]
AGAIN = web.ResponseKey[Again]("again")


class Repeats:
    """The requests of one listener that may be answered so; the longest unused ones are forgotten."""

    def __init__(self) -> None:
        self._known: OrderedDict[bytes, tuple[bytes, Again]] = OrderedDict()

    def note(self, asked: bytes, request: web.Request, response: web.StreamResponse) -> None:
        """These bytes, all of a request, were answered so; whether they may be again is for them to say."""
        again = response.get(AGAIN)
        if again is None or asked in self._known or not _is_plain(asked, request):
            return
        head = f"HTTP/1.1 200 OK\r\nContent-Type: {response.headers['Content-Type']}\r\n".encode()
        self._known[asked] = (head, again)
        while len(self._known) > MOST_KNOWN:
            self._known.popitem(last=False)

    def answer(self, asked: bytes) -> bytes | None:
        """The whole answer to these bytes; None when they have to be read, or it is too old."""
        known = self._known.get(asked)
        body = known[1]() if known is not None else None
        if known is None or body is None:
            return None
        self._known.move_to_end(asked)
        date = formatdate(usegmt=True).encode()
        return b"%bContent-Length: %d\r\nDate: %b\r\n\r\n%b" % (known[0], len(body), date, body)


def is_whole(chunk: bytes) -> bool:
    """Whether it looks like one request without a body, from its beginning to its end."""
    return chunk.startswith(b"GET ") and chunk.endswith(_END) and chunk.count(_END) == 1


def _is_plain(asked: bytes, request: web.Request) -> bool:
    return (
        len(asked) <= LONGEST
        and is_whole(asked)
        and request.method == "GET"
        and request.version == HttpVersion11
        and not request.body_exists
        and {name.lower() for name in request.headers} <= _HEADERS
    )
