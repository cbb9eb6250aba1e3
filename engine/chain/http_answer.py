"""Reads one HTTP/1.1 answer out of the bytes of a connection, however they are cut; bounded, and strict."""

from __future__ import annotations

import re
from dataclasses import dataclass

LONGEST_HEAD = 16 * 1024
_HEAD_END = b"\r\n\r\n"
_LINE_END = b"\r\n"
_STATUS_LINE = re.compile(rb"HTTP/1\.([01]) ([1-9][0-9]{2})(?: .*)?")
_DIGITS = re.compile(rb"[0-9]{1,15}")
_CHUNK_SIZE = re.compile(rb"([0-9a-fA-F]{1,8})[ \t]*(?:;.*)?")
_LONGEST_CHUNK_LINE = 256
_NO_BODY = frozenset({204, 304})


class BadAnswer(Exception):
    """The bytes are no HTTP answer, or one that is longer than it may be."""


@dataclass(frozen=True, slots=True)
class HttpAnswer:
    """A complete answer. Header names are in lower case; of those that come twice the last counts."""

    status: int
    headers: dict[bytes, bytes]
    body: bytes
    keeps_alive: bool


class AnswerReader:
    """Takes one answer's bytes; `longest` bounds its body."""

    def __init__(self, longest: int) -> None:
        self._longest = longest
        self._received = bytearray()
        self._body = bytearray()  # of a chunked answer, as far as it is here
        self._status = 0
        self._headers: dict[bytes, bytes] = {}
        self._keeps_alive = True
        self._length: int | None = None
        self._is_chunked = False
        self._in_trailer = False

    def feed(self, data: bytes) -> HttpAnswer | None:
        """The answer once it is complete. Raises BadAnswer, also for bytes that come behind it."""
        self._received += data
        while not self._status:
            if not self._take_head():
                return None
        if self._is_chunked:
            if not self._take_chunks():
                return None
            body = bytes(self._body)
        elif self._length is None:  # it ends with the connection
            if len(self._received) > self._longest:
                raise BadAnswer("the answer is too long")
            return None
        else:
            if len(self._received) < self._length:
                return None
            body = bytes(self._received[: self._length])
            del self._received[: self._length]
        if self._received:
            raise BadAnswer("bytes that nobody asked for")
        return HttpAnswer(self._status, self._headers, body, self._keeps_alive)

    def end(self) -> HttpAnswer | None:
        """The connection ended: that completes an answer that does not tell its length, and no other."""
        if not self._status or self._is_chunked or self._length is not None:
            return None
        return HttpAnswer(self._status, self._headers, bytes(self._received), keeps_alive=False)

    def _take_head(self) -> bool:
        """Read the status and the headers; interim answers are passed over. False when they are not here."""
        end = self._received.find(_HEAD_END)
        if end < 0 or end > LONGEST_HEAD:
            if len(self._received) > LONGEST_HEAD:
                raise BadAnswer("the head is too long")
            return False
        first, *lines = bytes(self._received[:end]).split(_LINE_END)
        del self._received[: end + len(_HEAD_END)]
        status_line = _STATUS_LINE.fullmatch(first)
        if status_line is None:
            raise BadAnswer("no status line")
        status = int(status_line[2])
        if status < 200:
            if status == 101:
                raise BadAnswer("another protocol")
            return True
        self._read_headers(lines)
        self._keeps_alive &= self._is_kept(status_line[1] == b"1")
        if status in _NO_BODY:
            self._length, self._is_chunked = 0, False
        self._status = status
        return True

    def _read_headers(self, lines: list[bytes]) -> None:
        for line in lines:
            name, colon, value = line.partition(b":")
            if not colon or not name or name != name.strip():
                raise BadAnswer("a header that is none")
            name, value = name.lower(), value.strip()
            if name == b"content-length" and self._headers.get(name, value) != value:
                raise BadAnswer("two lengths")
            self._headers[name] = value
        encoding, length = self._headers.get(b"transfer-encoding"), self._headers.get(b"content-length")
        if self._headers.get(b"content-encoding", b"identity").lower() != b"identity":
            raise BadAnswer("an encoding that nobody asked for")
        if encoding is not None:
            if encoding.lower() != b"chunked":
                raise BadAnswer("an unknown transfer encoding")
            self._is_chunked = True
            self._keeps_alive = length is None  # with both, another reader may see another end
        elif length is not None:
            if _DIGITS.fullmatch(length) is None or int(length) > self._longest:
                raise BadAnswer("a length that cannot be")
            self._length = int(length)

    def _is_kept(self, is_newer: bool) -> bool:
        wishes = {word.strip().lower() for word in self._headers.get(b"connection", b"").split(b",")}
        return b"close" not in wishes and (is_newer or b"keep-alive" in wishes)

    def _take_chunks(self) -> bool:
        """Move complete chunks to the body; whether the last one and its trailer are here."""
        while not self._in_trailer:
            end = self._received.find(_LINE_END)
            if end < 0 or end > _LONGEST_CHUNK_LINE:
                if len(self._received) > _LONGEST_CHUNK_LINE:
                    raise BadAnswer("a chunk without a size")
                return False
            size_line = _CHUNK_SIZE.fullmatch(bytes(self._received[:end]))
            if size_line is None:
                raise BadAnswer("a chunk without a size")
            size = int(size_line[1], 16)
            if len(self._body) + size > self._longest:
                raise BadAnswer("the answer is too long")
            start = end + len(_LINE_END)
            if size == 0:
                del self._received[:start]
                self._in_trailer = True
                break
            if len(self._received) < start + size + len(_LINE_END):
                return False
            if self._received[start + size : start + size + len(_LINE_END)] != _LINE_END:
                raise BadAnswer("a chunk of another size")
            self._body += self._received[start : start + size]
            del self._received[: start + size + len(_LINE_END)]
        return self._take_trailer()

    def _take_trailer(self) -> bool:
        while (end := self._received.find(_LINE_END)) >= 0:
            del self._received[: end + len(_LINE_END)]
            if end == 0:
                return True
        if len(self._received) > LONGEST_HEAD:
            raise BadAnswer("the trailer is too long")
        return False
