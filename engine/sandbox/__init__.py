"""A cluster, a program, a market and a database on this machine: all that the engine needs outside itself."""
