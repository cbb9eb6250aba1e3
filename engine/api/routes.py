"""What a route is: a method and a path, what it takes and gives, who may call it, and the function behind it.

The tables of routes are the single source of the listeners' routing, of the checks on what callers send, and
of the OpenAPI document.
"""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from aiohttp import web

from engine.actor import Actor
from engine.api.parameters import Parameter
from engine.api.repeats import Again

JSON = "application/json"
_IN_PATH = re.compile(r"{(\w+)}")


class Scope(StrEnum):
    """What a caller must be allowed to; see engine.api.access."""

    OPEN = "open"  # anybody who can connect
    READ = "read"
    STOP = "stop"
    OPERATE = "operate"
    ADMIN = "admin"


@dataclass(frozen=True, slots=True)
class Plain:
    """An answer as bytes. `again` gives the body to whoever asks the same, None when it is too old."""

    body: bytes
    content_type: str
    status: int = 200
    again: Again | None = None


@dataclass(frozen=True, slots=True)
class Call:
    """One request after all checks: the values of path and query, the body, and who calls."""

    caller: Actor
    path: Mapping[str, str]
    query: Mapping[str, Any]
    body: Any
    request: web.Request


Answer = Callable[[Call], Awaitable[Any]]


@dataclass(frozen=True, slots=True)
class Route:
    """One operation of the API.

    `body` is the type of the request's JSON, None for none. `answer` is the type of the answer's; None for an
    answer that is no JSON. `refusals` are the statuses beside those that any request may get. With
    `unix_only` it is not served over TCP.
    """

    method: str
    path: str
    scope: Scope
    run: Answer
    summary: str
    answer: Any
    query: Sequence[Parameter] = ()
    body: Any = None
    refusals: Sequence[int] = ()
    unix_only: bool = False
    content_type: str = JSON
    tolerant: bool = False  # of whatever its body says: a stop is a stop
    statuses: Sequence[int] = (200,)
    for_any_console: bool = False  # also for one that may not command while another does

    @property
    def path_names(self) -> list[str]:
        """The names in the path."""
        return _IN_PATH.findall(self.path)
