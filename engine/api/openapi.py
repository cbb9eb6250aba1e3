"""The OpenAPI document, made of the same table that the listeners route by, so that the two cannot differ."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec

from engine import __version__
from engine.api import wire
from engine.api.routes import JSON, Route, Scope

Document = dict[str, Any]

_REFS = "#/components/schemas/{name}"
_ALWAYS = (400, 421, 403, 500, 503)  # what any request may be refused with
_WORDS = {
    101: "the WebSocket begins",
    200: "done",
    400: "a parameter, a header or the body cannot be read: `details` names the parameter and what it may be",
    401: "no token that is valid",
    403: "the token has not the scope, or the page is of another site",
    404: "there is none",
    405: "not this method",
    408: "the body did not come in time",
    409: "not in the state that the engine is in",
    413: "the body is too long",
    415: "the body is not JSON",
    421: "the Host is another one",
    422: "the body is JSON and does not say what is wanted",
    426: "only as a WebSocket",
    429: "too many failures with tokens",
    500: "a fault of the engine: its log says more",
    503: "it cannot be told now",
}
_PATH_PARAMETERS: dict[str, Document] = {
    "address": {"type": "string", "pattern": "^[1-9A-HJ-NP-Za-km-z]{32,44}$"},
    "id": {"type": "string", "pattern": "^[0-9A-Za-z]{1,64}$"},
}


def document(routes: Sequence[Route]) -> Document:
    """OpenAPI 3.1 of what is served over TCP."""
    served = [route for route in routes if not route.unix_only]
    types = [route.answer for route in served if route.answer is not None]
    types += [route.body for route in served if route.body is not None]
    schemas, components = msgspec.json.schema_components([*types, wire.ErrorReply], ref_template=_REFS)
    by_type = {repr(kind): schema for kind, schema in zip([*types, wire.ErrorReply], schemas, strict=True)}
    paths: dict[str, Document] = {}
    for route in served:
        paths.setdefault(route.path, {})[route.method.lower()] = _operation(route, by_type)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "liquidation-engine",
            "version": __version__,
            "description": "Reads of one engine, and commands to it. Money is in whole lamports, prices and "
            "sizes are scaled by 1e6, times are nanoseconds of the Unix clock, where no name says otherwise.",
        },
        "paths": paths,
        "components": {
            "schemas": components,
            "securitySchemes": {"bearer": {"type": "http", "scheme": "bearer"}},
        },
    }


def _operation(route: Route, by_type: dict[str, Document]) -> Document:
    operation: Document = {
        "operationId": _name(route),
        "summary": route.summary,
        "parameters": [*_in_path(route), *_in_query(route)],
        "responses": _responses(route, by_type),
    }
    if route.scope not in (Scope.OPEN, Scope.READ):
        operation["security"] = [{"bearer": []}]
        operation["description"] = f"Needs a token with the scope {route.scope.value}."
    if route.body is not None:
        operation["requestBody"] = {
            "required": not route.tolerant,
            "content": {JSON: {"schema": by_type[repr(route.body)]}},
        }
    return operation


def _name(route: Route) -> str:
    words = [word.strip("{}").replace("-", "_") for word in route.path.split("/") if word]
    return "_".join([route.method.lower(), *words])


def _in_path(route: Route) -> list[Document]:
    return [
        {"name": name, "in": "path", "required": True, "schema": _PATH_PARAMETERS[name]}
        for name in route.path_names
    ]


def _in_query(route: Route) -> list[Document]:
    return [
        {
            "name": parameter.name,
            "in": "query",
            "required": False,
            "description": parameter.allowed,
            "schema": parameter.schema(),
        }
        for parameter in route.query
    ]


def _responses(route: Route, by_type: dict[str, Document]) -> Document:
    refusals = {*_ALWAYS, *route.refusals}
    if route.scope is not Scope.OPEN:
        refusals |= {401, 429}
    if route.method == "POST":
        refusals |= {408, 413}
    if route.body is not None and not route.tolerant:
        refusals |= {415, 422}
    if 101 in route.statuses:
        refusals.add(426)
    error = {"content": {JSON: {"schema": by_type[repr(wire.ErrorReply)]}}}
    responses: Document = {
        str(status): {"description": _WORDS[status], **error}
        for status in sorted(refusals.difference(route.statuses))
    }
    for status in route.statuses:
        answer = {"type": "string"} if route.answer is None else by_type[repr(route.answer)]
        content = {} if status == 101 else {"content": {route.content_type: {"schema": answer}}}
        responses[str(status)] = {"description": _WORDS[status], **content}
    return responses
