"""A Hermes-compatible service: the market's prices over HTTP and server-sent events, beside the chain."""

from engine.sandbox.hermes.conditions import HermesConditions
from engine.sandbox.hermes.server import DEFAULT_HERMES_PORT, HermesServer, serve_hermes
from engine.sandbox.hermes.source import PriceSource

__all__ = ["DEFAULT_HERMES_PORT", "HermesConditions", "HermesServer", "PriceSource", "serve_hermes"]
