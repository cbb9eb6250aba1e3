"""Drills: what the engine promises for an emergency, tried out and measured from outside."""
