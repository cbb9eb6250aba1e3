"""The engine's one HTTP and WebSocket surface, on a unix socket for operators, on loopback for machines."""
