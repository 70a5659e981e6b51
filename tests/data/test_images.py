"""Files of every kind as eight bits: transparency, depth, orientation, layouts of colour, several images."""

from __future__ import annotations

import io
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageCms, ImageOps

from nas.data import images
from nas.data.config import DataConfig
from nas.data.datasets import load_dataset
from nas.data.images import BrokenImage, Picture, Pictures, ignore_progress
from nas.data.levels import ON_WHITE, Levels, Rendering, parse_colour
from nas.data.pixels import find_levels, join_ranges, measure_range, render_arrays, to_bytes
from nas.data.stores import ImageFiles
from nas.data.traits import Trait, describe_renewed, describe_traits
from nas.errors import InputError

SIDE = 16
RNG = np.random.default_rng(0)


@pytest.fixture(autouse=True)
def cache_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


def decode(file: Path, rendering: Rendering = ON_WHITE, side: int = SIDE) -> Picture:
    found = images._decode_image(file, side, rendering)
    assert isinstance(found, Picture), found
    return found


def reason(file: Path) -> str:
    found = images._decode_image(file, SIDE, ON_WHITE)
    assert isinstance(found, BrokenImage)
    return found.reason


def read(folder: Path, rendering: Rendering = ON_WHITE) -> Pictures:
    """Every file of a folder, by name."""
    names = sorted(file.name for file in folder.iterdir() if file.is_file())
    return ImageFiles(folder, names).read(np.arange(len(names)), SIDE, ignore_progress, rendering)


# Transparency


def icon(mode: str) -> Image.Image:
    """A black square on nothing; what is not seen is black too."""
    alpha = Image.new("L", (SIDE, SIDE), 0)
    alpha.paste(255, (4, 4, 12, 12))
    found = Image.new("RGBA", (SIDE, SIDE), (0, 0, 0, 0))
    found.putalpha(alpha)
    if mode == "P":  # index 0 is not seen, and both are black
        palette = Image.new("P", (SIDE, SIDE), 0)
        palette.putpalette([0] * 6)
        palette.paste(1, (4, 4, 12, 12))
        palette.info["transparency"] = 0
        return palette
    return found.convert(mode)


@pytest.mark.parametrize(
    ("mode", "suffix"),
    [
        ("RGBA", "png"), ("LA", "png"), ("P", "png"), ("P", "gif"), ("RGBA", "webp"), ("RGBA", "tiff"),
        ("LA", "tiff"), ("RGBA", "avif"),
    ],
)  # fmt: skip
def test_what_is_transparent_shows_the_background(tmp_path: Path, mode: str, suffix: str) -> None:
    """Black on nothing was one flat black."""
    file = tmp_path / f"icon.{suffix}"
    exact = {"lossless": True} if suffix == "webp" else {"quality": 100} if suffix == "avif" else {}
    icon(mode).save(file, **exact)
    expected = np.full((3, SIDE, SIDE), 255)
    expected[:, 4:12, 4:12] = 0
    found = decode(file)
    assert np.allclose(found.pixels, expected, atol=2) and found.traits == Trait.TRANSPARENT
    for background, colour in (("black", (0, 0, 0)), ("#ff8000", (255, 128, 0))):
        pixels = decode(file, Rendering(background)).pixels
        assert np.allclose(pixels[:, 0, 0], colour, atol=2) and np.allclose(pixels[:, 8, 8], 0, atol=2)


def test_colours_with_one_that_is_transparent(tmp_path: Path) -> None:
    """A PNG without alpha may name one grey or colour that is not seen."""
    for mode, clear in (("L", 7), ("RGB", (7, 8, 9)), ("1", 1)):
        image = Image.new(mode, (SIDE, SIDE), clear)
        image.paste(0 if mode != "RGB" else (0, 0, 200), (0, 0, SIDE, 8))
        image.save(tmp_path / "key.png", transparency=clear)
        found = decode(tmp_path / "key.png", Rendering("#0a141e"))
        assert found.pixels[:, 15, 0].tolist() == [10, 20, 30] and found.traits == Trait.TRANSPARENT
        assert found.pixels[:, 0, 0].tolist() == ([0, 0, 200] if mode == "RGB" else [0, 0, 0])


def test_half_transparent_pixels_are_mixed_and_do_not_bleed(tmp_path: Path) -> None:
    """Against the background drawn first at full size, and then resized."""
    pixels = RNG.integers(0, 256, (48, 40, 4), dtype=np.uint8)
    pixels[..., 3] = np.where(RNG.random((48, 40)) < 0.5, pixels[..., 3], 0)
    Image.fromarray(pixels).save(tmp_path / "a.png")
    for name in ("white", "black", "#3060c0"):
        behind = Image.new("RGBA", (40, 48), (*parse_colour(name), 255))
        drawn = Image.alpha_composite(behind, Image.fromarray(pixels)).convert("RGB")
        expected = np.asarray(drawn.resize((SIDE, SIDE), Image.Resampling.BILINEAR)).transpose(2, 0, 1)
        found = decode(tmp_path / "a.png", Rendering(name)).pixels
        assert np.abs(found.astype(int) - expected).max() <= 2


def test_alpha_that_hides_nothing_changes_nothing(tmp_path: Path) -> None:
    pixels = RNG.integers(0, 256, (20, 20, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(tmp_path / "a.png")
    Image.fromarray(pixels).convert("RGBA").save(tmp_path / "b.png")
    one, other = decode(tmp_path / "a.png"), decode(tmp_path / "b.png", Rendering("black"))
    assert np.array_equal(one.pixels, other.pixels) and one.traits == other.traits == 0


def test_alpha_as_a_channel(tmp_path: Path) -> None:
    icon("RGBA").save(tmp_path / "a.png")
    Image.new("L", (SIDE, SIDE), 99).save(tmp_path / "b.png")
    found = read(tmp_path, Rendering("alpha"))
    assert found.images.shape == (2, 4, SIDE, SIDE) and found.traits == {Trait.TRANSPARENT: 1}
    assert found.images[0, 3, 0, 0] == 0 and found.images[0, 3, 8, 8] == 255
    assert (found.images[1, :3] == 99).all() and (found.images[1, 3] == 255).all()


def test_another_background_is_another_cache(tmp_path: Path) -> None:
    (tmp_path / "own").mkdir()
    icon("RGBA").save(tmp_path / "own/a.png")
    seen = [int(read(tmp_path / "own", Rendering(b)).images[0, 0, 0, 0]) for b in ("white", "black", "white")]
    assert seen == [255, 0, 255]


@pytest.mark.parametrize("text", ["", "none", "#12345", "#1234567", "ff8000", "#gg0000", "transparent"])
def test_backgrounds_that_are_none(text: str) -> None:
    with pytest.raises(InputError) as error:
        parse_colour(text)
    assert str(error.value) == (
        f"'{text}' is no background; it is white, black, grey, a colour such as #ff8000, or alpha to keep "
        "transparency as a channel"
    )


# More than eight bits


def deep(kind: str, bits: int = 12) -> np.ndarray:
    """A ramp over values of so many bits; signed and floating ones are moved."""
    ramp = np.linspace(0, 2**bits - 1, SIDE * SIDE).round().reshape(SIDE, SIDE)
    return (ramp - 1024 if kind in ("int32", "float32") else ramp).astype(kind)


@pytest.mark.parametrize(
    ("kind", "suffix"), [("uint16", "png"), ("uint16", "tiff"), ("int32", "tiff"), ("float32", "tiff")]
)
@pytest.mark.parametrize("bits", [10, 12, 16])
def test_levels_are_found_over_the_data(tmp_path: Path, kind: str, suffix: str, bits: int) -> None:
    """10 and 12 bits in 16, and values below zero, kept 3, 12 and 2 levels of grey."""
    values = deep(kind, bits)
    Image.fromarray(values).save(tmp_path / f"a.{suffix}")
    Image.new("L", (SIDE, SIDE), 77).save(tmp_path / "b.png")
    found = read(tmp_path)
    assert found.levels == Levels(float(values.min()), float(values.max()))
    expected = np.linspace(0, 255, SIDE * SIDE).reshape(SIDE, SIDE)
    assert np.abs(found.images[0, 0] - expected).max() <= 1 and len(np.unique(found.images[0])) > 250
    assert (found.images[1] == 77).all() and found.traits == {Trait.DEEP: 1}


@pytest.mark.parametrize("suffix", ["png", "tiff"])
@pytest.mark.parametrize("channels", [3, 4])
def test_sixteen_bits_in_colour(tmp_path: Path, suffix: str, channels: int) -> None:
    """Pillow has no mode for such, and cannot write them: the files are written here."""
    values = RNG.integers(0, 1024, (SIDE, SIDE, channels)).astype(np.uint16)
    if channels == 4:
        values[..., 3] = 65_535
    (tmp_path / f"a.{suffix}").write_bytes((png16 if suffix == "png" else tiff16)(values))
    found = read(tmp_path)
    assert found.levels is not None and abs(found.levels.high - 1023) < 5
    expected = (values[..., :3].transpose(2, 0, 1) / (1023 / 255)).round()
    assert np.abs(found.images[0].astype(int) - expected).max() <= 2


def png16(values: np.ndarray) -> bytes:
    import struct
    import zlib

    def chunk(name: bytes, content: bytes) -> bytes:
        return (
            struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))
        )

    height, width, channels = values.shape
    head = struct.pack(">IIBBBBB", width, height, 16, {3: 2, 4: 6}[channels], 0, 0, 0)
    lines = b"".join(b"\0" + row.astype(">u2").tobytes() for row in values)
    body = chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(lines)) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + body


def tiff16(values: np.ndarray) -> bytes:
    import struct

    height, width, channels = values.shape
    bits_at, data_at = 200, 256
    tags = [
        (256, 3, 1, width), (257, 3, 1, height), (258, 3, channels, bits_at), (259, 3, 1, 1), (262, 3, 1, 2),
        (273, 4, 1, data_at), (277, 3, 1, channels), (278, 3, 1, height), (279, 4, 1, values.nbytes),
        *([(338, 3, 1, 2)] if channels == 4 else []),
    ]  # fmt: skip
    directory = (
        struct.pack("<H", len(tags)) + b"".join(struct.pack("<HHII", *tag) for tag in tags) + b"\0" * 4
    )
    content = (b"II*\0" + struct.pack("<I", 8) + directory).ljust(bits_at, b"\0")
    content += struct.pack(f"<{channels}H", *[16] * channels)
    return content.ljust(data_at, b"\0") + values.astype("<u2").tobytes()


def test_levels_that_are_given(tmp_path: Path) -> None:
    Image.fromarray(deep("int32")).save(tmp_path / "ct.tiff")
    found = read(tmp_path, Rendering(levels=Levels(-1024, 1023)))
    assert found.levels == Levels(-1024, 1023)
    assert found.images[0, 0].ravel()[:: SIDE * SIDE // 2].tolist() == [0, 255]
    assert (found.images[0, 0, SIDE // 2 :] == 255).all()
    both = [read(tmp_path, Rendering(levels=Levels(-1024, high))).images for high in (1023, 3071, 1023)]
    assert np.array_equal(both[0], both[2]) and not np.array_equal(both[0], both[1])


def test_the_levels_are_those_of_the_images_to_train_on(tmp_path: Path) -> None:
    for part, bits in (("train", 10), ("val", 12)):
        for name in ("cat", "dog"):
            (tmp_path / "own" / part / name).mkdir(parents=True)
            for i in range(2):
                values = deep("uint16", bits)
                values[0, 0] = 60 * i + 30 * (name == "dog")
                Image.fromarray(values).save(tmp_path / "own" / part / name / f"{i}.png")
    spec = f"imagefolder:{tmp_path / 'own'}"
    for seed in (0, 1):
        data = load_dataset(DataConfig(spec, SIDE), seed=seed)
        assert data.rendering == Rendering(levels=Levels(0, 1023)) and data.traits == {Trait.DEEP: 8}
        assert (data.val_images[:, :, SIDE // 2 :] == 255).all()
    assert data.notes[0] == (
        "8 images have more than 8 bits: 0..1023 are black to white, found over those to train on; --levels "
        "LOW..HIGH sets others."
    )
    given = load_dataset(DataConfig(spec, SIDE, levels=Levels(0, 4095)), seed=0)
    assert given.notes[0] == "8 images have more than 8 bits: 0..4095 are black to white, given."
    assert given.train_images.max() == 64


def test_one_odd_image_and_a_few_odd_pixels_do_not_move_the_levels() -> None:
    values = RNG.integers(100, 900, (400, 1, 40, 40)).astype(np.uint16)
    values[:, 0, 0, 0] = 65_535  # a dead pixel in each
    values[7] = 65_535
    assert find_levels(values) == join_ranges(np.array([(100.0, 899.0)]), True)


def test_levels_of_odd_arrays() -> None:
    assert find_levels(np.zeros((2, 1, 4, 4), np.float32)) == Levels(0, 1)
    assert find_levels(np.full((2, 1, 4, 4), np.nan)) == Levels(0, 1)
    assert find_levels(np.eye(4, dtype=bool)[None, None]) == Levels(0, 1)
    assert find_levels(np.arange(200).reshape(1, 1, 10, 20)) == Levels(0, 255)
    odd = np.array([-np.inf, -1e300, 0, 0.5, 1, 1e300, np.inf, np.nan])
    assert to_bytes(odd, Levels(0, 1)).tolist() == [0, 0, 0, 128, 255, 255, 255, 0]
    assert measure_range(np.array([np.nan, np.inf])) is None


def test_no_number_at_all(tmp_path: Path) -> None:
    Image.fromarray(np.full((8, 8), np.nan, np.float32)).save(tmp_path / "a.tiff")
    assert reason(tmp_path / "a.tiff") == "none of its pixels is a number"


def test_arrays_of_more_than_eight_bits_and_with_alpha() -> None:
    ramp = deep("uint16")[None, None]
    found, levels = render_arrays(ramp, ON_WHITE)
    assert levels == Levels(0, 4095) and len(np.unique(found)) > 250
    for images_, keys in ((ramp / 4095, Levels(0, 1)), (ramp.astype(np.int64), Levels(0, 4095))):
        again, levels = render_arrays(images_, ON_WHITE)
        assert np.abs(again.astype(int) - found).max() <= 1 and levels == keys
    rgba = np.zeros((2, 4, 2, 2), np.uint8)
    rgba[1, 3] = 255
    assert render_arrays(rgba, ON_WHITE)[0][:, :, 0, 0].tolist() == [[255] * 3, [0] * 3]
    assert render_arrays(rgba[:, 2:], Rendering("black"))[0].tolist() == np.zeros((2, 1, 2, 2)).tolist()
    assert render_arrays(rgba, Rendering("alpha"))[0] is rgba
    half = np.array([0.5, 0.0, 1.0, 0.0]).reshape(1, 4, 1, 1)
    assert render_arrays(half, Rendering("white", Levels(0, 1)))[0].ravel().tolist() == [255] * 3


@pytest.mark.parametrize(
    ("kind", "deepest"),
    [("int64", 255), ("int64", 65_535), ("int32", 65_535), ("uint16", 255), ("uint16", 65_535),
     ("int16", 255), ("int16", 32_767), ("int8", 127), ("uint32", 2**32 - 1)],
)  # fmt: skip
def test_whole_numbers_with_alpha_are_as_deep_as_their_values(kind: str, deepest: int) -> None:
    """Numbers of eight bits are kept in types of 64 where a list becomes an array."""
    ramp = np.linspace(0, deepest, 64).round().astype(kind).reshape(1, 1, 8, 8)
    opaque = np.full_like(ramp, deepest)
    clear = np.concatenate([ramp, ramp, ramp, 0 * ramp], axis=1)
    images_ = np.concatenate([np.concatenate([ramp, ramp, ramp, opaque], axis=1), clear])
    levels = Levels(0, deepest)
    found, _ = render_arrays(images_, Rendering("black", levels))
    wanted = np.broadcast_to(to_bytes(ramp, levels), (1, 3, 8, 8))
    assert np.array_equal(found[:1], wanted) and not found[1].any()


@pytest.mark.parametrize(
    ("text", "written"), [("0..4095", "0..4095"), ("-1000..400", "-1000..400"), ("0.0..1.5", "0..1.5")]
)
def test_levels_as_text(text: str, written: str) -> None:
    found = Levels.parse(text)
    assert str(found) == written and Levels.parse(written) == found


@pytest.mark.parametrize(
    "text", ["", "4095", "..", "0..", "5..5", "9..1", "0..nan", "-inf..1", "a..b", "0-9"]
)
def test_levels_that_are_none(text: str) -> None:
    with pytest.raises(InputError) as error:
        Levels.parse(text)
    assert str(error.value) == (f"'{text}' is no range of values; write the lower first, such as 0..4095")


# Orientation


@pytest.mark.parametrize("suffix", ["jpg", "png", "webp", "tiff", "avif"])
@pytest.mark.parametrize("orientation", range(9))
def test_an_orientation_is_followed(tmp_path: Path, suffix: str, orientation: int) -> None:
    """Against Pillow's own turning of the whole image, before it is resized."""
    smooth = np.asarray(
        Image.fromarray(RNG.integers(0, 256, (3, 4, 3), dtype=np.uint8)).resize(
            (96, 64), Image.Resampling.BICUBIC
        )
    )
    exif = Image.Exif()
    exif[0x0112] = orientation
    file = tmp_path / f"a.{suffix}"
    Image.fromarray(smooth).save(file, exif=exif)
    with Image.open(file) as image:
        image.load()
        upright = ImageOps.exif_transpose(image).convert("RGB")
    expected = np.asarray(upright.resize((SIDE, SIDE), Image.Resampling.BILINEAR)).transpose(2, 0, 1)
    found = decode(file)
    assert np.abs(found.pixels.astype(int) - expected).mean() < 1.5
    assert found.traits == (Trait.TURNED if orientation in range(2, 9) else 0)


def test_a_damaged_exif_segment_breaks_no_image(tmp_path: Path) -> None:
    image = Image.new("RGB", (SIDE, SIDE), (10, 20, 30))
    for i, content in enumerate((b"Exif\0\0", b"Exif\0\0II*\0\x08\0\0\0\xff\xff", b"Exif\0\0nonsense")):
        image.save(tmp_path / f"{i}.jpg", exif=content, dpi=(72, 72))  # else Pillow itself fails
    found = read(tmp_path)
    assert len(found.images) == 3 and not found.broken and not found.traits


# Layouts of colour, several images in a file, files that are cut


def without_mark(jpeg: bytes) -> bytes:
    """A JPEG without its segment of Adobe."""
    at = jpeg.index(b"\xff\xee")
    return jpeg[:at] + jpeg[at + 2 + int.from_bytes(jpeg[at + 2 : at + 4], "big") :]


def test_cmyk_with_and_without_adobes_inversion(tmp_path: Path) -> None:
    """Inks of 0 are white paper. Adobe's files have them inverted, and say so by a segment of their own."""
    paper = Image.new("CMYK", (SIDE, SIDE), (0, 0, 0, 0))
    paper.paste((0, 255, 255, 0), (0, 0, SIDE, 8))
    paper.save(tmp_path / "adobe.jpg", quality=100)
    inverted = io.BytesIO()
    paper.point(lambda ink: 255 - ink).save(inverted, "JPEG", quality=100)
    (tmp_path / "plain.jpg").write_bytes(without_mark(inverted.getvalue()))
    paper.save(tmp_path / "a.tiff")
    for name, traits in (("adobe.jpg", 0), ("plain.jpg", Trait.INVERTED), ("a.tiff", 0)):
        found = decode(tmp_path / name)
        assert np.abs(found.pixels[:, 15, 0].astype(int) - 255).max() < 8, name
        assert np.abs(found.pixels[:, 0, 0].astype(int) - (255, 0, 0)).max() < 8, name
        assert found.traits == traits


def test_lab_and_one_bit(tmp_path: Path) -> None:
    rgb = Image.new("RGB", (SIDE, SIDE), (200, 40, 90))
    profiles = ImageCms.createProfile("sRGB"), ImageCms.createProfile("LAB")
    lab: Any = ImageCms.profileToProfile(rgb, *profiles, outputMode="LAB")
    lab.save(tmp_path / "lab.tiff")
    assert np.abs(decode(tmp_path / "lab.tiff").pixels[:, 0, 0].astype(int) - (200, 40, 90)).max() <= 3
    bits = RNG.integers(0, 2, (SIDE, SIDE)).astype(bool)
    for suffix in ("png", "tiff", "bmp"):
        Image.fromarray(bits).save(tmp_path / f"bits.{suffix}")
        assert np.array_equal(
            decode(tmp_path / f"bits.{suffix}").pixels, np.stack(3 * [bits * np.uint8(255)])
        )


@pytest.mark.parametrize("suffix", ["gif", "webp", "png", "tiff", "avif", "mpo"])
def test_the_first_of_several_images(tmp_path: Path, suffix: str) -> None:
    first, second = (Image.new("RGB", (SIDE, SIDE), (level, level, 0)) for level in (200, 20))
    first.save(tmp_path / f"a.{suffix}", save_all=True, append_images=[second])
    first.save(tmp_path / f"b.{suffix}")
    found = read(tmp_path)
    assert found.traits == {Trait.FRAMES: 1}
    assert np.abs(found.images[:, 0].astype(int) - 200).max() < 6


@pytest.mark.parametrize("options", [{}, {"progressive": True}, {"quality": 30}])
def test_a_jpeg_without_its_last_bytes(tmp_path: Path, options: dict[str, Any]) -> None:
    """No pixel is in them: the image is read, and noted. Where one is, the file is broken as before."""
    noise = Image.fromarray(RNG.integers(0, 256, (40, 40, 3), dtype=np.uint8))
    content = io.BytesIO()
    noise.save(content, "JPEG", **options)
    for name, missing in (("0", 0), ("1", 1), ("2", 2), ("many", 200)):
        (tmp_path / f"{name}.jpg").write_bytes(content.getvalue()[: len(content.getvalue()) - missing])
    whole = decode(tmp_path / "0.jpg")
    assert whole.traits == 0
    for name in "12":
        found = decode(tmp_path / f"{name}.jpg")
        assert np.array_equal(found.pixels, whole.pixels) and found.traits == Trait.CUT_END
    assert "truncated" in reason(tmp_path / "many.jpg")


def test_what_is_said() -> None:
    one = describe_traits(dict.fromkeys(Trait, 1), ON_WHITE, Levels(0, 9))
    assert one == [
        "1 image has transparent pixels, which are put on white.",
        "1 image has more than 8 bits: 0..9 are black to white, found over those to train on; --levels "
        "LOW..HIGH sets others.",
        "1 image has 16 bits a channel, of which Pillow reads the upper 8.",
        "1 image is turned as EXIF says.",
        "1 image is the first of several in a file, animated or of many pages.",
        "1 image lacks the last bytes of the file, and no pixel.",
        "1 image is CMYK without Adobe's mark, and not inverted.",
    ]
    (kept,) = describe_traits({Trait.TRANSPARENT: 1200}, Rendering("alpha"), None)
    assert kept == "1,200 images have transparent pixels, which keep their alpha as a channel."
    assert describe_renewed({Trait.TURNED: 3, Trait.FRAMES: 4, Trait.DEEP: 0}) == "3 turned by EXIF"


# What is not decoded, and how much at once


def test_a_drawing_by_a_program_is_no_image(tmp_path: Path) -> None:
    """Pillow has Ghostscript run such a file, whatever its suffix."""
    Image.new("RGB", (8, 8)).save(tmp_path / "a.eps")
    (tmp_path / "a.eps").rename(tmp_path / "a.png")
    assert reason(tmp_path / "a.png") == "it is EPS, which is drawn by a program; save it as PNG"


def test_large_images_are_decoded_one_at_a_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for i in range(8):
        Image.new("RGB", (200, 200), (i, 0, 0)).save(tmp_path / f"{i}.png")
    at_once, most, inner = [0], [0], images._render

    def counting(*args: Any) -> Any:
        at_once[0] += 1
        most[0] = max(most[0], at_once[0])
        time.sleep(0.01)
        found = inner(*args)
        at_once[0] -= 1
        return found

    monkeypatch.setattr(images, "_render", counting)
    monkeypatch.setattr(images, "_PART", 1)
    monkeypatch.setattr(images, "_LARGE", 200 * 200 - 1)
    found = images.decode_files(sorted(tmp_path.iterdir()), SIDE, ON_WHITE)
    assert [f.pixels[0, 0, 0] for f in found if isinstance(f, Picture)] == list(range(8))
    assert most == [1]
    monkeypatch.setattr(images, "_LARGE", 200 * 200)
    assert len(list(images.decode_files(sorted(tmp_path.iterdir()), SIDE, ON_WHITE))) == 8
    assert most[0] > 1


@pytest.mark.slow
def test_memory_is_bounded(tmp_path: Path) -> None:
    """Small files of 18 million pixels each, in a process of its own: one at a time, and no copy too many."""
    for i, mode in enumerate(("1", "L", "P", "RGB", "RGBA", "I;16")):
        Image.new(mode, (4200, 4200)).save(tmp_path / f"{i}.png")
    code = (
        "import resource, sys; from pathlib import Path; import PIL.Image, numpy\n"
        "from nas.data.images import decode_files; from nas.data.levels import *\n"
        "before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss\n"
        "files = sorted(Path(sys.argv[1]).iterdir())\n"
        "for found in decode_files(files, 32, Rendering(levels=Levels(0, 9))): found.pixels\n"
        "print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path)], capture_output=True, text=True, check=True
    )
    assert int(done.stdout) * 1024 < 16 * 4200 * 4200
