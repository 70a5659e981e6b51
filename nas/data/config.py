"""What a search trains on: the settings of its data."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Any

from nas.data.catalogue import BUILT_IN, FUNCTION, OWN
from nas.data.layout import GROUP, RULES, Layout
from nas.data.levels import ALPHA, Levels, Rendering, parse_colour
from nas.data.recognise import name_kind
from nas.errors import InputError
from nas.kinds import Kind, number, one_of, optional, parsed, quote_each, text, whole
from nas.settings import Config, Option, User

_PANEL = "Data"
_LEAST_PIXELS, _MOST_PIXELS = 8, 2_048
RESOLUTION = whole(
    f"a resolution; it is a whole number of pixels, {_LEAST_PIXELS} to {_MOST_PIXELS:,}",
    _LEAST_PIXELS,
    _MOST_PIXELS,
)


def _option(help: str, again: Callable[[Any], bool] | None = None) -> Option:
    """Return an option of the data, which an evaluator of a user's own does without."""
    return Option(help, _PANEL, again=again, unused_by=User.EVALUATOR)


def _is_background(value: object) -> bool:
    try:
        return isinstance(value, str) and bool(value == ALPHA or parse_colour(value))
    except InputError:
        return False


@dataclass(frozen=True)
class DataConfig(Config):
    """The data set, and how its training split is used (`nas.data.datasets.load_dataset`)."""

    dataset: Annotated[
        str,
        text("a data set, such as digits or imagefolder:PATH"),
        _option(
            f"{quote_each(BUILT_IN)}; a path, whose kind is found, or {quote_each(OWN)}; or `{FUNCTION}`, "
            "which is run.",
            again=lambda value: False,  # what is to be downloaded is asked for when it is not there
        ),
    ] = "digits"
    resolution: Annotated[
        int,
        RESOLUTION,
        _option("Side in pixels of the images that are trained on; with `--input`, by itself that."),
    ] = 32
    val_fraction: Annotated[
        float,
        number("a share of the images; it is above 0 and below 1", lambda v: 0 < v < 1),
        _option("Share of each class to validate on, where the data have no such part."),
    ] = 0.2
    max_images: Annotated[
        int | None,
        optional(whole("a number of images; it is a whole number of at least 4", 4), "for all"),
        _option("Use so many images at most, to train and to validate on, else all."),
    ] = None
    max_broken: Annotated[
        float,
        number("a share of the images; it is at least 0 and below 1", lambda v: 0 <= v < 1),
        _option("Leave files out that cannot be read, up to this share."),
    ] = 0.01
    folds: Annotated[
        int,
        whole("a number of folds; it is a whole number of at least 1, such as 5", 1),
        _option("Train a network once for each of so many parts to validate on, for few images."),
    ] = 1
    duplicates: Annotated[
        str,
        one_of("what becomes of copies", RULES),
        _option(
            "Copies of an image: `group` has them on one side of the split, `drop` leaves them out, `keep` "
            "lets them be."
        ),
    ] = GROUP
    group: Annotated[
        str | None,
        optional(text("what a split keeps together; it is a column, or a pattern of names with one (group)")),
        _option(
            "Images that a split keeps together: a column of the table, or a pattern of file names such as "
            "`(patient[0-9]+)`."
        ),
    ] = None
    columns: Annotated[
        tuple[str, ...] | None,
        parsed(
            "columns of a table, of path and label or of path and each class; write it as text, such as "
            "image_id,species",
            lambda value: value is None or (isinstance(value, tuple) and len(value) > 1 and all(value)),
            lambda written: tuple(name.strip() for name in written.split(",")),
            ",".join,
            null=None,
        ),
        _option(
            "Columns of path and label in a table, such as `image_id,species`, or of path and each class, "
            "else by usual names."
        ),
    ] = None
    suffix: Annotated[
        str | None,
        optional(text("a suffix, such as .jpg")),
        _option("What the paths of a table lack, such as `.jpg`, else found beside them."),
    ] = None
    background: Annotated[
        str,
        Kind("a background; it is white, black, grey, a colour such as '#ff8000', or alpha", _is_background),
        _option("What transparent pixels are put on, such as `#ff8000`; `alpha` keeps them as a channel."),
    ] = "white"
    levels: Annotated[
        Levels | None,
        parsed(
            "a range of values; write it as text, such as 0..4095",
            lambda value: value is None or isinstance(value, Levels),
            Levels.parse,
            str,
            null=None,
        ),
        _option("Values that are black and white in images of more than 8 bits, else found over them."),
    ] = None

    def __post_init__(self) -> None:
        super().__post_init__()
        object.__setattr__(self, "dataset", name_kind(self.dataset))

    @property
    def layout(self) -> Layout:
        """How its tables and names are to be understood."""
        return Layout(self.columns, self.suffix, self.group)

    @property
    def rendering(self) -> Rendering:
        """How the pixels of its images become eight bits."""
        return Rendering(self.background, self.levels)


def choose_resolution(side: int) -> int:
    """Return the resolution that the input of a network stands for: that, or the nearest allowed one."""
    return min(max(side, _LEAST_PIXELS), _MOST_PIXELS)
