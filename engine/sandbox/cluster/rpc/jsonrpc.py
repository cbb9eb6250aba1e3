"""JSON-RPC 2.0: from a request body to a response body, single or batched, with a node's errors."""

from __future__ import annotations

from collections.abc import Generator, Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import chain

import msgspec
import structlog

from engine.sandbox.cluster.rpc.params import U64_MAX, Method, Params
from engine.sandbox.cluster.rpc_errors import (
    INTERNAL_ERROR,
    INVALID_REQUEST,
    RpcError,
    invalid_params,
    invalid_request,
    method_not_found,
    parse_error,
)

log = structlog.get_logger("cluster")

# As deep as a node's own JSON reader goes.
MAX_DEPTH = 127
_MEMBERS = {"jsonrpc", "method", "params", "id"}
_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder().decode


class Pieces:
    """A result that is too big to be made at once: the bytes of its JSON, one piece after the other.

    An empty piece is a moment to do something else. It may raise RpcError before its first bytes, not after.
    """

    def __init__(self, pieces: Iterable[bytes]) -> None:
        self._pieces = pieces

    def __iter__(self) -> Iterator[bytes]:
        return iter(self._pieces)


@dataclass(frozen=True, slots=True)
class Call:
    """A decoded request body: one request or a batch, or nothing that a node could make sense of."""

    request: object
    well_formed: bool

    @property
    def methods(self) -> list[str]:
        """The names of the methods that it calls, as far as it names any."""
        entries = self.request if isinstance(self.request, list) else [self.request]
        names = [entry.get("method") for entry in entries if isinstance(entry, dict)]
        return [name for name in names if isinstance(name, str)]


class Dispatcher:
    """Calls methods by name. Nothing that a caller sends makes it raise."""

    def __init__(self, methods: Mapping[str, Method]) -> None:
        self._methods = dict(methods)

    def read(self, body: bytes | str) -> Call:
        """What a request body asks for; never raises.

        As with a node's JSON reader, an entry that is no object, or whose id is no string, unsigned integer
        or null, makes the whole body unreadable.
        """
        try:
            request = _decode(body)
        except (msgspec.DecodeError, UnicodeError, RecursionError, ValueError):
            return Call(None, well_formed=False)
        entries = request if isinstance(request, list) else (request,)
        for entry in entries:
            if not isinstance(entry, dict) or not _is_id(entry.get("id")):
                return Call(None, well_formed=False)
        return Call(request, well_formed=not _is_too_deep(body))

    def respond(self, body: bytes | str) -> bytes | None:
        """The response to a request body; None when it holds notifications only."""
        return b"".join(self.answer(self.read(body))) or None

    def answer(self, call: Call) -> Iterator[bytes]:
        """The response to a call in pieces; nothing at all when it holds notifications only.

        The calls of a batch are made one after the other as the pieces are taken, with an empty piece after
        each, so that a batch of big results is never in memory as a whole.
        """
        if not call.well_formed:
            yield _failure(None, parse_error())
        elif not isinstance(call.request, list):
            yield from self._respond_to(call.request)
        elif not call.request:
            yield _failure(None, invalid_request())
        else:
            yield from self._respond_to_all(call.request)

    def _respond_to_all(self, requests: list[object]) -> Iterator[bytes]:
        separator = b"["
        for request in requests:
            for piece in self._respond_to(request):
                if piece and separator:
                    yield separator
                    separator = b""
                yield piece
            if not separator:
                separator = b","
            yield b""
        if separator == b",":
            yield b"]"

    def _respond_to(self, request: object) -> Iterator[bytes]:
        assert isinstance(request, dict), "other entries are not well formed"
        request_id = request.get("id")
        rest: Iterator[bytes] = iter(())
        try:
            method, params = self._method_of(request)
            if "id" not in request:
                # Nothing that a node offers is a notification: it neither runs nor answers one.
                return
            result = method(params)
            if isinstance(result, Pieces):
                rest = iter(result)
                response = b'{"jsonrpc":"2.0","result":' + (yield from _until_first_bytes(rest))
                rest = chain(rest, (b',"id":%b}' % _encode(request_id),))
            else:
                response = _encode({"jsonrpc": "2.0", "result": result, "id": request_id})
        except _UnknownVersion as error:
            response = _encode({"error": error.as_json(), "id": request_id}) if "id" in request else b""
        except RpcError as error:
            if "id" not in request and error.code != INVALID_REQUEST:
                return
            response = _failure(request_id, error)
        except Exception:
            # A fault of this node must not end it, nor show its insides to callers.
            log.exception("method failed", method=str(request.get("method"))[:64])
            response = _failure(request_id, RpcError(INTERNAL_ERROR, "Internal error"))
        yield response
        yield from rest

    def _method_of(self, request: dict[str, object]) -> tuple[Method, Params]:
        name, version, params = request.get("method"), request.get("jsonrpc"), request.get("params")
        if not isinstance(name, str) or version not in ("2.0", None) or not request.keys() <= _MEMBERS:
            raise invalid_request()
        if not isinstance(params, list | dict | None):
            raise invalid_request()
        if version is None:
            raise _UnknownVersion(INVALID_REQUEST, "Unsupported JSON-RPC protocol version")
        method = self._methods.get(name)
        if method is None:
            raise method_not_found()
        if isinstance(params, dict):
            raise invalid_params("Invalid params: invalid type: map, expected a sequence.")
        return method, Params(params or [])


class _UnknownVersion(RpcError):
    """A request without a version; a node answers it without one."""


def _until_first_bytes(pieces: Iterator[bytes]) -> Generator[bytes, None, bytes]:
    """Pass on the empty pieces at the beginning; the first one that is not empty is the value."""
    for piece in pieces:
        if piece:
            return piece
        yield piece
    raise AssertionError("JSON is never empty")


def _failure(request_id: object, error: RpcError) -> bytes:
    return _encode({"jsonrpc": "2.0", "error": error.as_json(), "id": request_id})


def _is_id(value: object) -> bool:
    if isinstance(value, int):
        return not isinstance(value, bool) and 0 <= value <= U64_MAX
    return isinstance(value, str | None)


def _is_too_deep(body: bytes | str) -> bool:
    """Whether valid JSON nests deeper than a node reads; cheap for all that could not."""
    text = body if isinstance(body, bytes) else body.encode()
    if text.count(b"[") + text.count(b"{") <= MAX_DEPTH:
        return False
    depth, in_string, escaped = 0, False, False
    for character in text:
        if in_string:
            in_string = escaped or character != 0x22
            escaped = not escaped and character == 0x5C
        elif character == 0x22:
            in_string = True
        elif character in b"[{":
            depth += 1
            if depth > MAX_DEPTH:
                return True
        elif character in b"]}":
            depth -= 1
    return False
