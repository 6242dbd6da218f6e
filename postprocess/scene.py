"""What a picture in 3-D shows of a run, for `volume.py` and for ParaView's `view.py` alike.

Imports nothing but the colours, so that ParaView's Python can use it too.
"""

from colours import COLOURS

#: Shares of the largest burden and of the largest C that bound the tumour and the front.
TUMOUR_EDGE, FRONT = 0.1, 0.25

#: From the middle of the domain to the eye; z points upward.
DIRECTION = (0.45, -1.0, 0.5)


def rgb(name: str) -> tuple[float, float, float]:
    """A field's colour as three numbers from 0 to 1."""
    red, green, blue = (int(COLOURS[name][n : n + 2], 16) / 255.0 for n in (1, 3, 5))
    return red, green, blue


def round_length(longest: float) -> float:
    """Length of a scale bar: the largest of 1, 2, 5, 10, ... that is at most half of the longest edge."""
    digits = f"{0.5 * longest:.15e}"
    first, power = float(digits[0]), float(f"1{digits[digits.index('e') :]}")
    return (5.0 if first >= 5.0 else 2.0 if first >= 2.0 else 1.0) * power
