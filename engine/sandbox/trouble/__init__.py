"""Trouble on demand: what can go wrong between a client, a node and the chain, when somebody wants it to."""

from engine.sandbox.trouble.settings import Trouble

__all__ = ["Trouble"]
