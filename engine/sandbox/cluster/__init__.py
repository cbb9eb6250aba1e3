"""A Solana cluster in one process: a real virtual machine behind Solana's own JSON-RPC and WebSocket."""

from engine.sandbox.cluster.blocks.banks import Bank, Commitment, CommitmentDepths
from engine.sandbox.cluster.blocks.genesis import Genesis
from engine.sandbox.cluster.ledger.ledger import Ledger
from engine.sandbox.cluster.rpc_errors import RpcError, TransactionRefused
from engine.sandbox.cluster.serving.server import ClusterServer, serve

__all__ = [
    "Bank",
    "ClusterServer",
    "Commitment",
    "CommitmentDepths",
    "Genesis",
    "Ledger",
    "RpcError",
    "TransactionRefused",
    "serve",
]
