"""The runtime's limits on a transaction."""

MAX_COMPUTE_UNITS = 1_400_000
MAX_TRANSACTION_BYTES = 1_232
