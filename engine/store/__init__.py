"""PostgreSQL: the schema, the pool, shipping the journal there, and the server that comes in the box.

Its outage delays history, never a liquidation.
"""
