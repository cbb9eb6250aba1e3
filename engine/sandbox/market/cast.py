"""Everybody who acts on a market: who there is follows from the behaviour, which may change while it runs."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping

from engine.sandbox.cluster.ledger.leader import BlockLimits
from engine.sandbox.market.actors import Actor, Venue
from engine.sandbox.market.arrivals import Arrivals
from engine.sandbox.market.behaviour import Behaviour
from engine.sandbox.market.congestion import Congestion
from engine.sandbox.market.rival import Rival
from engine.sandbox.market.traders import Traders


class Cast:
    """The actors of a venue, called in a fixed order: strangers, traders, newcomers, and the rival last."""

    def __init__(self, venue: Venue, limits: BlockLimits, openings_per_minute: float, crowd: int) -> None:
        """`openings_per_minute` hold as long as the behaviour says nothing else, up to `crowd` positions."""
        self._venue = venue
        self._always: list[Actor] = [
            Congestion(venue, limits),
            Traders(venue),
            Arrivals(venue, openings_per_minute, crowd),
        ]
        self._rival: Rival | None = None
        self._former: Counter[str] = Counter()
        self._engage()

    @property
    def behaviour(self) -> Behaviour:
        """How everybody behaves now."""
        return self._venue.behaviour

    def on_tick(self, tick: int) -> None:
        """Have everybody act on the prices of a tick."""
        for actor in self._always:
            actor.on_tick(tick)
        if self._rival is not None:
            self._rival.on_tick(tick)

    def figures(self) -> Mapping[str, int]:
        """What everybody has done so far."""
        figures = self._former.copy()
        for actor in [*self._always, *([self._rival] if self._rival else [])]:
            figures.update(actor.figures())
        return figures

    def behave(self, behaviour: Behaviour) -> None:
        """Change how everybody behaves from the next tick on."""
        share_before = self._venue.behaviour.rival_share
        self._venue.behaviour = behaviour
        if behaviour.rival_share != share_before:
            self._engage()

    def _engage(self) -> None:
        """Let a rival come whose share is the behaviour's, in place of the one before."""
        if self._rival is not None:
            self._venue.ledger.observers.remove(self._rival)
            self._former.update(self._rival.figures())
            self._rival = None
        if self._venue.behaviour.rival_share > 0:
            self._rival = Rival(self._venue)
