"""The console: a viewer of a running engine, and the operator's hands on it."""
