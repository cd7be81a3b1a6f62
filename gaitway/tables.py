"""How tables look in a terminal."""

from typing import Any

PLAIN_TABLE: dict[str, Any] = {"box": None, "padding": (0, 2, 0, 0), "pad_edge": False, "title_justify": "left"}
"""Tables that fit a terminal of 80 columns."""
