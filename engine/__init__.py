"""The liquidation engine: it watches positions, decides exactly, liquidates, and keeps the record."""

__version__ = "0.1.0"
