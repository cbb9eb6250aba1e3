"""Where trouble is ordered: keeps the settings of the cluster and its nodes, and answers `sandboxTrouble`."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable

from engine.sandbox.cluster.ledger.leader import Leader
from engine.sandbox.cluster.ledger.ledger import Ledger
from engine.sandbox.cluster.ledger.view import View
from engine.sandbox.cluster.rpc_errors import invalid_params
from engine.sandbox.hermes import HermesConditions, HermesServer
from engine.sandbox.market.oracle_conditions import OracleCondition, OracleConditions
from engine.sandbox.settings_arguments import SettingsArgumentError
from engine.sandbox.trouble.calls import Calls
from engine.sandbox.trouble.forks import Forks
from engine.sandbox.trouble.landing import Landing
from engine.sandbox.trouble.node import NodeTroubles
from engine.sandbox.trouble.reading import patched
from engine.sandbox.trouble.settings import HttpTrouble, Trouble
from engine.sandbox.trouble.words import refuse_unknown_words

METHOD = "sandboxTrouble"
_OF_A_NODE = ("http", "websocket", "node")


class TroubleDesk:
    """Takes orders for trouble and sees that they are followed; without any, nothing interferes.

    The oracle and Hermes are optional: a cluster without a market has none.
    """

    def __init__(self, leader: Leader, oracle: OracleConditions | None = None) -> None:
        self.counters: Counter[str] = Counter()
        self.hermes_calls = Calls("hermes", self.counters)
        self._hermes: HermesServer | None = None
        self._oracle = oracle
        self._landing = Landing(self.counters)
        self._forks = Forks(leader, self.counters)
        self._nodes: list[tuple[NodeTroubles, Trouble]] = []
        leader.fate = self._landing.fate

    def node(self, view: View) -> NodeTroubles:
        """The interference of one more node, to be passed to its server."""
        troubles = NodeTroubles(len(self._nodes), view)
        self._nodes.append((troubles, Trouble()))
        return troubles

    def look_after_hermes(self, hermes: HermesServer) -> None:
        """Let the section `hermes` act on this service, whose calls go through `hermes_calls`."""
        self._hermes = hermes

    def begin(self, trouble: Trouble) -> None:
        """Put settings in force for the cluster and for every node; raises SettingsArgumentError."""
        refuse_unknown_words("--trouble", trouble)
        self._set_cluster(trouble)
        for number, (troubles, _) in enumerate(self._nodes):
            self._nodes[number] = troubles, _after(trouble)
            troubles.set(trouble)

    def on_slot(self, ledger: Ledger) -> None:
        """Do what is due at the start of a slot."""
        self._forks.on_slot(ledger)

    def method(self, node: int) -> Callable[[list[object]], object]:
        """The RPC method of a node: without parameters it tells the settings, else it changes them."""

        def answer(parameters: list[object]) -> object:
            if parameters:
                self._order(node, parameters)
            troubles, settings = self._nodes[node]
            return {
                "node": node,
                "settings": settings.model_dump(mode="json"),
                "counters": {**self.counters, **troubles.counters},
            }

        return answer

    # --- inside ---

    def _order(self, node: int, parameters: list[object]) -> None:
        patch = parameters[0]
        if len(parameters) > 1 or not isinstance(patch, dict | None):
            raise invalid_params(f"{METHOD} takes one parameter: an object of settings, or null")
        troubles, current = self._nodes[node]
        try:
            trouble = Trouble() if patch is None else patched(METHOD, current, patch)
            refuse_unknown_words(METHOD, trouble)
        except SettingsArgumentError as refusal:
            raise invalid_params(str(refusal)) from None
        self._set_cluster(trouble, since=current)
        troubles.set(trouble)
        kept = _after(trouble)
        of_the_cluster = {
            name: getattr(kept, name) for name in Trouble.model_fields if name not in _OF_A_NODE
        }
        self._nodes = [
            (each, kept if number == node else settings.model_copy(update=of_the_cluster))
            for number, (each, settings) in enumerate(self._nodes)
        ]

    def _set_cluster(self, trouble: Trouble, since: Trouble | None = None) -> None:
        """Pass the cluster's sections on, those that changed: the others' draws go on where they are."""

        def changed(name: str) -> bool:
            return since is None or any(
                getattr(since, each) != getattr(trouble, each) for each in ("seed", name)
            )

        if changed("landing"):
            self._landing.set(trouble.landing, trouble.seed)
        if self._oracle is not None and changed("oracle"):
            self._oracle.clear()
            for symbol, condition in trouble.oracle.items():
                self._oracle.set(symbol, OracleCondition(**condition.model_dump()))
        if changed("hermes"):
            self._set_hermes(trouble)
        if changed("forks"):
            self._forks.set(trouble.forks, trouble.seed)

    def _set_hermes(self, trouble: Trouble) -> None:
        self.hermes_calls.set(HttpTrouble(**trouble.hermes.http.model_dump()), trouble.seed)
        if self._hermes is not None:
            values = trouble.hermes.model_dump(exclude={"http"})
            self._hermes.conditions = HermesConditions(**values)


def _after(trouble: Trouble) -> Trouble:
    """The settings that stay: what was to be done once is done."""
    return trouble.model_copy(update={"forks": trouble.forks.model_copy(update={"once": False})})
