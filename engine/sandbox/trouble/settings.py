"""Every kind of trouble that can be asked for, its unit and its bounds. The defaults are no trouble at all.

A share is between 0 and 1 and is drawn for each call, notification or transaction anew; of several shares of
one section at most one comes true, so together they are at most 1.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal, TypeAlias, get_args

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator
from solders.pubkey import Pubkey

from engine.protocol.addresses import FEEDS

LONGEST_LATENCY_MS = 600_000
LONGEST_DELAY_SLOTS = 10_000
FARTHEST_LAG_SLOTS = 1_000  # older account states are not kept
DEEPEST_FORK_SLOTS = 30  # a slot below that is finalized, and stays

Share: TypeAlias = Annotated[float, Field(ge=0, le=1)]
Milliseconds: TypeAlias = Annotated[float, Field(ge=0, le=LONGEST_LATENCY_MS)]
Symbol: TypeAlias = Literal["SOL/USD", "BTC/USD", "ETH/USD"]
assert set(get_args(Symbol)) == set(FEEDS)


def _solana_error(value: object) -> object:
    """A TransactionError in Solana's JSON: a name, or a name with its detail."""
    if isinstance(value, str) and value.isidentifier() and len(value) <= 64:
        return value
    if isinstance(value, dict) and len(value) == 1:
        ((name, detail),) = value.items()
        if name != "InstructionError" and isinstance(name, str) and name.isidentifier():
            return value
        if name == "InstructionError" and isinstance(detail, list) and len(detail) == 2:
            index, fault = detail
            custom = (
                isinstance(fault, dict) and list(fault) == ["Custom"] and _is_below(fault["Custom"], 2**32)
            )
            if _is_below(index, 256) and (custom or (isinstance(fault, str) and fault.isidentifier())):
                return value
    raise ValueError('no error of a transaction: write it as {"InstructionError": [0, {"Custom": 6004}]}')


def _is_below(value: object, bound: int) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value < bound


def _address(text: str) -> str:
    try:
        Pubkey.from_string(text)
    except ValueError:
        raise ValueError("no address") from None
    return text


SolanaError: TypeAlias = Annotated[Any, AfterValidator(_solana_error)]


class Section(BaseModel):
    """A part of the settings: frozen, no unknown keys, no coercion of types."""

    model_config = ConfigDict(frozen=True, strict=True, extra="forbid", allow_inf_nan=False)


class FixedLatency(Section):
    """Every time the same."""

    kind: Literal["fixed"] = "fixed"
    ms: Milliseconds


class UniformLatency(Section):
    """Anything between two bounds, all equally likely."""

    kind: Literal["uniform"] = "uniform"
    low_ms: Milliseconds
    high_ms: Milliseconds

    @model_validator(mode="after")
    def _in_order(self) -> UniformLatency:
        if self.low_ms > self.high_ms:
            raise ValueError("low_ms must not be above high_ms")
        return self


class LognormalLatency(Section):
    """What networks do: half of the times below `p50_ms`, one of a hundred above `p99_ms`."""

    kind: Literal["lognormal"] = "lognormal"
    p50_ms: Annotated[float, Field(gt=0, le=LONGEST_LATENCY_MS)]
    p99_ms: Annotated[float, Field(gt=0, le=LONGEST_LATENCY_MS)]

    @model_validator(mode="after")
    def _in_order(self) -> LognormalLatency:
        if self.p50_ms > self.p99_ms:
            raise ValueError("p50_ms must not be above p99_ms")
        return self


Latency: TypeAlias = Annotated[FixedLatency | UniformLatency | LognormalLatency, Field(discriminator="kind")]


def _at_most_one(*shares: float) -> None:
    if sum(shares) > 1 + 1e-9:
        raise ValueError("the shares of this section add up to more than 1")


class CallTrouble(Section):
    """What happens to a call."""

    latency: Latency | None = Field(default=None, description="How long the answer is held back.")
    drop_share: Share = Field(
        default=0, description="Carried out, then the connection is closed without an answer."
    )
    repeat_share: Share = Field(default=0, description="Carried out twice; the second answer is sent.")
    rate_limit_share: Share = Field(default=0, description="Not carried out: 429 with Retry-After.")
    calls_per_s: Annotated[int, Field(ge=1, le=1_000_000)] | None = Field(
        default=None, description="Calls above this rate get 429 with Retry-After."
    )
    retry_after_s: Annotated[int, Field(ge=0, le=3600)] = Field(
        default=1, description="What Retry-After says, in seconds."
    )
    error_share: Share = Field(default=0, description="Not carried out: `error_status`.")
    error_status: Literal[500, 502, 503, 504] = Field(default=503, description="The HTTP status of errors.")
    black_hole_share: Share = Field(
        default=0, description="Not carried out, never answered; the connection stays open."
    )

    @model_validator(mode="after")
    def _shares_fit(self) -> CallTrouble:
        _at_most_one(
            self.drop_share,
            self.repeat_share,
            self.rate_limit_share,
            self.error_share,
            self.black_hole_share,
        )
        return self


class HttpTrouble(CallTrouble):
    """A node's HTTP calls; a method that is named in `methods` follows its own settings alone."""

    methods: dict[Annotated[str, Field(pattern=r"^[A-Za-z]{1,64}$")], CallTrouble] = Field(
        default_factory=dict,
        max_length=100,
        description="Settings as in this section for single methods, by name.",
    )

    def of(self, method: str | None) -> CallTrouble:
        """What holds for a method."""
        return self if method is None else self.methods.get(method, self)


Kind: TypeAlias = Literal["account", "program", "signature", "logs", "slot", "slotsUpdates", "root", "block"]


class WebSocketTrouble(Section):
    """A node's notifications; answers to subscriptions come as ever."""

    kinds: tuple[Kind, ...] | None = Field(
        default=None, strict=False, description="Only notifications of these kinds; all when null."
    )
    silent: bool = Field(default=False, description="No notification arrives; connections stay open.")
    latency: Latency | None = Field(default=None, description="How much later they arrive, still in order.")
    drop_share: Share = Field(default=0, description="Never arrives.")
    repeat_share: Share = Field(default=0, description="Arrives twice.")
    reorder_share: Share = Field(default=0, description="Arrives after the one that follows it.")
    close_share: Share = Field(default=0, description="The connection is closed instead, without a goodbye.")
    close_after_s: Annotated[float, Field(gt=0, le=86_400)] | None = Field(
        default=None, description="A connection is closed at its first notification after so many seconds."
    )

    @model_validator(mode="after")
    def _shares_fit(self) -> WebSocketTrouble:
        _at_most_one(self.drop_share, self.repeat_share, self.reorder_share, self.close_share)
        return self


class NodeTrouble(Section):
    """How far a node is behind the cluster."""

    stands_still: bool = Field(
        default=False, description="It sees no further slot and answers from its last."
    )
    lag_slots: Annotated[int, Field(ge=0, le=FARTHEST_LAG_SLOTS)] = Field(
        default=0, description="It sees everything so many slots late."
    )


class LandingTrouble(Section):
    """The way of transactions into blocks; each one's fate is drawn once, by its signature."""

    lost_share: Share = Field(default=0, description="Never lands, however often it is sent.")
    late_share: Share = Field(default=0, description="Lands `late_slots` later than it could.")
    late_slots: Annotated[int, Field(ge=1, le=LONGEST_DELAY_SLOTS)] = Field(
        default=5, description="How late, in slots; 150 blocks are the life of a blockhash."
    )
    fail_share: Share = Field(default=0, description="Lands with `fail_error`: fee paid, no effect.")
    fail_error: SolanaError = Field(
        default_factory=lambda: {"InstructionError": [0, "ProgramFailedToComplete"]},
        description="The error, as in Solana's JSON.",
    )
    drop_share: Share = Field(
        default=0, description="This sending is lost; sending the same transaction again may succeed."
    )
    accounts: tuple[Annotated[str, Field(max_length=44), AfterValidator(_address)], ...] = Field(
        default=(), max_length=100, strict=False, description="Only transactions that name one of these."
    )

    @model_validator(mode="after")
    def _shares_fit(self) -> LandingTrouble:
        _at_most_one(self.lost_share, self.late_share, self.fail_share)
        return self


class ForkTrouble(Section):
    """Blocks that disappear with all that is in them; finalized ones never do."""

    every_slots: Annotated[int, Field(ge=1, le=100_000)] | None = Field(
        default=None, description="A fork each time so many slots have passed."
    )
    depth_slots: Annotated[int, Field(ge=1, le=DEEPEST_FORK_SLOTS)] = Field(
        default=2, description="How many blocks disappear beside the open one; all of these were confirmed."
    )
    returning_share: Share = Field(
        default=1, description="Of their transactions, how many wait for a block again; the rest is lost."
    )
    once: bool = Field(default=False, description="One fork, now.")
    skip_share: Share = Field(default=0, description="Of the slots, how many have no block.")


class OracleTrouble(Section):
    """One symbol's price account on chain; the market's true price goes on underneath."""

    outage: bool = Field(default=False, description="No updates: the price on chain grows old.")
    age_s: Annotated[int, Field(ge=0, le=86_400)] = Field(
        default=0, description="Every update is dated so many seconds back."
    )
    confidence_factor: Annotated[float, Field(gt=0, le=10_000)] = Field(
        default=1, description="The confidence interval times this; 20 is wider than 1 % of the price."
    )
    jump_bps: Annotated[int, Field(gt=-10_000, le=100_000)] = Field(
        default=0, description="The price off the market's by so many basis points."
    )


class HermesTrouble(Section):
    """The second source of prices, off chain."""

    bias_bps: dict[Symbol, Annotated[int, Field(gt=-10_000, le=100_000)]] = Field(
        default_factory=dict, description="How far off the truth its prices are, in basis points, by symbol."
    )
    confidence_factor: Annotated[int, Field(ge=1, le=10_000)] = Field(
        default=1, description="Its confidence intervals times this."
    )
    lag_s: Annotated[int, Field(ge=0, le=600)] = Field(default=0, description="How old its news is.")
    silent: bool = Field(default=False, description="Streams stay open, and bring nothing but keep-alives.")
    stream_s: Annotated[float, Field(gt=0, le=86_400)] | None = Field(
        default=None, description="Streams are cut at this age, in seconds."
    )
    http: CallTrouble = Field(default_factory=CallTrouble, description="Its requests: as the section `http`.")


class Trouble(Section):
    """All of it. `http`, `websocket` and `node` are of one node, the rest is of the whole cluster."""

    seed: Annotated[int, Field(ge=0, lt=2**64)] = Field(
        default=1, description="What all shares and latencies are drawn from."
    )
    http: HttpTrouble = Field(default_factory=HttpTrouble)
    websocket: WebSocketTrouble = Field(default_factory=WebSocketTrouble)
    node: NodeTrouble = Field(default_factory=NodeTrouble)
    landing: LandingTrouble = Field(default_factory=LandingTrouble)
    forks: ForkTrouble = Field(default_factory=ForkTrouble)
    oracle: dict[Symbol, OracleTrouble] = Field(
        default_factory=dict, description="The price accounts on chain, by symbol."
    )
    hermes: HermesTrouble = Field(default_factory=HermesTrouble)
