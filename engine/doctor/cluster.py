"""The cluster: each node, its WebSocket, the program, the insurance fund, prices, the clock beside theirs."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from urllib.parse import urlsplit

from solders.pubkey import Pubkey

from engine.chain.clusters import cluster_name
from engine.chain.port import AccountRead, RpcFailure
from engine.chain.rpc import RpcReader
from engine.chain.websocket import WebSocketFailure, open_websocket
from engine.doctor.findings import Finding, fail, looked, ok, warn
from engine.doctor.machine import synchronised
from engine.price_feeds import watched_feeds
from engine.protocol.accounts import AccountRefused, decode_fund
from engine.protocol.addresses import insurance_fund_address
from engine.protocol.pyth import decode_price_update, to_e6
from engine.settings import Settings

SLOT_WAIT_S = 3.0
SLOW_MS = 250.0
LONGEST_FRAME = 64 * 1024
CLOCK_WARN_S, CLOCK_FAIL_S = 5, 30
_POLL_S = 0.2


async def look(settings: Settings) -> list[Finding]:
    """Everything that nodes tell; the parts are looked at side by side."""
    nodes = [looked(_node_name(url), lambda url=url: _node(url, settings)) for url in settings.rpc_urls]  # type: ignore[misc]
    sockets = [looked(_socket_name(url), lambda url=url: _websocket(url)) for url in settings.ws_urls]  # type: ignore[misc]
    rest = [
        looked("cluster", lambda: _same_cluster(settings)),
        looked("program", lambda: _on_chain(settings)),
    ]
    return [finding for found in await asyncio.gather(*nodes, *sockets, *rest) for finding in found]


def _node_name(url: str) -> str:
    return f"node {_host(url)}"


def _socket_name(url: str) -> str:
    return f"websocket {_host(url)}"


def _host(url: str) -> str:
    """Host and port: the rest of a URL may be a credential."""
    parts = urlsplit(url)
    return f"{parts.hostname}:{parts.port}" if parts.port else str(parts.hostname)


async def _node(url: str, settings: Settings) -> list[Finding]:
    """Whether it answers, how soon, and whether its slots go on."""
    name = _node_name(url)
    async with RpcReader(url, settings.rpc_timeout_s) as node:
        await node.slot()  # the connection is made
        began = time.monotonic()
        first = await node.slot()
        took_ms = (time.monotonic() - began) * 1000
        end = began + SLOT_WAIT_S
        slot = first
        while slot == first and time.monotonic() < end:
            await asyncio.sleep(_POLL_S)
            slot = await node.slot()
    if slot == first:
        return [fail(name, f"slot {slot} stands still", "use another node: it does not follow the cluster")]
    if took_ms > SLOW_MS:
        return [warn(name, f"slot {slot}, {took_ms:.0f} ms an answer", "use a node that is nearer")]
    return [ok(name, f"slot {slot}, {took_ms:.1f} ms an answer")]


async def _websocket(url: str) -> list[Finding]:
    name = _socket_name(url)
    try:
        socket = await open_websocket(url, lambda _: None, LONGEST_FRAME)
    except (WebSocketFailure, OSError) as error:
        return [fail(name, f"cannot be opened: {error}", "set SOLANA_WS_URL to the node's WebSocket")]
    socket.close()
    return [ok(name, "opens")]


async def _same_cluster(settings: Settings) -> list[Finding]:
    """All nodes that answer have to be of one cluster, and of the one that is meant."""

    async def of(url: str) -> str | None:
        try:
            async with RpcReader(url, settings.rpc_timeout_s) as node:
                return await node.genesis_hash()
        except RpcFailure:
            return None

    told = {each for each in await asyncio.gather(*map(of, settings.rpc_urls)) if each is not None}
    if not told:
        return [fail("cluster", "no node tells its genesis hash", "see to the nodes above")]
    if len(told) > 1:
        return [fail("cluster", f"the nodes are of {len(told)} clusters", "give nodes of one cluster")]
    (genesis,) = told
    if settings.genesis_hash not in (None, genesis):
        return [fail("cluster", f"{genesis} is not SOLANA_GENESIS_HASH", "correct the nodes, or the hash")]
    if settings.genesis_hash is None:
        remedy = f"set SOLANA_GENESIS_HASH={genesis} where real money is"
        return [warn("cluster", f"{cluster_name(genesis)}, whichever the first node is of", remedy)]
    return [ok("cluster", cluster_name(genesis))]


async def _on_chain(settings: Settings) -> list[Finding]:
    """The accounts that the engine cannot do without, of the first node that answers."""
    feeds = watched_feeds(settings)
    fund = insurance_fund_address(settings.program_id)
    addresses = [settings.program_id, fund, *(each.feed.account for each in feeds)]
    program, kept, *prices = await _accounts(settings, addresses)
    found = [_program(settings.program_id, program), _fund(fund, kept)]
    ages = []
    for each, read in zip(feeds, prices, strict=True):
        finding, age_s = _price(each.feed.symbol, read, each.limits.max_age_s, each.feed.feed_id)
        found.append(finding)
        if age_s is not None:
            ages.append(age_s)
    return [*found, _clock(ages)]


async def _accounts(settings: Settings, addresses: Sequence[Pubkey]) -> list[AccountRead]:
    failure = RpcFailure("no node")
    for url in settings.rpc_urls:
        try:
            async with RpcReader(url, settings.rpc_timeout_s) as node:
                return await node.accounts(addresses)
        except RpcFailure as error:
            failure = error
    raise failure


def _program(address: Pubkey, read: AccountRead) -> Finding:
    if read.data is None:
        return fail("program", f"{address} is not on this cluster", "set PROGRAM_ID, or use another cluster")
    return ok("program", f"{address} is deployed")


def _fund(address: Pubkey, read: AccountRead) -> Finding:
    if read.data is None:
        remedy = "have the protocol's authority initialise it: liquidations fail without it"
        return fail("fund", f"{address} is not initialised", remedy)
    try:
        fund = decode_fund(read.data, read.slot)
    except AccountRefused as refused:
        return fail("fund", f"{address} cannot be read: {refused}", "see that PROGRAM_ID is the right one")
    return ok("fund", f"{fund.balance_lamports / 1e9:.3f} SOL")


def _price(symbol: str, read: AccountRead, max_age_s: int, feed_id: bytes) -> tuple[Finding, int | None]:
    """How a feed stands, and the age of its price in seconds."""
    name = f"price {symbol}"
    if read.data is None:
        return fail(name, "there is no such account", "correct the feed in SYMBOLS"), None
    try:
        update = decode_price_update(read.data)
        price_e6 = to_e6(update.price, update.exponent)
    except AccountRefused as refused:
        return fail(name, f"cannot be read: {refused}", "correct the feed in SYMBOLS"), None
    if update.feed_id != feed_id:
        return fail(name, "the account is of another feed", "correct the feed in SYMBOLS"), None
    age_s = int(time.time()) - update.publish_time_s
    text = f"{price_e6 / 1e6:,.2f} USD, {age_s} s old"
    if abs(age_s) > max_age_s:
        return fail(name, text, f"its positions are held until it is younger than {max_age_s} s"), age_s
    return ok(name, text), age_s


def _clock(ages_s: Sequence[int]) -> Finding:
    """Prices that come from the future mean that our clock is late; the kernel knows of time servers."""
    follows = synchronised()
    ahead_s = -min(ages_s, default=0)
    remedy = "set the clock, and have it follow a time server (timedatectl set-ntp true)"
    if ahead_s > CLOCK_FAIL_S:
        return fail("clock", f"{ahead_s} s behind the youngest price", remedy)
    if ahead_s > CLOCK_WARN_S:
        return warn("clock", f"{ahead_s} s behind the youngest price", remedy)
    if follows is False:
        return warn("clock", "plausible, but follows no time server", remedy)
    return ok("clock", "follows a time server" if follows else "agrees with the prices")
