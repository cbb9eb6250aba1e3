"""Which cluster a genesis hash is, and whether other people's money is on it."""

from __future__ import annotations

from urllib.parse import urlsplit

MAINNET = "5eykt4UsFv8P8NJdTREpY1vzqKqZKvdpKuc147dw2N9d"
DEVNET = "EtWTRABZaYq6iMfeYKouRu166VU2xqa1wcaWoxPkrZBG"
_NAMES = {MAINNET: "mainnet", DEVNET: "devnet"}
_LOOPBACK = frozenset({"localhost", "127.0.0.1", "::1"})


def cluster_name(genesis_hash: str) -> str:
    """The cluster's name, or the beginning of its genesis hash when it is none of the public ones."""
    return _NAMES.get(genesis_hash, f"cluster {genesis_hash[:6]}")


def wants_an_operator(genesis_hash: str, rpc_url: str) -> bool:
    """Whether the first start on this cluster waits for a person: it is public, or not on this machine."""
    return genesis_hash in _NAMES or urlsplit(rpc_url).hostname not in _LOOPBACK
