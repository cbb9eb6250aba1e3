"""What the sandbox can be asked for, checked before anything starts: every refusal names its flag."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from engine.errors import SettingsError
from engine.protocol.addresses import FEEDS
from engine.sandbox.market.behaviour import Behaviour
from engine.sandbox.market.candles import DEFAULT_TICKS_PER_CANDLE, MIN_TICKS_PER_CANDLE
from engine.sandbox.market.drifts import Direction
from engine.sandbox.market.population_settings import PopulationSettings
from engine.sandbox.market.scenarios import Scenario
from engine.sandbox.trouble.settings import Trouble

MAX_SEED = 2**64 - 1
MAX_POSITIONS = 1_000_000
SLOT_MS_RANGE = (20, 10_000)
MAX_TICKS_PER_CANDLE = 10_000
MAX_NODES = 8


class SandboxOptionsError(SettingsError):
    """Options of the sandbox that cannot be used; the message names every flag that is wrong."""


@dataclass(frozen=True, slots=True)
class SandboxOptions:
    """The options of one sandbox; building them checks them and raises SandboxOptionsError.

    `prices` maps symbols to candle files and belongs to the replay scenario, `trend` to the trend scenario;
    ports of 0 mean any free one. `genesis_positions` of the positions are there when the chain begins; None
    is what exceeds the first 2,000. `nodes` answer over the same ledger, the first at `rpc_port`; with a
    `hermes_key` Hermes wants it as bearer token. Without a `state_dir` everything lives in a temporary
    directory that goes when the sandbox ends.
    """

    seed: int = 1
    positions: int = 500
    genesis_positions: int | None = None
    population: PopulationSettings = field(default_factory=PopulationSettings)
    behaviour: Behaviour = field(default_factory=Behaviour)
    scenario: str = Scenario.CALM.value
    trend: str | None = None
    prices: Mapping[str, Path] = field(default_factory=dict)
    ticks_per_candle: int = DEFAULT_TICKS_PER_CANDLE
    slot_ms: int = 400
    rpc_port: int = 8899
    ws_port: int = 8900
    nodes: int = 1
    hermes_port: int = 0
    hermes_key: str | None = None
    trouble: Trouble = field(default_factory=Trouble)
    state_dir: Path | None = None
    exit_with_parent: bool = False

    def __post_init__(self) -> None:
        """Refuse, all at once, what cannot work."""
        faults = [*self._number_faults(), *self._scenario_faults()]
        if self.rpc_port == self.ws_port != 0:
            faults.append(f"--rpc-port and --ws-port are both {self.rpc_port}: give two ports")
        if self.hermes_port != 0 and self.hermes_port in (self.rpc_port, self.ws_port):
            faults.append(f"--hermes-port {self.hermes_port} is a port of the node: give another")
        if self.hermes_key is not None and not _is_key(self.hermes_key):
            faults.append("--hermes-key must be 1 to 200 printable ASCII characters without spaces")
        if self.state_dir is not None and self.state_dir.exists() and not self.state_dir.is_dir():
            faults.append(f"--state-dir {self.state_dir} is not a directory")
        if faults:
            raise SandboxOptionsError("; ".join(faults))

    def _number_faults(self) -> Iterable[str]:
        for flag, value, lowest, highest in (
            ("--seed", self.seed, 0, MAX_SEED),
            ("--positions", self.positions, 0, MAX_POSITIONS),
            ("--ticks-per-candle", self.ticks_per_candle, MIN_TICKS_PER_CANDLE, MAX_TICKS_PER_CANDLE),
            ("--slot-ms", self.slot_ms, *SLOT_MS_RANGE),
            ("--rpc-port", self.rpc_port, 0, 65_535),
            ("--ws-port", self.ws_port, 0, 65_535),
            ("--hermes-port", self.hermes_port, 0, 65_535),
            ("--nodes", self.nodes, 1, MAX_NODES),
        ):
            if not lowest <= value <= highest:
                yield f"{flag} {value} is out of range: give {lowest} to {highest}"
        genesis = self.genesis_positions
        if genesis is not None and not 0 <= genesis <= self.positions:
            yield (
                f"--genesis-positions {genesis} is out of range: "
                f"give 0 to the number of --positions ({self.positions})"
            )

    def _scenario_faults(self) -> Iterable[str]:
        if self.scenario not in set(Scenario):
            yield f"--scenario {self.scenario!r} is unknown: choose {', '.join(Scenario)}"
        elif self.scenario == Scenario.REPLAY and not self.prices:
            yield "--scenario replay needs --prices SYMBOL=FILE.csv at least once"
        elif self.scenario != Scenario.REPLAY and self.prices:
            yield f"--prices does not go with --scenario {self.scenario}: use --scenario replay"
        if self.trend is not None and self.trend not in set(Direction):
            yield f"--trend {self.trend!r} is unknown: choose {', '.join(Direction)}"
        elif self.trend is not None and self.scenario != Scenario.TREND:
            yield f"--trend does not go with --scenario {self.scenario}: use --scenario trend"
        for symbol in self.prices:
            if symbol not in FEEDS:
                yield f"--prices {symbol}=… names an unknown symbol: choose {', '.join(FEEDS)}"


def _is_key(text: str) -> bool:
    return 1 <= len(text) <= 200 and text.isascii() and text.isprintable() and " " not in text


def parse_prices(arguments: Iterable[str]) -> dict[str, Path]:
    """The values of --prices, each SYMBOL=FILE.csv, by symbol; raises SandboxOptionsError.

    "SOL" and "sol/usd" are accepted for SOL/USD.
    """
    prices: dict[str, Path] = {}
    for argument in arguments:
        name, separator, file = argument.partition("=")
        if not separator or not name.strip() or not file.strip():
            raise SandboxOptionsError(f"--prices {argument!r} is not of the form SYMBOL=FILE.csv")
        symbol = name.strip().upper()
        symbol = symbol if "/" in symbol else f"{symbol}/USD"
        if symbol not in FEEDS:
            raise SandboxOptionsError(
                f"--prices {argument!r} names an unknown symbol: choose {', '.join(FEEDS)}"
            )
        if symbol in prices:
            raise SandboxOptionsError(f"--prices names {symbol} twice: give one file for each symbol")
        prices[symbol] = Path(file.strip())
    return prices
