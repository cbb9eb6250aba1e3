"""Prices with a verdict: a number alone never leads to a liquidation."""
