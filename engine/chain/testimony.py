"""What the nodes tell of our transactions, held together: nothing is final on the word of one alone.

A finalized transaction is recorded, and its position is free again: a node that makes one up, or forgets one,
would cost money. So a second node is asked where there is one, and what was final stays as it was told.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, replace
from typing import TypeVar

import structlog
from solders.signature import Signature

from engine.chain.endpoint import Endpoint
from engine.chain.port import (
    MIN_CONTEXT_SLOT_NOT_REACHED,
    LandedTransaction,
    Level,
    RpcFailure,
    SignatureStatus,
    TransactionFault,
)
from engine.chain.rpc import RpcReader

log = structlog.get_logger("chain")

K = TypeVar("K")
R = TypeVar("R")
V = TypeVar("V")
Attempt = Callable[[Endpoint, Callable[[RpcReader], Awaitable[R]]], Awaitable[R]]

MOST_KEPT = 8192
SECOND_OPINION_S = 1.0
ROOT_LAG_SLOTS = 32  # nodes that have come equally far may have rooted differently far
_NOT_THERE = -32004  # what nodes themselves answer for a block that they do not have

Landed = tuple[int, TransactionFault | None]
"""The slot in which a transaction landed, and its fault."""
Fact = Landed | None
"""None for a transaction that never landed."""


@dataclass(frozen=True, slots=True)
class _Final:
    """What is final, the slot at which it was told, and by whom if by one alone."""

    landed: Landed
    told_at: int
    only_by: Endpoint | None


class Testimony:
    """Weighs statuses before anybody acts on them. Bounded: what it forgets, it asks for again."""

    def __init__(self, healthy: Callable[[], Sequence[Endpoint]], attempt: Attempt) -> None:  # type: ignore[type-arg]  # any answer
        self._healthy = healthy
        self._attempt = attempt
        self._final: OrderedDict[Signature, _Final] = OrderedDict()
        self._disputed: OrderedDict[Signature, str] = OrderedDict()

    @property
    def disputes(self) -> list[str]:
        """In words: the transactions about which nodes contradict each other, with no majority."""
        return list(self._disputed.values())

    async def weigh(
        self,
        witness: Endpoint,
        slot: int,
        signatures: Sequence[Signature],
        statuses: Sequence[SignatureStatus | None],
        *,
        history_searched: bool,
    ) -> list[SignatureStatus | None]:
        """The statuses of one node, as far as they may be believed: FINALIZED only where a second one agrees.

        Raises LyingNode when it contradicts what was final, or most of the others.
        """
        told = dict(zip(signatures, statuses, strict=True))
        for signature in [each for each in told if each in self._final]:
            if told[signature] is None and not history_searched:
                told[signature] = self._as_kept(signature)  # a node keeps recent statuses only
            self._hold_against_the_past(witness, slot, signature, told[signature])
        new = {
            signature: status
            for signature, status in told.items()
            if status is not None and status.level is Level.FINALIZED and signature not in self._final
        }
        if new:
            others = [node for node in self._healthy() if node is not witness]
            agreed = await self._agreed(witness, others, slot, new) if others else set(new)
            for signature, status in new.items():
                if signature in agreed:
                    landed = (status.slot, status.fault)
                    self._keep(signature, _Final(landed, slot, None if others else witness))
                else:
                    told[signature] = replace(status, level=Level.CONFIRMED)
        return [told[signature] for signature in signatures]

    def of_all(self, told: Sequence[Sequence[SignatureStatus | None]]) -> list[SignatureStatus | None]:
        """The furthest of what several nodes told; FINALIZED only where two of them, or all, say so."""
        return [_furthest(column) for column in zip(*told, strict=True)]

    def is_final(self, signature: Signature) -> bool:
        """Whether the transaction is known to be final."""
        return signature in self._final

    def hear(self, witness: Endpoint, signature: Signature, landed: LandedTransaction | None) -> None:
        """A node read a final transaction: raises LyingNode when that contradicts the status.

        Raises RpcFailure when it does not have it, so that another one is asked.
        """
        if landed is None:
            raise RpcFailure("the node does not have a transaction that is final", code=_NOT_THERE)
        if signature not in self._final:
            raise RpcFailure("whether the transaction is final is asked anew", code=_NOT_THERE)
        final = self._final[signature]
        if (landed.slot, landed.fault) != final.landed:
            if final.only_by is witness:
                del self._final[signature]  # it contradicts itself: which of the two is true is asked anew
            raise witness.lied("it told a transaction of ours that contradicts its status")

    def _hold_against_the_past(
        self, witness: Endpoint, slot: int, signature: Signature, status: SignatureStatus | None
    ) -> None:
        """What is final stays final; an answer that is merely older is none."""
        final = self._final[signature]
        if status is not None and status.level is Level.FINALIZED:
            if _fact(status) != final.landed:
                raise witness.lied("it told another end of a transaction of ours that was final")
            return
        if slot > final.told_at + ROOT_LAG_SLOTS:
            raise witness.lied("it took back a transaction of ours that was final")
        raise RpcFailure("the node has not come to what was final", code=MIN_CONTEXT_SLOT_NOT_REACHED)

    async def _agreed(
        self,
        witness: Endpoint,
        others: Sequence[Endpoint],
        slot: int,
        new: dict[Signature, SignatureStatus],
    ) -> set[Signature]:
        """Those that a second node calls final as well."""
        try:
            second_slot, second = await self._opinion(others[0], list(new))
        except RpcFailure:
            return set()  # it is asked again with the next look, or another one instead of it
        agreed: set[Signature] = set()
        for (signature, status), other in zip(new.items(), second, strict=True):
            if other is not None and _fact(other) == _fact(status):
                if other.level is Level.FINALIZED:
                    agreed.add(signature)
            elif second_slot >= slot and await self._is_upheld(witness, others, signature, status, other):
                agreed.add(signature)
        return agreed

    async def _is_upheld(
        self,
        witness: Endpoint,
        others: Sequence[Endpoint],
        signature: Signature,
        status: SignatureStatus,
        second: SignatureStatus | None,
    ) -> bool:
        """Two nodes contradict each other about a transaction: whether most are with the first of them."""
        votes: list[tuple[Endpoint, Fact]] = [(witness, _fact(status)), (others[0], _fact(second))]
        for node in others[1:]:
            try:
                _, (opinion,) = await self._opinion(node, [signature])
            except RpcFailure:
                continue
            votes.append((node, _fact(opinion)))
        facts = [fact for _, fact in votes]
        most = max(facts, key=facts.count)
        if 2 * facts.count(most) <= len(facts):
            self._dispute(signature, [node.name for node, _ in votes])
            return False
        self._disputed.pop(signature, None)
        lies = [
            node.lied("it told an end of a transaction of ours that the others contradict")
            for node, fact in votes
            if fact != most
        ]
        if most != votes[0][1]:
            raise lies[0]
        return True

    async def _opinion(
        self, node: Endpoint, signatures: Sequence[Signature]
    ) -> tuple[int, list[SignatureStatus | None]]:
        node.charge()
        told: tuple[int, list[SignatureStatus | None]] = await self._attempt(
            node,
            lambda reader: reader.statuses_at(signatures, search_history=True, deadline_s=SECOND_OPINION_S),
        )
        return told

    def _dispute(self, signature: Signature, names: Sequence[str]) -> None:
        """Say it once: the transaction is held until they agree."""
        if signature not in self._disputed:
            log.error("nodes contradict each other", signature=str(signature), nodes=", ".join(names))
        text = f"{' and '.join(names)} contradict each other about {str(signature)[:8]}…"
        _put(self._disputed, signature, text)

    def _as_kept(self, signature: Signature) -> SignatureStatus:
        slot, fault = self._final[signature].landed
        return SignatureStatus(slot, Level.FINALIZED, fault)

    def _keep(self, signature: Signature, final: _Final) -> None:
        self._disputed.pop(signature, None)
        _put(self._final, signature, final)


def _furthest(statuses: Sequence[SignatureStatus | None]) -> SignatureStatus | None:
    known = [status for status in statuses if status is not None]
    best = max(known, key=lambda status: status.level, default=None)
    if best is None or best.level is not Level.FINALIZED or known.count(best) >= min(2, len(statuses)):
        return best
    return replace(best, level=Level.CONFIRMED)


def _put(kept: OrderedDict[K, V], key: K, value: V) -> None:
    kept[key] = value
    kept.move_to_end(key)
    if len(kept) > MOST_KEPT:
        kept.popitem(last=False)


def _fact(status: SignatureStatus | None) -> Fact:
    return None if status is None else (status.slot, status.fault)
