"""Decides on the few positions that crossed a line, queues them, and carries each liquidation to its end."""
