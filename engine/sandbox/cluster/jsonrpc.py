"""JSON-RPC 2.0: from a request body to a response body, single or batched, with a node's errors."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import msgspec
import structlog

from engine.sandbox.cluster.params import Method, Params
from engine.sandbox.cluster.rpc_errors import (
    INTERNAL_ERROR,
    RpcError,
    invalid_params,
    invalid_request,
    method_not_found,
    parse_error,
)

log = structlog.get_logger("cluster")

_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder().decode


@dataclass(frozen=True, slots=True)
class Call:
    """A decoded request body: one request or a batch, or no JSON at all."""

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
        """What a request body asks for; never raises."""
        try:
            return Call(_decode(body), well_formed=True)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            return Call(None, well_formed=False)

    def respond(self, body: bytes | str) -> bytes | None:
        """The response to a request body; None when it holds notifications only."""
        return self.answer(self.read(body))

    def answer(self, call: Call) -> bytes | None:
        """The response to a call; None when it holds notifications only."""
        if not call.well_formed:
            return _encode(_failure(None, parse_error()))
        request = call.request
        if not isinstance(request, list):
            response = self._respond_to(request)
            return None if response is None else _encode(response)
        if not request:
            return _encode(_failure(None, invalid_request()))
        responses = [response for entry in request if (response := self._respond_to(entry)) is not None]
        return _encode(responses) if responses else None

    def _respond_to(self, request: object) -> dict[str, object] | None:
        if not isinstance(request, dict):
            return _failure(None, invalid_request())
        request_id, params = request.get("id"), request.get("params")
        try:
            method = self._method_of(request, request_id)
            if not isinstance(params, list | None):
                raise invalid_params("Invalid params: invalid type: map, expected a sequence.")
            result = method(Params(params or []))
        except RpcError as error:
            response = _failure(request_id, error)
        except Exception:
            # A fault of this node must not end it, nor show its insides to callers.
            log.exception("method failed", method=str(request.get("method"))[:64])
            response = _failure(request_id, RpcError(INTERNAL_ERROR, "Internal error"))
        else:
            response = {"jsonrpc": "2.0", "result": result, "id": request_id}
        return response if "id" in request else None

    def _method_of(self, request: dict[str, object], request_id: object) -> Method:
        name = request.get("method")
        if request.get("jsonrpc") != "2.0" or not isinstance(name, str):
            raise invalid_request()
        if isinstance(request_id, bool) or not isinstance(request_id, str | int | None):
            raise invalid_request()
        method = self._methods.get(name)
        if method is None:
            raise method_not_found()
        return method


def _failure(request_id: object, error: RpcError) -> dict[str, object]:
    if not isinstance(request_id, str | int | None):
        request_id = None
    return {"jsonrpc": "2.0", "error": error.as_json(), "id": request_id}
