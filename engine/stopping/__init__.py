"""How an engine is stopped: by operators in any way there is, and by itself."""
