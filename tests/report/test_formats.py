"""How numbers are written."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fokker.report.formats import duration, measured, number, percent, ratio, spread, whole
from fokker.report.style import log_tick, pretty

SUPERSCRIPTS = str.maketrans("⁻⁰¹²³⁴⁵⁶⁷⁸⁹−", "-0123456789-")


def read(text: str) -> float:
    mantissa, _, power = text.replace(",", "").partition(" × 10")
    return float(mantissa.translate(SUPERSCRIPTS)) * 10.0 ** int(power.translate(SUPERSCRIPTS) or 0)


@given(st.floats(min_value=1e-12, max_value=1e12), st.sampled_from([-1.0, 1.0]))
def test_number_keeps_three_digits(value, sign):
    # Half a unit of the third digit is at most 0.5 % of the number.
    assert read(number(sign * value)) == pytest.approx(sign * value, rel=0.00501)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.014512, "0.0145"),
        (1.0, "1.00"),
        (999.9, "1,000"),
        (242718.0, "243,000"),
        (3.21e-5, "3.21 × 10⁻⁵"),
        (-2.5e7, "−2.50 × 10⁷"),
        (0.0, "0"),
        (None, "–"),
        (math.nan, "–"),
        (math.inf, "∞"),
    ],
)
def test_number(value, text):
    assert number(value) == text


@pytest.mark.parametrize(
    ("value", "error", "text"),
    [
        (300.0812, 0.0913, "300.08 ± 0.09"),
        (0.01453, 0.00051, "0.0145 ± 0.0005"),
        (0.0122, 0.0019, "0.0122 ± 0.0019"),
        (300.0, 12.3, "300 ± 12"),
        (-0.00001, 0.2, "0.0 ± 0.2"),
        (0.5, None, "0.500"),
        (0.5, 0.0, "0.500"),
        (None, 0.1, "–"),
    ],
)
def test_measured(value, error, text):
    assert measured(value, error) == text


def test_spread_has_two_digits_of_the_deviation():
    assert spread(0.15482, 0.00302) == "0.1548 ± 0.0030"


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (12.34, "12.3 s"),
        (59.99, "60.0 s"),
        (60.0, "1 min 0 s"),
        (1652.3, "27 min 32 s"),
        (3599.7, "1 h 0 min"),
        (14340.0, "3 h 59 min"),
        (None, "–"),
    ],
)
def test_duration(seconds, text):
    assert duration(seconds) == text


def test_zero_is_written_out():
    assert percent(0.0) == "0\u00a0%"
    assert percent(0.01133) == "1.13\u00a0%"
    assert whole(0) == "0"
    assert whole(1_000_000) == "1,000,000"
    assert ratio(1.0432) == "1.04 ×"


@pytest.mark.parametrize(
    ("value", "text"),
    [(1e-5, "10⁻⁵"), (2e-4, "2 × 10⁻⁴"), (0.01, "0.01"), (0.5, "0.5"), (1000.0, "1000")],
)
def test_log_tick(value, text):
    assert log_tick(value) == text


@pytest.mark.parametrize(
    ("name", "text"),
    [("phi", "φ"), ("psi2", "ψ2"), ("phi > 0 fraction", "φ > 0 fraction"), ("sophia", "sophia")],
)
def test_greek_letters(name, text):
    assert pretty(name) == text
