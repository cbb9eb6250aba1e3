"""The console: shows one engine and commands it, from a terminal. The engine never needs it."""
