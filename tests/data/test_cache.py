"""Decoded images in the user's cache: what is kept, what is decoded again, and what cannot stop a search."""

from __future__ import annotations

import errno
import multiprocessing
import os
import pickle
import resource
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from nas.data import cache, images
from nas.data.cache import find_image_folder
from nas.data.config import DataConfig
from nas.data.datasets import load_dataset
from nas.data.images import Picture, Pictures, decode_files
from nas.data.levels import ON_WHITE, Rendering
from nas.data.stores import ImageFiles, ImageParts
from nas.errors import NasError
from nas.report.decoding import DecodingBar

COUNT = 12
ALL = np.random.default_rng(0).permutation(COUNT)


@pytest.fixture(autouse=True)
def cache_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """Image i is grey of level 10 i; the fifth cannot be read."""
    folder = tmp_path / "photos"
    folder.mkdir()
    for i in range(COUNT):
        Image.new("L", (20, 12), 10 * i).save(folder / f"{i}.png")
    (folder / "5.png").write_bytes(b"no image")
    return folder


@pytest.fixture
def opened_images(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The names of the files that are decoded."""
    names: list[str] = []
    image = images._decode_image

    def counting(file: Path, resolution: int, rendering: Rendering) -> images.Found:
        names.append(file.name)
        return image(file, resolution, rendering)

    monkeypatch.setattr(images, "_decode_image", counting)
    return names


def read(folder: Path, indices: np.ndarray = ALL, resolution: int = 8) -> Pictures:
    names = [f"{i}.png" for i in range(COUNT)]
    return ImageFiles(folder, names).read(indices, resolution, images.ignore_progress)


def levels(pictures: Pictures) -> list[int]:
    assert pictures.images.shape[1:] == (3, 8, 8) and np.ptp(pictures.images, axis=(1, 2, 3)).max() == 0
    return [int(image[0, 0, 0]) // 10 for image in pictures.images]


def check_all(pictures: Pictures, folder: Path) -> None:
    """All images are there, in the order of `ALL`, but the broken one, which is named."""
    assert levels(pictures) == [i for i in ALL if i != 5]
    place = ALL.tolist().index(5)
    assert pictures.broken == {place: f"{folder}/5.png (cannot identify image file '5.png')"}


def rows_file() -> Path:
    (file,) = find_image_folder().glob("*.rows")
    return file


def test_a_file_is_decoded_once(photos: Path, opened_images: list[str]) -> None:
    """Also one that is broken; subsets and other orders read what is there and add to it."""
    some = np.array([7, 5, 2])
    assert levels(read(photos, some)) == [7, 2] and sorted(opened_images) == ["2.png", "5.png", "7.png"]
    opened_images.clear()
    check_all(read(photos), photos)
    assert sorted(opened_images) == sorted(f"{i}.png" for i in range(COUNT) if i not in some)
    opened_images.clear()
    check_all(read(photos), photos)
    assert levels(read(photos, some[::-1])) == [2, 7]
    assert opened_images == []


def test_a_folder_may_move_and_another_resolution_is_another_cache(
    photos: Path, opened_images: list[str]
) -> None:
    read(photos)
    moved = photos.rename(photos.with_name("moved"))
    opened_images.clear()
    check_all(read(moved), moved)
    assert opened_images == []
    assert read(moved, resolution=9).images.shape[2] == 9 and len(opened_images) == COUNT


def test_a_file_of_the_same_size_and_modification_time_is_another(photos: Path) -> None:
    """What copies an archive's times over a new file does not bring back the old image."""
    file = photos / "3.png"
    file.write_bytes(Image.new("L", (20, 12), 30).tobytes())  # of the size of any other such
    state = file.stat()
    assert 3 not in levels(read(photos))
    Image.new("L", (20, 12), 40).save(file)
    file.write_bytes(file.read_bytes().ljust(state.st_size, b"\0"))
    os.utime(file, ns=(state.st_atime_ns, state.st_mtime_ns))
    assert file.stat().st_size == state.st_size and file.stat().st_mtime_ns == state.st_mtime_ns
    assert levels(read(photos)).count(4) == 2


def test_what_the_machine_could_not_read_is_tried_again(photos: Path, opened_images: list[str]) -> None:
    (photos / "3.png").unlink()
    for _ in range(2):
        opened_images.clear()
        found = read(photos)
        assert opened_images == [] or "3.png" in opened_images
        assert f"{photos}/3.png (there is no such file)" in found.broken.values()
    assert opened_images == ["3.png"]


@dataclass
class Shaky:
    """An image in a file that cannot be read a number of times, as on a disk or network with an error."""

    file: Path
    failures: int = 0
    place: str = "0"

    @property
    def name(self) -> str:
        return self.file.name

    def read(self) -> bytes:
        if self.failures:
            self.failures -= 1
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        return self.file.read_bytes()


@pytest.mark.parametrize("is_mapped", [False, True], ids=["in memory", "mapped"])
def test_an_error_of_the_disk_is_not_remembered(
    photos: Path, is_mapped: bool, request: pytest.FixtureRequest
) -> None:
    if is_mapped:
        request.getfixturevalue("little_memory")
    parts = [Shaky(photos / f"{i}.png", failures=2 * (i == 3)) for i in range(COUNT)]
    place, broken = ALL.tolist().index(3), ALL.tolist().index(5)
    for _ in range(2):
        found = ImageParts(parts).read(ALL, 8, images.ignore_progress)
        assert isinstance(found.images, np.memmap) == is_mapped
        assert found.broken.keys() == {place, broken} and "Input/output error" in found.broken[place]
        assert levels(found) == [i for i in ALL if i not in (3, 5)]
    for _ in range(2):
        found = ImageParts(parts).read(ALL, 8, images.ignore_progress)
        assert found.broken.keys() == {broken} and levels(found) == [i for i in ALL if i != 5]


def cut_short(file: Path) -> None:
    os.truncate(file, file.stat().st_size // 2)


def emptied(file: Path) -> None:
    file.write_bytes(b"")


def overwritten(file: Path) -> None:
    content = bytearray(file.read_bytes())
    content[100:1000] = b"x" * 900
    file.write_bytes(content)


def with_records_of_nothing(file: Path) -> None:
    content = file.read_bytes()
    file.write_bytes(content[: COUNT * 192] + b"\1" * (len(content) - COUNT * 192))


def followed_by_more(file: Path) -> None:
    with file.open("ab") as end:
        end.write(b"more")


@pytest.mark.parametrize(
    "damage", [cut_short, emptied, overwritten, with_records_of_nothing, followed_by_more]
)
def test_a_damaged_cache_is_mended(photos: Path, damage: Callable[[Path], None]) -> None:
    read(photos)
    whole = rows_file().read_bytes()
    damage(rows_file())
    check_all(read(photos), photos)
    assert rows_file().read_bytes() == whole


def test_a_kill_at_any_write_leaves_a_cache_that_serves(
    photos: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each row takes two writes; the last may be a part only."""
    read(photos)
    whole = rows_file().read_bytes()
    pwrite = os.pwrite

    class Killed(BaseException):
        pass

    for last in range(2 * COUNT):
        rows_file().unlink()
        writes = iter(range(2 * COUNT))

        def dying(fd: int, content: bytes, at: int, writes: Iterator[int] = writes, last: int = last) -> int:
            if next(writes) == last:
                pwrite(fd, content[: len(content) // 2], at)
                raise Killed
            return pwrite(fd, content, at)

        monkeypatch.setattr(os, "pwrite", dying)
        with pytest.raises(Killed):
            read(photos)
        monkeypatch.setattr(os, "pwrite", pwrite)
        check_all(read(photos), photos)
        assert rows_file().read_bytes() == whole


def test_another_version_does_not_read_this_cache(
    photos: Path, monkeypatch: pytest.MonkeyPatch, opened_images: list[str]
) -> None:
    read(photos)
    rows_file().write_bytes(b"of a later format")
    monkeypatch.setattr(cache, "_FORMAT", -1)
    opened_images.clear()
    check_all(read(photos), photos)
    assert len(opened_images) == COUNT


READ = """\
import sys
import numpy as np
from pathlib import Path
from nas.data.stores import ImageFiles
from nas.data.images import ignore_progress
names = [f"{i}.png" for i in range(12)]
found = ImageFiles(Path(sys.argv[1]), names).read(np.arange(12), 8, ignore_progress)
print([int(image[0, 0, 0]) // 10 for image in found.images], *found.notes)
"""


def apart(photos: Path, home: Path, limit: Callable[[], object] | None = None) -> subprocess.Popen[str]:
    """Another process that reads all images; `limit` is called in it first."""
    return subprocess.Popen(
        [sys.executable, "-W", "error", "-c", READ, str(photos)],
        env={**os.environ, "XDG_CACHE_HOME": str(home)},
        stdout=subprocess.PIPE,
        text=True,
        preexec_fn=limit,
    )


def test_searches_that_start_at_once(photos: Path, tmp_path: Path) -> None:
    both = [apart(photos, tmp_path / "cache") for _ in range(2)]
    for process in both:
        assert process.communicate()[0].strip() == str([i for i in range(COUNT) if i != 5])
        assert process.returncode == 0
    check_all(read(photos), photos)


def note(folder: Path, why: str) -> str:
    return (
        f"The images are not kept in {folder}/nas/images ({why}), so that each search decodes them again; "
        "make room, or name another folder by XDG_CACHE_HOME."
    )


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of 64 KiB."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", str(folder)]
    if subprocess.run(mount, capture_output=True).returncode:
        pytest.skip("no file system can be mounted here")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


def test_a_disk_that_is_full(
    photos: Path, small_disk: Path, monkeypatch: pytest.MonkeyPatch, opened_images: list[str]
) -> None:
    """Known beforehand or found out while it is written: the images are decoded into memory, once."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(small_disk))
    free = shutil.disk_usage
    for known in (True, False):
        if not known:
            monkeypatch.setattr("shutil.disk_usage", lambda path: free("/"))
        opened_images.clear()
        found = read(photos, resolution=100)
        assert found.notes == (note(small_disk, "No space left on device"),)
        assert len(found.images) == COUNT - 1 and len(opened_images) == COUNT
        assert free(small_disk).used == 0


def test_a_limit_on_the_size_of_files(photos: Path, tmp_path: Path) -> None:
    def limited() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))

    process = apart(photos, tmp_path / "other", limited)
    expected = f"{[i for i in range(COUNT) if i != 5]} {note(tmp_path / 'other', 'File too large')}"
    assert process.communicate()[0].strip() == expected


def test_a_cache_folder_that_is_none(photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    found = read(photos)
    assert found.notes == (note(tmp_path / "file", "Not a directory"),)
    assert len(found.images) == COUNT - 1


def test_what_is_not_used_is_removed(photos: Path) -> None:
    find_image_folder().mkdir(parents=True)
    for name, days in (("a.rows", 31), (".b.map.1.tmp", 31), ("c.rows", 29)):
        file = find_image_folder() / name
        file.write_bytes(b"")
        os.utime(file, (0, file.stat().st_mtime - days * 24 * 3600))
    read(photos)
    assert {file.name for file in find_image_folder().iterdir()} == {"c.rows", rows_name(photos)}


def rows_name(photos: Path) -> str:
    return next(f.name for f in find_image_folder().glob("*.rows") if f.name != "c.rows")


def test_progress_counts_what_is_decoded(photos: Path) -> None:
    told: list[tuple[int, int]] = []
    names = [f"{i}.png" for i in range(COUNT)]
    files = ImageFiles(photos, names)
    files.read(np.arange(4), 8, images.ignore_progress)
    for _ in range(2):
        files.read(ALL, 8, lambda done, total: told.append((done, total)))
    assert told == [(done, COUNT - 4) for done in range(1, COUNT - 3)]


def test_a_bar_is_on_a_terminal_alone(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def shown() -> str:
        with DecodingBar() as bar:
            for done in range(1, 121):
                bar(done, 120)
        out, err = capsys.readouterr()
        assert out == ""
        return err

    assert shown() == ""
    monkeypatch.setenv("FORCE_COLOR", "1")
    assert "Decoding images" in (err := shown()) and "120/120" in err


# More than fits in memory


@pytest.fixture
def little_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cache, "read_memory_bytes", lambda: 4 * 3 * 8 * 8 * 6)  # a part of six images fits
    monkeypatch.setattr(cache, "_BLOCK_BYTES", 3 * 8 * 8 * 5)


@pytest.mark.usefixtures("little_memory")
def test_more_than_fits_in_memory_is_mapped(photos: Path, opened_images: list[str]) -> None:
    assert type(read(photos, ALL[:6]).images) is np.ndarray
    for _ in range(2):
        found = read(photos)
        assert isinstance(found.images, np.memmap) and not found.images.flags.writeable
        check_all(found, photos)
    assert len(opened_images) == COUNT
    assert not list(find_image_folder().glob(".*"))


@pytest.mark.usefixtures("little_memory")
def test_a_map_that_is_not_whole_is_written_anew(photos: Path) -> None:
    for kind, content in (("map", b"short"), ("json", b"{"), ("json", b"[]"), ("json", b'{"images": 3}')):
        read(photos)
        (file,) = find_image_folder().glob(f"*.{kind}")
        file.write_bytes(content)
        check_all(read(photos), photos)


@pytest.mark.usefixtures("little_memory")
def test_no_room_for_a_map(photos: Path, small_disk: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(small_disk))
    with pytest.raises(NasError) as caught:
        read(photos, resolution=100)
    assert str(caught.value) == (
        f"{small_disk}/nas/images: 12 images are too many for memory, and their file cannot be written: No "
        "space left on device; make room, name another folder by XDG_CACHE_HOME, or lower --max-images or "
        "--resolution"
    )
    assert [file.suffix for file in find_image_folder().iterdir()] == [".rows"]


@pytest.mark.usefixtures("little_memory")
def test_mapped_data_travel_as_a_path(tmp_path: Path) -> None:
    for k, name in enumerate(("cat", "dog")):
        (tmp_path / "own" / name).mkdir(parents=True)
        for i in range(40):
            Image.new("L", (8, 8), 3 * i + k).save(tmp_path / "own" / name / f"{i}.png")
    data = load_dataset(DataConfig(f"imagefolder:{tmp_path / 'own'}", 8), seed=0)
    assert isinstance(data.train_images, np.memmap) and isinstance(data.val_images, np.memmap)
    text = pickle.dumps(data, protocol=5)
    assert len(text) < data.train_images.nbytes
    back = pickle.loads(text)
    assert isinstance(back.train_images, np.memmap) and np.array_equal(back.train_images, data.train_images)
    assert np.array_equal(back.val_images, data.val_images) and back.mean == data.mean
    path = Path(str(data.train_images.filename))
    path.unlink()
    with pytest.raises(NasError) as caught:
        pickle.loads(text)
    assert str(caught.value) == (
        f"{path}: images too many for memory are read from this file, which is not on this machine; share "
        "the folder by XDG_CACHE_HOME, or lower --max-images or --resolution"
    )


# Many files


@pytest.mark.slow
def test_processes_decode_as_threads_do(photos: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    files = [photos / f"{i % COUNT}.png" for i in range(200)]
    expected = list(decode_files(files, 8, ON_WHITE))
    monkeypatch.setattr(images, "_MANY", 1)
    found = list(decode_files(files, 8, ON_WHITE))
    for one, other in zip(expected, found, strict=True):
        if isinstance(one, Picture) and isinstance(other, Picture):
            assert np.array_equal(one.pixels, other.pixels)
        else:
            assert one == other


def _abort(turn: object) -> None:
    os.abort()


@pytest.mark.slow
def test_a_process_that_dies(photos: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(images, "_MANY", 1)
    monkeypatch.setattr(images, "_start_process", _abort)
    with pytest.raises(NasError) as caught:
        list(decode_files([photos / "1.png"], 8, ON_WHITE))
    assert str(caught.value) == (
        "a process that decodes images has died; make sure that memory is free, and that a script of your "
        "own starts below: if __name__ == '__main__'"
    )
    assert not multiprocessing.active_children()
