"""How numbers are written on the page and on the axes."""

from __future__ import annotations

import math

NOTHING = "–"
"""Stands for a number that does not exist."""

_SUPERSCRIPT = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")


def number(value: float | None, digits: int = 3) -> str:
    """Number to so many significant digits: ``0.0145``, ``1,240``, ``1.2 × 10⁻⁵``."""
    if value is None or math.isnan(value):
        return NOTHING
    if value == 0 or math.isinf(value):
        return "0" if value == 0 else "∞" if value > 0 else "−∞"
    mantissa, exponent = f"{value:.{digits - 1}e}".split("e")
    power = int(exponent)
    if -4 < power < 6:
        return _minus(f"{float(f'{mantissa}e{exponent}'):,.{max(digits - 1 - power, 0)}f}")
    return f"{_minus(mantissa)} × {power_of_ten(power)}"


def power_of_ten(exponent: int) -> str:
    """Power of ten in plain text: ``10⁻³``."""
    return "10" + str(exponent).translate(_SUPERSCRIPT)


def whole(value: float | int | None) -> str:
    """Whole number with its thousands separated."""
    return NOTHING if value is None or not math.isfinite(value) else _minus(f"{value:,.0f}")


def measured(value: float | None, error: float | None) -> str:
    """Number with its standard error to one digit (two if the first is 1), to equal decimals."""
    digits = 2 if error and f"{error:e}"[0] == "1" else 1
    return _with(value, error, digits) or number(value)


def spread(mean: float | None, deviation: float | None) -> str:
    """Mean with the standard deviation of a distribution to two digits, to equal decimals."""
    return _with(mean, deviation, 2) or number(mean)


def _with(value: float | None, error: float | None, digits: int) -> str | None:
    if value is None or error is None or not 0.0 < error < math.inf or not math.isfinite(value):
        return None
    decimals = max(digits - 1 - math.floor(math.log10(error)), 0)
    return f"{_minus(f'{value:,.{decimals}f}')} ± {error:,.{decimals}f}"


def ratio(value: float | None) -> str:
    """Multiple of a floor: ``1.04 ×``."""
    return NOTHING if value is None else f"{number(value)} ×"


def percent(fraction: float | None, digits: int = 3) -> str:
    """Fraction as a percentage; zero is written out."""
    return NOTHING if fraction is None else f"{number(100.0 * fraction, digits)}\u00a0%"


def duration(seconds: float | None) -> str:
    """Time in its two largest units: ``27 min 32 s``."""
    if seconds is None or not math.isfinite(seconds):
        return NOTHING
    if seconds < 60.0:
        return f"{number(seconds)} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes} min {rest} s"
    hours, minutes = divmod(round(seconds / 60.0), 60)
    return f"{hours} h {minutes} min"


def _minus(text: str) -> str:
    """Typographic minus sign, and none before a number that is rounded to zero."""
    return text.replace("-", "−") if text.strip("-0.,") else text.lstrip("-")
