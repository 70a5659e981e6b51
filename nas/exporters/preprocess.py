"""What an exported file makes of an image: its constants and its function `preprocess`."""

from __future__ import annotations

from dataclasses import dataclass

from nas.exporters.text import is_too_long

_PREPROCESS = '''\
def preprocess(image: Any) -> torch.Tensor:
    """An image as the network takes it, ({shape}).

    `image`: upright{opaque}; a PIL image, an array (H, W{channels}) of bytes, or a tensor of
    bytes ({count}, H, W). Raises ValueError for any other.
    """
    if hasattr(image, "convert"):
        image.load()
        if image.mode[0] in "FI":
            raise ValueError(f"an image of mode {{image.mode}}; give bytes from 0 to 255")
        try:
            turn = image.getexif().get(274)
        except Exception:  # of a damaged segment; the image is whole
            turn = None
        if turn in range(2, 9):
            raise ValueError("an image that its EXIF turns; make it upright by PIL.ImageOps.exif_transpose")
{transparency}        image = image.convert("{mode}")
    if not isinstance(image, torch.Tensor):
        given = getattr(image, "__array_interface__", None)
        if given is None:
            raise ValueError(f"{{type(image).__name__}} is no image; open a file by PIL.Image.open")
        if given["typestr"] != "|u1":
            raise ValueError(f"an image of {{given['typestr']}}; give bytes from 0 to 255")
        height, width = given["shape"][:2]
        image = torch.frombuffer(bytearray(image.tobytes()), dtype=torch.uint8)
        image = image.view(height, width, -1).permute(2, 0, 1).contiguous()
    if image.dtype != torch.uint8 or image.dim() != 3 or len(image) != len(MEAN):
        raise ValueError(f"an image {{tuple(image.shape)}} of {{image.dtype}}; give bytes ({count}, H, W)")
{resizing}
    mean, deviation = (torch.tensor(values).view(1, -1, 1, 1) for values in (MEAN, DEVIATION))
    return (pixels / 255 - mean) / deviation'''

_REFUSE_TRANSPARENCY = """\
        if image.has_transparency_data and image.convert("RGBA").getextrema()[3][0] < 255:
            raise ValueError("an image with transparent pixels; put it on a background")
"""
_RESIZE = """\
    pixels = nn.functional.interpolate(image[None], size=SIZE, mode="bilinear", antialias=True)"""
_RESIZE_BY_ALPHA = """\
    pixels = image[None]
    if image.shape[1:] != SIZE:  # a colour counts as far as it is not transparent
        colours, alpha = pixels[:, :3], pixels[:, 3:].int()
        pixels = torch.cat([((colours * alpha + 127) // 255).byte(), pixels[:, 3:]], 1)
        pixels = nn.functional.interpolate(pixels, size=SIZE, mode="bilinear", antialias=True)
        colours, alpha = pixels[:, :3].int(), pixels[:, 3:].int()
        colours = torch.where(alpha > 0, 255 * colours // alpha.clamp(min=1), colours).clamp(max=255)
        pixels = torch.cat([colours.byte(), pixels[:, 3:]], 1)"""


@dataclass(frozen=True)
class Preparation:
    """What makes an image the input of a network: `size` (height, width), `mean` and `deviation` of each
    channel on the scale 0 to 1; and the names of the `classes` of its outputs, if these are scores.
    `has_alpha`: whether the last channel is alpha, by which colours count where an image is resized."""

    classes: tuple[str, ...]
    size: tuple[int, int]
    mean: tuple[float, ...]
    deviation: tuple[float, ...]
    has_alpha: bool = False

    def source(self) -> str:
        """Return the constants and the function of a file that needs torch alone."""
        count = len(self.mean)
        names = [f"CLASSES = ({', '.join(map(ascii, self.classes))},)"]
        if is_too_long(names[0]):
            names = ["CLASSES = (", *(f"    {name!a}," for name in self.classes), ")"]
        names = names if self.classes else []
        constants = [
            *names,
            f"SIZE = {self.size}",
            '"""Height and width."""',
            f"MEAN = {self.mean}",
            f"DEVIATION = {self.deviation}",
        ]
        function = _PREPROCESS.format(
            shape=", ".join(map(str, (1, count, *self.size))),
            count=count,
            channels=f", {count}" if count > 1 else "",
            mode={1: "L", 4: "RGBA"}.get(count, "RGB"),
            opaque="" if count == 4 else " and without transparency",
            transparency="" if count == 4 else _REFUSE_TRANSPARENCY,
            resizing=_RESIZE_BY_ALPHA if self.has_alpha else _RESIZE,
        )
        return "\n".join([*constants, "", "", function])
