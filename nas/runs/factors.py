"""By what a network is scaled: the settings."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Annotated, Any

from nas.errors import InputError
from nas.kinds import Kind, optional, text, whole
from nas.measures import MACS, PARAMS, Measure
from nas.settings import Config, Option
from nas.space.compound import PUBLISHED, parse_steps
from nas.space.scale import FACTOR, Scale

_PANEL = "Scaling"
WAYS = (
    "scale in one way: by --phi, by --depth, --width and --resolution, to --target-flops, to "
    "--target-params, or to a --family"
)


def _read_by(parse: Callable[[str], object], rule: str) -> Kind:
    """Return the kind of texts that are read later, and that `parse` can read. It raises InputError."""

    def read(plain: Any) -> Any:
        if isinstance(plain, str):
            parse(plain)
        return plain

    return Kind(rule, lambda value: value is None or isinstance(value, str), read)


@dataclass(frozen=True)
class FactorsConfig(Config):
    """Factors of the depth, width and resolution of a network, None for 1.

    Raises InputError for what is no factor.
    """

    SECTION = "factors"

    depth: Annotated[float | None, optional(FACTOR), Option("Layers of each stage, times this.", _PANEL)] = (
        None
    )
    width: Annotated[float | None, optional(FACTOR), Option("Channels, times this.", _PANEL)] = None
    resolution: Annotated[
        float | None, optional(FACTOR), Option("Side of the input, times this.", _PANEL)
    ] = None

    @property
    def scale(self) -> Scale | None:
        """The factors, None where none is given."""
        given = {name: factor for name, factor in self.to_data().items() if factor is not None}
        return Scale(**given) if given else None


@dataclass(frozen=True)
class ScaleTarget:
    """An amount of a measure that a network is scaled to."""

    measure: Measure
    amount: int

    @classmethod
    def parse(cls, measure: Measure, text: str | None) -> ScaleTarget | None:
        """Return the target of a count as text, None where there is none. Raises InputError for another
        text."""
        return None if text is None else cls(measure, measure.parse(text))


Way = int | range | Scale | ScaleTarget
"""How a network is scaled: by a step of EfficientNet's, by each step of a range, by factors, to a target."""


@dataclass(frozen=True)
class ScaleConfig(Config):
    """Everything that decides how a network is scaled.

    One of these is given: `phi`, a step of EfficientNet's; `factors`; `target_flops` or `target_params`, a
    count as text; or a `family` of steps, `0..7`. `coefficients`: what a step multiplies by, the folder of a
    search of them, or `published`; None for those that were searched for the run, else EfficientNet's.

    Raises InputError for a value of the wrong type or out of range, and for two that exclude each other.
    """

    phi: Annotated[
        int | None,
        optional(
            whole(
                f"a step of EfficientNet's; it is a whole number from 0 to {len(PUBLISHED) - 1}",
                0,
                len(PUBLISHED) - 1,
            )
        ),
        Option("A step: 1 scales as B0 to B1, 7 as B0 to B7.", _PANEL),
    ] = None
    factors: FactorsConfig = field(default_factory=FactorsConfig)
    target_flops: Annotated[
        str | None,
        _read_by(MACS.parse, "a count; write it as text, such as 800M"),
        Option(
            "Multiply-accumulates to reach, up or down.", _PANEL, flags=("--target-flops", "--target-macs")
        ),
    ] = None
    target_params: Annotated[
        str | None,
        _read_by(PARAMS.parse, "a count; write it as text, such as 8M"),
        Option("Parameters to reach, up or down.", _PANEL),
    ] = None
    family: Annotated[
        str | None,
        _read_by(parse_steps, "a range of steps; write it as text, such as 0..7"),
        Option("Write all steps of a range, such as `0..7`, as NAME_b0.yaml and so on.", _PANEL),
    ] = None
    coefficients: Annotated[
        str | None,
        optional(text("coefficients; write them as text, such as 1.2,1.1,1.15")),
        Option(
            "What a step multiplies depth, width and resolution by, `D,W,R`; the folder of a search of them; "
            "or `published`; else those searched for the run, or EfficientNet's.",
            _PANEL,
        ),
    ] = None

    def __post_init__(self) -> None:
        super().__post_init__()
        if len(self.ways) > 1:
            raise InputError(WAYS)
        if self.coefficients is not None and self.factors.scale is not None:
            raise InputError("coefficients: are of steps, and factors are given; leave one of them out")

    def check_searched(self) -> None:
        """Raise InputError for what is of no use where coefficients are searched first, to scale by them."""
        if self.coefficients is not None:
            raise InputError("--coefficients: are searched by --search-coefficients; leave one of them out")
        if self.factors.scale is not None:
            raise InputError(
                "factors: are no steps, which --search-coefficients finds; give --phi or --family, or leave "
                "one of the two out"
            )

    @property
    def ways(self) -> list[Way]:
        """How it is scaled: what of these is given."""
        found: list[Way | None] = [
            self.phi,
            self.factors.scale,
            ScaleTarget.parse(MACS, self.target_flops),
            ScaleTarget.parse(PARAMS, self.target_params),
            None if self.family is None else parse_steps(self.family),
        ]
        return [way for way in found if way is not None]

    @property
    def way(self) -> Way:
        """The one way. Raises InputError where there is none."""
        for found in self.ways:
            return found
        raise InputError(WAYS)
