"""The console's themes: the terminal's sixteen colours on its own background, and four of fixed colours.

Four meanings have a colour: healthy (success), attention (warning), danger (error), ours (accent). Each is
also a glyph or a word, so that nothing is lost without colour. Fixed colours stand out from their background
by 4.5:1 at least, those of the high-contrast theme by 7:1.
"""

from __future__ import annotations

from collections.abc import Mapping

from textual.color import Color
from textual.theme import Theme

DEFAULT_THEME = "terminal"
OWN_THEME = "own"
LEAST_CONTRAST = 4.5
COLOURS = ("background", "foreground", "muted", "healthy", "attention", "danger", "ours")


def contrast(one: str, other: str) -> float:
    """The contrast ratio of two colours as WCAG 2 defines it, 1 to 21."""
    lighter, darker = sorted((_luminance(one), _luminance(other)), reverse=True)
    return (lighter + 0.05) / (darker + 0.05)


def _luminance(colour: str) -> float:
    red, green, blue = (_linear(part) for part in Color.parse(colour).normalized)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def _linear(part: float) -> float:
    return part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4


def fixed_theme(name: str, colours: Mapping[str, str]) -> Theme:
    """A theme of fixed colours, one for each of COLOURS."""
    background = colours["background"]
    return Theme(
        name=name,
        dark=contrast(background, "#ffffff") > contrast(background, "#000000"),
        primary=colours["ours"],
        secondary=colours["ours"],
        accent=colours["ours"],
        success=colours["healthy"],
        warning=colours["attention"],
        error=colours["danger"],
        foreground=colours["foreground"],
        background=background,
        surface=background,
        panel=background,
        boost=background,
        variables={
            "text-muted": colours["muted"],
            "text": colours["foreground"],
            "border": colours["ours"],
            "border-blurred": colours["muted"],
        },
    )


FIXED: Mapping[str, Mapping[str, str]] = {
    "dark": {
        "background": "#0f141a",
        "foreground": "#e6e9ef",
        "muted": "#9aa5b1",
        "healthy": "#7fd88f",
        "attention": "#f2c55c",
        "danger": "#ff7b72",
        "ours": "#5ccfe6",
    },
    "light": {
        "background": "#ffffff",
        "foreground": "#1b1f24",
        "muted": "#5b6570",
        "healthy": "#1a6b2f",
        "attention": "#8a5300",
        "danger": "#b3261e",
        "ours": "#00677a",
    },
    "high-contrast": {
        "background": "#000000",
        "foreground": "#ffffff",
        "muted": "#d0d0d0",
        "healthy": "#4dff88",
        "attention": "#ffff4d",
        "danger": "#ff8c8c",
        "ours": "#66ffff",
    },
    # After Okabe and Ito: told apart with any of the common kinds of colour blindness.
    "colour-blind": {
        "background": "#101418",
        "foreground": "#eceff1",
        "muted": "#a4adb6",
        "healthy": "#56b4e9",
        "attention": "#f0e442",
        "danger": "#ff8533",
        "ours": "#e6a3c8",
    },
}

_TERMINAL = Theme(
    name=DEFAULT_THEME,
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
)
THEMES = (_TERMINAL, *(fixed_theme(name, colours) for name, colours in FIXED.items()))
