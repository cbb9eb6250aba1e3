"""Looks at everything that an engine needs before one is started, and says what to mend."""
