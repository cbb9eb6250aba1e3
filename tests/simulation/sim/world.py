"""One run: the world of a seed, the processes that live and die in it, and the verdict."""

from __future__ import annotations

import contextlib
import gc
import shutil
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import structlog
from bugs import planted
from solders.keypair import Keypair
from solders.pubkey import Pubkey

from engine.chain.frames import AccountNews
from engine.commands import MINIMUM_RESUME_LAMPORTS
from engine.journal import schema
from engine.protocol.addresses import PROGRAM_ID, insurance_fund_address
from engine.settings import Settings, load_settings
from engine.wallet.secret import SecretKey
from engine.wallet.signer import KeypairSigner
from sim import operator as operators
from sim.cluster import RENT_EXEMPT_LAMPORTS, SLOT_S, Cluster
from sim.database import Tables
from sim.ending import Ending
from sim.life import Life, scale_process
from sim.market import SOL, Market
from sim.nodes import GENESIS, Node
from sim.observer import WHOLE, Limits, Observer, Violation
from sim.program import Account
from sim.swarm import Plan, draw, stream
from sim.timeline import Timeline

MOOD_S = 0.5
RECOVERY_S = 90.0  # what a fork took back without a word is found by the snapshot of each minute
MAX_PRICE_AGE_S = 8
_FUND = insurance_fund_address()
_WALLET = KeypairSigner(SecretKey(Keypair.from_seed(bytes(range(32)))), "a simulation")
_MEMORY = Path("/dev/shm")  # a disk that is memory, where there is one


@dataclass(frozen=True, slots=True)
class Verdict:
    """What came of one seed."""

    seed: int
    violations: list[Violation]
    counts: Counter[str]
    digest: str
    virtual_s: float
    lines: list[str] | None


class World:
    """Everything that is not the engine, and the current process of it."""

    def __init__(self, plan: Plan, home: Path, *, keep_lines: bool = False) -> None:
        self.plan = plan
        self.home = home
        self.standing_stop = home / "STOP"
        self.gate_file = home / "gate.json"
        self.timeline = Timeline(keep_lines=keep_lines)
        self.signer = _WALLET
        self.skew_s = 0
        self.is_gate_damaged = False
        self.life: Life | None = None
        self._random = stream(plan.seed, "world")
        self._ids = stream(plan.seed, "ids")
        budget = self._random.randint(16_000, 50_000) if plan.intensity("fee budget is small") else 10 * SOL
        self.settings = _settings(plan.nodes, budget)
        self.cluster = Cluster(plan, stream(plan.seed, "cluster"), self.timeline, self.signer.address, _FUND)
        self.observer = Observer(
            self.cluster,
            self.timeline,
            Limits(
                self.cluster,
                self._now_ns,
                self.settings.priority_fee_cap_lamports,
                self.settings.fee_budget_lamports,
                MAX_PRICE_AGE_S,
            ),
        )
        self.cluster.count = self.observer.count
        self.cluster.on_landed = self.observer.on_landed
        poor = plan.intensity("wallet is poor") > 0
        lamports = RENT_EXEMPT_LAMPORTS + self._random.randint(-9_000, 40_000) if poor else 10 * SOL
        self.cluster.write(self.signer.address, Account(max(1, lamports), b"", Pubkey.default()))
        self.market = Market(plan, stream(plan.seed, "market"), self.cluster, self.observer.count)
        self.cluster.begin()
        self.cluster.on_block = self.market.step
        self.nodes = {
            node.url: node
            for node in (
                Node(
                    number,
                    plan,
                    stream(plan.seed, f"node {number}"),
                    self.cluster,
                    self.timeline,
                    self.observer.count,
                )
                for number in range(plan.nodes)
            )
        }
        for node in self.nodes.values():
            node.tell = self._tell
        self.tables = Tables()
        self.operator = operators.Operator(self, stream(plan.seed, "operator"))
        self.ending = Ending(self)

    @property
    def is_calm(self) -> bool:
        """Whether the trouble is over."""
        return self.cluster.is_calm

    def make_ids(self, count: int) -> list[str]:
        """Ids of liquidations."""
        return [self._ids.randbytes(6).hex() for _ in range(count)]

    def broke(self, error: BaseException) -> None:
        """The engine raised what nobody expects."""
        import traceback

        text = "".join(traceback.format_exception(error))
        self.observer.blame(WHOLE, f"{type(error).__name__}: {error}\n{text[-2500:]}")

    @contextlib.contextmanager
    def not_heard(self) -> Iterator[None]:
        """What is logged here is of the dead: a process that dies neither cleans up nor complains."""
        heard = len(_LOGS)
        try:
            yield
        finally:
            del _LOGS[heard:]

    def _now_ns(self) -> int:
        assert self.life is not None
        return self.life.clock.now_ns()

    # --- what the engine is told ---

    def _tell(self, address: Pubkey, slot: int, account: Account | None) -> None:
        self.observer.knowledge.tell(address, slot, account, self.timeline.now_s)

    def listener(self, ingest: Any) -> Any:
        """The engine's listener, and beside it the observer's."""
        return _Listener(ingest, self)

    # --- the run ---

    def run(self) -> None:
        """From the first start to recovery."""
        self.timeline.after(SLOT_S, self._on_slot)
        self.timeline.after(MOOD_S, self._on_mood)
        self.timeline.after(self.plan.trouble_s, self._calm_down)
        number = 0
        deaths = stream(self.plan.seed, "deaths")
        while not self.ending.is_over:
            self.life = Life(self, number, stream(self.plan.seed, f"life {number}"))
            self.life.run(self.plan.trouble_s + RECOVERY_S)
            self.operator.after_death()
            self.observer.knowledge.forget()
            number += 1
            if self.ending.is_over or self.timeline.now_s >= self.plan.trouble_s + RECOVERY_S:
                break
            self.life = None
            operators.damage_gate(self, deaths)
            self.timeline.pass_until(self.timeline.now_s + deaths.choice((0.3, 1.0, 1.0, 3.0, 15.0)))
        self.ending.judge()

    def _on_slot(self) -> None:
        if self.cluster.advance():
            self.timeline.note(f"slot {self.cluster.slot}")
        self.timeline.after(SLOT_S, self._on_slot)
        if self.life is not None and self.life.parts is not None and self.life.parts.funds.why_short():
            self.observer.count("wallet is poor")
        if self.is_calm and self.life is not None:
            self.ending.look()

    def _on_mood(self) -> None:
        for node in self.nodes.values():
            node.live()
        self.operator.look()
        intensity = self.plan.intensity("clock jumps")
        if not self.is_calm and intensity and self._random.random() < 0.15 * intensity:
            self.observer.count("clock jumps")
            self.skew_s = self._random.choice((0, 0, -3600, 3600, 20, -20))
            self._set_clock()
        self.timeline.after(MOOD_S, self._on_mood)

    def _set_clock(self) -> None:
        self.timeline.note(f"clock is {self.skew_s} s off")
        if self.life is not None:
            self.life.clock.skew_s = self.skew_s

    def _calm_down(self) -> None:
        """The last fault is over."""
        self.timeline.note("calm")
        self.cluster.is_calm = True
        for node in self.nodes.values():
            node.live()
        self.skew_s = 0
        self._set_clock()
        if not self.plan.intensity("wallet is poor"):
            return
        wallet = self.cluster.current(self.signer.address)
        held = wallet.lamports if wallet else 0
        if self._random.random() < 0.7:
            self.market.fund_wallet()
        elif held < MINIMUM_RESUME_LAMPORTS:
            self.operator.resumes = False  # who has no money left leaves it stopped


class _Listener:
    def __init__(self, ingest: Any, world: World) -> None:
        self._ingest = ingest
        self._world = world
        self.on_connected = ingest.on_connected
        self.on_disconnected = ingest.on_disconnected
        self.on_doubt = ingest.on_doubt
        self.on_slot = ingest.on_slot

    def on_accounts(self, news: list[AccountNews]) -> None:
        """Tell both."""
        for each in news:
            self._world._tell(each.address, each.slot, Account(each.lamports, each.data, each.owner))
        self._ingest.on_accounts(news)


def _settings(nodes: int, fee_budget_lamports: int) -> Settings:
    return _usual_settings(nodes).model_copy(update={"fee_budget_lamports": fee_budget_lamports})


@cache
def _usual_settings(nodes: int) -> Settings:
    return load_settings(
        {
            "SOLANA_RPC_URL": ",".join(f"http://node-{number}:8899" for number in range(nodes)),
            "WORKERS": "4",
            "SYMBOLS": '{"ETH/USD": null}',
            "MAX_PRICE_AGE_S": str(MAX_PRICE_AGE_S),
            "RPC_TIMEOUT_S": "2",
            "RETRY_ATTEMPTS": "3",
        }
    )


@cache
def _empty_journal() -> bytes:
    """The file of a journal without records."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "journal.db"
        schema.create(path, f"{GENESIS}/{_WALLET.address}/{PROGRAM_ID}", "0" * 32)
        return path.read_bytes()


def simulate(seed: int, *, bug: str | None = None, keep_lines: bool = False) -> Verdict:
    """The run of a seed, with a bug planted if one is named."""
    if bug is None:
        return _simulate(seed, keep_lines=keep_lines)
    with planted(bug):
        return _simulate(seed, keep_lines=keep_lines)


def _simulate(seed: int, *, keep_lines: bool) -> Verdict:
    quieten()
    scale_process()
    # What the collector finds, and reports, must not depend on when it comes by.
    was_collecting = gc.isenabled()
    gc.disable()
    home = Path(tempfile.mkdtemp(prefix="simulation-", dir=_MEMORY if _MEMORY.is_dir() else None))
    try:
        (home / "journal.db").write_bytes(_empty_journal())
        world = World(draw(seed), home, keep_lines=keep_lines)
        _LOGS.clear()
        try:
            world.run()
        except Exception as error:
            world.broke(error)
        for name in _LOGS:
            world.observer.blame(WHOLE, name)
        return Verdict(
            seed,
            world.observer.violations,
            world.observer.counts,
            world.timeline.digest(),
            world.timeline.now_s,
            world.timeline.lines,
        )
    finally:
        if was_collecting:
            gc.enable()
        shutil.rmtree(home, ignore_errors=True)


_LOGS: list[str] = []
_IS_QUIET: list[bool] = []
_BROKEN = ("broke",)


def quieten() -> None:
    """No log is written; what the engine logs of a fault of its own is kept for the verdict."""
    if _IS_QUIET:
        return
    _IS_QUIET.append(True)
    structlog.configure(
        processors=[_keep_faults],
        wrapper_class=structlog.make_filtering_bound_logger(40),
        cache_logger_on_first_use=True,
    )
    sys.unraisablehook = lambda _: None  # coroutines of the dead are closed by the collector


def _keep_faults(logger: Any, method: str, event: dict[str, Any]) -> Any:
    if str(event.get("event", "")).endswith(_BROKEN):
        error = sys.exc_info()[1] or event.get("exc_info")
        if error is not None and type(error).__name__ != "ProcessDied":
            import traceback

            trace = "".join(traceback.format_exception(error)) if isinstance(error, BaseException) else ""
            _LOGS.append(f"{event.get('event')}: {error!r}\n{trace[-2500:]}")
    raise structlog.DropEvent
