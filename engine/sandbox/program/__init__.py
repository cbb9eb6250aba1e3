"""The protocol's program as it runs in the sandbox: its C sources, the built bytes, and its Anchor IDL."""

from __future__ import annotations

from importlib.resources import files


def load() -> bytes:
    """The built program, ready to be given to a cluster."""
    return (files(__name__) / "liquidation_engine.so").read_bytes()


def idl() -> bytes:
    """The program's Anchor IDL (JSON, format of Anchor 0.30 and later)."""
    return (files(__name__) / "liquidation_engine.json").read_bytes()
