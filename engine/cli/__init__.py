"""The command `liquidation-engine`: starts the console or the engine, and commands a running one."""
