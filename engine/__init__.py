"""The liquidation engine: it watches positions, decides exactly, liquidates, and keeps the record."""
