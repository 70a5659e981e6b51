"""Cost of an architecture, intervals of it, and the units people write them in.

FLOPs here are multiply-accumulates (MACs) of convolution, linear and matrix-product layers and nothing
else: the convention of the MobileNet (Howard et al. 2017) and EfficientNet (Tan & Le 2019) papers and of
torchvision's published `_ops`. `torch.utils.flop_counter.FlopCounterMode` counts exactly twice this.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from decimal import Decimal

from nas.errors import InputError

BYTES = 4
"""Of a number in float32."""

_COUNT = r"((?:[0-9]{1,3}(?:,[0-9]{3})+|[0-9][0-9_]*)(?:\.[0-9]+)?(?:[eE]\+?[0-9]{1,2})?)\s*([A-Za-z]*)"
_UNITS = {"": 1, "K": 10**3, "M": 10**6, "G": 10**9, "T": 10**12}
_BYTE_UNITS = {
    **_UNITS,
    **{f"{unit}B": size for unit, size in _UNITS.items()},
    **{f"{unit}IB": 2 ** (10 * power) for power, unit in enumerate("KMGT", 1)},
}
_TIME_UNITS = {"": 1, "NS": 1, "US": 10**3, "MS": 10**6, "S": 10**9}


@dataclass(frozen=True, slots=True)
class Cost:
    """Cost of one forward pass of one image.

    `macs`: multiply-accumulates. `params`: learnable numbers. `activations`: elements of the outputs of
    convolution and linear layers (Radosavovic et al. 2020, section 3.1). `latency`: nanoseconds as a table of
    a device predicts them, 0 where there is no table.
    """

    macs: int = 0
    params: int = 0
    activations: int = 0
    latency: int = 0

    def __add__(self, other: Cost) -> Cost:
        return Cost(
            self.macs + other.macs,
            self.params + other.params,
            self.activations + other.activations,
            self.latency + other.latency,
        )

    def __mul__(self, times: int) -> Cost:
        return Cost(self.macs * times, self.params * times, self.activations * times, self.latency * times)

    def __str__(self) -> str:
        text = f"{format_count(self.macs)} MACs, {format_count(self.params)} params"
        return f"{text}, {shorten_latency(self.latency)}" if self.latency else text

    def to_data(self) -> dict[str, int]:
        """Return the figures by name, from which `from_data` makes an equal cost; the latency where it is
        known."""
        return {name: value for name, value in asdict(self).items() if value or name != "latency"}

    @classmethod
    def from_data(cls, data: Mapping[str, int]) -> Cost:
        """Return the cost of figures by name, among others. Raises KeyError where one is missing."""
        return cls(**{name: data[name] for name in _FIGURES}, latency=data.get("latency", 0))


_FIGURES = [*Cost().to_data()]


@dataclass(frozen=True, slots=True)
class Interval:
    """A closed interval of counts; `high` None means unbounded.

    >>> 400 in Interval(300, 400), Interval(300, 400).compare(500)
    (True, 1)
    >>> str(Interval(0, 400_000_000))
    '<= 400,000,000'
    """

    low: int = 0
    high: int | None = None

    def __contains__(self, value: int) -> bool:
        return value >= self.low and (self.high is None or value <= self.high)

    def compare(self, value: int) -> int:
        """Return 1 for a value above the interval, -1 for one below, 0 inside."""
        return int(self.high is not None and value > self.high) - int(value < self.low)

    def __str__(self) -> str:
        return self.format("{:,}".format)

    def format(self, show: Callable[[int], str]) -> str:
        """Return it for reading, its ends as `show` writes them."""
        if self.high is None:
            return f">= {show(self.low)}" if self.low else "any"
        return f"{show(self.low)}..{show(self.high)}" if self.low else f"<= {show(self.high)}"

    @property
    def text(self) -> str:
        """What `parse_interval` reads back; there has to be an upper end."""
        return self.write(str)

    def write(self, write: Callable[[int], str]) -> str:
        """Return the text that `parse_interval` reads back, its ends as `write` has them."""
        assert self.high is not None, "an interval without an upper end has no text"
        return f"{write(self.low)}..{write(self.high)}" if self.low else write(self.high)


def parse_count(text: str) -> int:
    """Read a count such as `400M`, `1.5G`, `5_000_000`, `5,000,000` or `4e8` exactly.

    >>> parse_count("1.5G")
    1500000000

    Raises InputError for anything else.
    """
    return _parse_whole(
        text,
        _UNITS,
        "a count; write a number with K, M, G or T, such as 400M or 1.5G",
        "a whole number; a count is one, such as 400M or 1.5G",
    )


def parse_bytes(text: str) -> int:
    """Read a number of bytes such as `8M`, `8MB` (8,000,000), `8MiB` (8,388,608) or `64_000` exactly.

    >>> parse_bytes("8MiB")
    8388608

    Raises InputError for anything else.
    """
    return _parse_whole(
        text,
        _BYTE_UNITS,
        "a number of bytes; write one with K, M or G, or with KiB, MiB or GiB, such as 8M or 1.5GiB",
        "a whole number of bytes; write one, such as 8M or 1.5GiB",
    )


def parse_latency(text: str) -> int:
    """Read a time such as `8ms`, `0.5s` or `800us` in nanoseconds; a whole number is of these.

    >>> parse_latency("8ms")
    8000000

    Raises InputError for anything else.
    """
    return _parse_whole(
        text,
        _TIME_UNITS,
        "a latency; write a time with s, ms or us, such as 8ms",
        "a whole number of nanoseconds; write a time such as 8ms or 800us",
    )


def format_latency(value: int) -> str:
    """Return nanoseconds in milliseconds, exactly, as `parse_latency` reads them.

    >>> format_latency(8_250_000)
    '8.25ms'
    """
    text = f"{value / 1e6:,.6f}".rstrip("0").rstrip(".")
    return f"{text}ms"


def shorten_latency(value: int) -> str:
    """Return nanoseconds in milliseconds with three digits, for reading: `8.25ms`."""
    return f"{float(f'{value / 1e6:.3g}'):g}ms"


def parse_interval(text: str, parse: Callable[[str], int] = parse_count) -> Interval:
    """Read a limit: `400M` is an upper bound, `300M..400M` a band, both ends in. `parse` reads an end.

    >>> parse_interval("300M..400M")
    Interval(low=300000000, high=400000000)

    Raises InputError for an end that cannot be read and for an empty band.
    """
    low_text, dots, high_text = text.partition("..")
    if not dots:
        return Interval(0, parse(text))
    if not (low_text.strip() and high_text.strip()):
        raise InputError(f"'{text}' is not a band; write both ends, such as 300M..400M, or 400M for at most")
    band = Interval(parse(low_text), parse(high_text))
    if band.high is not None and band.low > band.high:
        raise InputError(f"'{text}' is an empty band; write the smaller figure first, such as 300M..400M")
    return band


def format_large(value: int) -> str:
    """Return `6,561`, and `7.76 x 10^25` from a million million on; Python writes no more than 4,300
    digits."""
    if value < 10**12:
        return f"{value:,}"
    mantissa, exponent = f"{Decimal(value):.2e}".split("e+")
    return f"{mantissa} x 10^{exponent}"


def format_count(value: int) -> str:
    """Return three digits, `386M` of 385,814,752, for reading; files keep the exact figure.

    >>> format_count(385_814_752)
    '386M'
    """
    if value < 1000:
        return str(value)
    scaled, unit = 0.0, ""
    for unit in ("K", "M", "G", "T"):
        scaled = float(f"{value / _UNITS[unit]:.3g}")
        if scaled < 1000:
            break
    digits = 2 if scaled < 10 else 1 if scaled < 100 else 0
    return f"{scaled:.{digits}f}{unit}"


def _parse_whole(text: str, units: Mapping[str, int], what: str, whole: str) -> int:
    """Return the whole number in a text. Raises InputError for a text that is not `what`, nor `whole`."""
    count = _parse_number(text, units)
    if count is None or count % 1:
        raise InputError(f"'{text}' is not {what if count is None else whole}")
    return int(count)


def _parse_number(text: str, units: Mapping[str, int]) -> Decimal | None:
    """Return the number in a text with one of these units, exactly; None where there is none."""
    match = re.fullmatch(_COUNT, text.strip())
    if match is None or match.group(2).upper() not in units:
        return None
    return Decimal(re.sub("[,_]", "", match.group(1))) * units[match.group(2).upper()]
