"""Answers that are made at most so often, however many ask: the engine does not pay for its readers."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Hashable

MOST_KEPT = 32


class KeptAnswers:
    """The newest answers by what was asked, for `fresh_s` each; the longest unused ones go first.

    They belong to one event loop. Who asks while one is being made waits for that one.
    """

    def __init__(self, fresh_s: float) -> None:
        self._fresh_s = fresh_s
        self._answers: OrderedDict[Hashable, tuple[float, bytes]] = OrderedDict()
        self._making: dict[Hashable, asyncio.Task[bytes]] = {}

    async def get(self, asked: Hashable, make: Callable[[], Awaitable[bytes]]) -> bytes:
        """The answer, made anew when the last one is too old; raises what making it raises."""
        kept = self.fresh(asked)
        if kept is not None:
            return kept
        making = self._making.get(asked)
        if making is None:
            making = asyncio.ensure_future(self._make(asked, make))
            self._making[asked] = making
            making.add_done_callback(lambda _: self._making.pop(asked, None))
        # Whoever goes away meanwhile takes nobody else's answer along.
        return await asyncio.shield(making)

    def fresh(self, asked: Hashable) -> bytes | None:
        """The answer that is kept; None when there is none, or it is too old."""
        kept = self._answers.get(asked)
        if kept is None or asyncio.get_running_loop().time() - kept[0] >= self._fresh_s:
            return None
        self._answers.move_to_end(asked)
        return kept[1]

    async def _make(self, asked: Hashable, make: Callable[[], Awaitable[bytes]]) -> bytes:
        answer = await make()
        self._answers[asked] = (asyncio.get_running_loop().time(), answer)
        self._answers.move_to_end(asked)
        while len(self._answers) > MOST_KEPT:
            self._answers.popitem(last=False)
        return answer
