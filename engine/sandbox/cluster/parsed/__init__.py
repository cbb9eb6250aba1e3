"""`jsonParsed`: accounts and instructions of well-known programs in the words that a node has for them."""

from engine.sandbox.cluster.parsed.accounts import account_data
from engine.sandbox.cluster.parsed.instructions import instruction
from engine.sandbox.cluster.parsed.token_accounts import AccountOf

__all__ = ["AccountOf", "account_data", "instruction"]
