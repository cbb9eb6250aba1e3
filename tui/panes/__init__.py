"""The main screen's panes: each shows one part of a snapshot, and says why when it is empty."""
