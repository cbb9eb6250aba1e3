"""The console's own themes: the terminal's sixteen colours on its own background, and two of fixed colours.

Four meanings have a colour: healthy (success), attention (warning), danger (error), ours (accent). Each is
also a glyph or a word, so that nothing is lost without colour.
"""

from __future__ import annotations

from textual.theme import Theme

DEFAULT_THEME = "terminal"

THEMES = (
    Theme(
        name="terminal",
        ansi=True,
        primary="ansi_cyan",
        secondary="ansi_cyan",
        accent="ansi_cyan",
        success="ansi_green",
        warning="ansi_yellow",
        error="ansi_bright_red",
        foreground="ansi_default",
        background="ansi_default",
        surface="ansi_default",
        panel="ansi_default",
        boost="ansi_default",
        variables={
            "ansi-background": "ansi_default",
            "ansi-foreground": "ansi_default",
            "border": "ansi_cyan",
            "border-blurred": "ansi_bright_black",
            "input-cursor-background": "ansi_white",
            "input-cursor-foreground": "ansi_black",
            "input-selection-background": "ansi_cyan",
            "input-selection-foreground": "ansi_black",
            "block-cursor-foreground": "ansi_black",
            "block-cursor-background": "ansi_cyan",
            "screen-selection-background": "ansi_cyan",
            "screen-selection-foreground": "ansi_black",
        },
    ),
    Theme(
        name="night",
        primary="#6cb6ff",
        secondary="#6cb6ff",
        accent="#5ccfe6",
        success="#7fd88f",
        warning="#f2c55c",
        error="#ff7b72",
        foreground="#e6e9ef",
        background="#0f141a",
        surface="#161c24",
        panel="#1d2530",
    ),
    Theme(
        name="day",
        dark=False,
        primary="#0b5cad",
        secondary="#0b5cad",
        accent="#00677a",
        success="#1a6b2f",
        warning="#8a5300",
        error="#b3261e",
        foreground="#1b1f24",
        background="#ffffff",
        surface="#f4f6f8",
        panel="#e8ecf0",
    ),
)
