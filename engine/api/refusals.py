"""The one shape in which every refusal is told."""

from __future__ import annotations

from collections.abc import Mapping
from http import HTTPStatus

import msgspec
from aiohttp import web

from engine.api import wire
from engine.api.routes import JSON


def refused(status: int, code: str, message: str, details: Mapping[str, str] | None = None) -> web.Response:
    """`{"error": {code, message, details}}` with the headers that the status asks for."""
    body = wire.ErrorReply(error=wire.ErrorBody(code=code, message=message, details=dict(details or {})))
    response = web.Response(status=status, body=msgspec.json.encode(body), content_type=JSON)
    if status == HTTPStatus.UNAUTHORIZED:
        response.headers["WWW-Authenticate"] = "Bearer"
    if status == HTTPStatus.TOO_MANY_REQUESTS:
        response.headers["Retry-After"] = "60"
    return response
