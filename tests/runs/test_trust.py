"""A run folder of someone else imports, opens, connects to and writes nothing by itself."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from command_line import SHORT, nas

from nas.errors import InputError
from nas.files import write_atomically
from nas.runs.config import SearchConfig
from nas.runs.folder import RunFolder
from nas.runs.manifest import Manifest
from nas.runs.state import RunState
from nas.training.base import Failure, FailureReason
from nas.workflows.export import export

Change = Callable[..., None]


@pytest.fixture
def change(tiny_run: RunFolder) -> Change:
    """Changes settings in the run.yaml of a finished search of three trials, as a stranger may."""

    def write(**settings: Any) -> None:
        document = yaml.safe_load(tiny_run.manifest_file.read_text())
        document["settings"] |= {"in_process": False, **settings}
        tiny_run.manifest_file.write_text(yaml.safe_dump(document))

    return write


# What is in the folder

COMMANDS = [
    ("show", "runs/mine"),
    ("resume", "runs/mine", "--trials", "4"),
    ("export", "runs/mine", "-o", "out.py"),
    ("draw", "runs/mine", "-o", "out.svg"),
    ("report", "runs/mine", "-o", "out.html"),
    ("scale", "runs/mine", "--phi", "1", "-o", "out.yaml"),
    ("score", "runs/mine"),
    ("ask", "runs/mine"),
    ("tell", "runs/mine", "0", "0.5"),
    ("serve", "runs/mine"),
    ("mcp", "runs/mine"),
]
"""All that read a run folder."""
WRITTEN = (".lock", "study.journal", "weights", "best.yaml", "trials.csv", "best.py", "plugins", "run.yaml")


def contents(folder: Path) -> dict[str, bytes | None]:
    return {str(p.relative_to(folder)): p.read_bytes() if p.is_file() else None for p in folder.rglob("*")}


@pytest.mark.parametrize(
    ("command", "name"),
    [*((command, "weights") for command in COMMANDS), *((COMMANDS[1], name) for name in WRITTEN)],
)
def test_a_link_that_leads_out_is_refused(tiny_run: RunFolder, command: tuple[str, ...], name: str) -> None:
    """What it leads to is what was there, moved, so that a command could use it."""
    entry, outside = tiny_run.path / name, Path("outside").absolute()
    outside.mkdir()
    target = outside / "trial-00009.safetensors"
    if entry.exists():
        entry.rename(target)
    else:
        target.write_text("mine")
    entry.symlink_to(target)
    before = contents(outside)
    said = nas(*command)
    assert (said.code, said.out) == (2, "")
    assert said.err == (
        f"error: runs/mine/{name}: is a link out of the run folder, to {target}; put what is there in its "
        "place, or remove the link\n"
    )
    assert contents(outside) == before and not list(Path().glob("out.*"))


@pytest.mark.parametrize("target", ["nowhere", "/dev/null", "../../mine-2", "../../../runs"])
def test_a_link_further_in_is_found(tiny_run: RunFolder, target: str) -> None:
    link = tiny_run.weights_folder / "trial-00007.safetensors"
    link.symlink_to(target)
    if target == "nowhere":
        assert RunFolder.open(tiny_run.path) == tiny_run
    else:
        with pytest.raises(InputError, match="is a link out of the run folder"):
            RunFolder.open(tiny_run.path)


def test_links_to_the_folder_and_inside_of_it_are_followed(tiny_run: RunFolder, tiny_folder: Path) -> None:
    Path("real").mkdir()
    tiny_run.path.rename("real/mine")
    tiny_run.path.symlink_to(tiny_folder / "real" / "mine")
    Path("real/mine/also.yaml").symlink_to("best.yaml")
    assert nas("resume", "runs/mine", "--trials", "4").code == 0
    assert "4 of 4 trials ended" in nas("show", "runs/mine").out


def test_a_file_that_is_elsewhere_too_is_not_written_there(tiny_run: RunFolder) -> None:
    """Hard links, as a backup by `cp -al` has them."""
    with tiny_run.locked():
        pass
    Path("backup").mkdir()
    for name in (".lock", "study.journal", "best.yaml", "trials.csv"):
        Path("backup", name).hardlink_to(tiny_run.path / name)
    before = contents(Path("backup"))
    assert nas("resume", "runs/mine", "--trials", "4").code == 0
    assert contents(Path("backup")) == before


def test_a_link_that_waits_for_a_write_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "mine").write_text("mine")
    (tmp_path / f".best.yaml.{os.getpid()}.tmp").symlink_to(tmp_path / "mine")
    write_atomically(tmp_path / "best.yaml", "new")
    assert (tmp_path / "mine").read_text() == "mine" and (tmp_path / "best.yaml").read_text() == "new"


@pytest.mark.parametrize("name", ["calibration.json", "run.yaml"])
def test_a_folder_beside_a_run_is_no_trap(tiny_run: RunFolder, name: str) -> None:
    beside = Path("runs/theirs")
    shutil.copytree(tiny_run.path, beside)
    (beside / "calibration.json").write_text("{}")
    (beside / name).unlink()
    os.mkfifo(beside / name)
    assert nas("resume", "runs/mine", "--trials", "4").code == 0


# What run.yaml names


@pytest.fixture
def listening() -> Iterator[str]:
    """An address at which a connection is noticed."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(0.0)
        yield f"127.0.0.1:{server.getsockname()[1]}"
        with pytest.raises(BlockingIOError):
            server.accept()


READING = [("show", "runs/mine"), ("export", "runs/mine", "-o", "out.py")]
OF_THE_BEST = [("draw", "runs/mine", "-o", "out.svg"), ("scale", "runs/mine", "--phi", "1", "-o", "out.yaml")]


@pytest.mark.parametrize("command", READING, ids=lambda command: command[0])
def test_no_database_is_made_by_a_command_that_reads(change: Change, command: tuple[str, ...]) -> None:
    change(storage="sqlite:///theirs.db")
    said = nas(*command)
    assert (said.code, said.out) == (2, "")
    assert said.err == (
        "error: runs/mine: has its trials in a database, and none that a run folder names is opened by "
        f"itself; where you trust it, add --storage sqlite:///{Path('theirs.db').absolute()}\n"
    )
    assert not Path("theirs.db").exists() and not Path("out.py").exists()


@pytest.mark.parametrize("command", READING, ids=lambda command: command[0])
def test_no_server_is_dialled(change: Change, listening: str, command: tuple[str, ...]) -> None:
    change(storage=f"postgresql://{listening}/theirs")
    assert nas(*command).code == 2


@pytest.mark.parametrize("command", OF_THE_BEST, ids=lambda command: command[0])
def test_what_needs_no_trials_does_without_the_database(change: Change, command: tuple[str, ...]) -> None:
    change(storage="sqlite:///theirs.db")
    assert nas(*command).code == 0
    assert not Path("theirs.db").exists()


@pytest.fixture
def imported(tiny_folder: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The file that a module `theirs`, of a sampler and a pruner, writes when it is imported."""
    Path("theirs.py").write_text(
        "import optuna\n"
        "open('imported', 'w').close()\n"
        "class Own(optuna.samplers.RandomSampler): pass\n"
        "class Never(optuna.pruners.NopPruner): pass\n"
    )
    monkeypatch.syspath_prepend(str(tiny_folder))
    monkeypatch.delitem(sys.modules, "theirs", raising=False)
    return Path("imported")


@pytest.mark.parametrize(("key", "value"), [("sampler", "theirs:Own"), ("scheduler", "theirs:Never")])
def test_a_class_is_imported_where_it_is_named_again(
    change: Change, imported: Path, key: str, value: str
) -> None:
    change(**{key: value}, trials=4)
    for command in (("show", "runs/mine"), ("export", "runs/mine", "-o", "out.py"), *OF_THE_BEST):
        assert nas(*command).code == 0
    said = nas("resume", "runs/mine")
    assert (said.code, said.out) == (2, "")
    assert said.err == (
        f"error: runs/mine: was searched with --{key} {value}, and nothing that a run folder names is "
        "imported, opened or connected to by itself; where you trust it, go on with: "
        f"nas resume runs/mine --{key} {value}\n"
    )
    assert not imported.exists()
    assert nas("resume", "runs/mine", f"--{key}", value).code == 0 and imported.exists()


def test_an_address_is_connected_to_where_it_is_named_again(change: Change, listening: str) -> None:
    change(address=listening, workers=2, in_process=False, trials=4)
    said = nas("resume", "runs/mine")
    assert said.code == 2 and said.err.endswith(f"go on with: nas resume runs/mine --address {listening}\n")


def test_an_address_may_be_replaced(change: Change, listening: str) -> None:
    change(address=listening, workers=2, in_process=False)
    assert nas("resume", "runs/mine", "--address", "local", "--workers", "0").code == 0


def test_all_that_is_missing_is_said_at_once(change: Change) -> None:
    change(
        storage="sqlite:///their own; x.db", sampler="theirs:Own", address="auto", workers=2, in_process=False
    )
    url = f"sqlite:///{Path('their own; x.db').absolute()}"
    flags = f"--sampler theirs:Own --address auto --storage '{url}'"
    assert nas("resume", "runs/mine", "--sampler", "theirs:Own").err.endswith(
        f"go on with: nas resume runs/mine {flags}\n"
    )


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (
            ("--sampler", "tpe"),
            "--sampler tpe: runs/mine was searched with --sampler predictor; give that, or start a new run",
        ),
        (
            ("--scheduler", "asha"),
            "--scheduler asha: runs/mine was searched without it; leave it out, or start a new run",
        ),
        (
            ("--dataset", "cifar10"),
            "--dataset cifar10: runs/mine was searched with --dataset digits; give that, or start a new run",
        ),
        (
            ("--storage", "sqlite:///mine.db"),
            "--storage sqlite:///mine.db: runs/mine has its trials in study.journal; leave it out",
        ),
    ],
)
def test_what_no_resume_changes(tiny_run: RunFolder, flags: tuple[str, str], message: str) -> None:
    said = nas("resume", "runs/mine", *flags)
    assert (said.code, said.err) == (2, f"error: {message}\n")
    assert not Path("mine.db").exists()


def test_a_calibration_is_not_asked_for_what_only_searches_use(change: Change, tiny_run: RunFolder) -> None:
    change(sampler="theirs:Own", scheduler="theirs:Never", address="auto", workers=1, in_process=False)
    tiny_run.plan_file.write_text("networks: 4\n")
    manifest = Manifest.read(tiny_run)
    assert manifest.resume_command(tiny_run) == "nas resume runs/mine --address auto"
    manifest.check_again(tiny_run, {"address": "auto"})


def test_nothing_is_downloaded_unless_it_is_named_again(
    change: Change, monkeypatch: pytest.MonkeyPatch, listening: str
) -> None:
    monkeypatch.setenv("https_proxy", f"http://{listening}")
    change(dataset="cifar100", trials=4)
    said = nas("resume", "runs/mine")
    assert said.code == 2 and said.err.startswith("error: data set 'cifar100' is not in ")
    assert said.err.endswith(
        "and nothing that a run folder names is downloaded by itself; add --dataset cifar100\n"
    )


def test_a_plugin_of_another_folder_is_not_named(change: Change, tiny_run: RunFolder) -> None:
    document = yaml.safe_load(tiny_run.manifest_file.read_text())
    tiny_run.manifest_file.write_text(yaml.safe_dump({**document, "plugins": {"../../theirs.py": "0"}}))
    said = nas("show", "runs/mine")
    assert said.code == 2 and said.err.startswith("error: runs/mine/run.yaml: plugins: is damaged (")


def test_a_run_of_ones_own_says_how_it_goes_on(tiny_folder: Path) -> None:
    own = ("--workers", "0", "--trials", "1", "--storage", "sqlite:///own.db")
    said = nas("search", "tiny.yaml", "--name", "mine", *SHORT, *own)
    url = f"sqlite:///{tiny_folder}/own.db"
    for command in (
        f"nas show runs/mine --storage {url} ",
        f"nas resume runs/mine --storage {url} --trials 2",
        f"nas export runs/mine --storage {url} -o my_network.py",
    ):
        assert f"  {command}" in said.out
    assert nas("show", "runs/mine", "--storage", url).code == 0
    assert nas("report", "runs/mine", "--storage", url).code == 0


# Passwords

URL = "postgresql://me:s3cret@127.0.0.1:1/db"
SHOWN = "postgresql://me:***@127.0.0.1:1/db"


def test_a_password_stands_nowhere(change: Change) -> None:
    config = SearchConfig("tiny", storage=URL)
    for text in (repr(config), str(config.storage), str(config.to_data()), str(config.select_given())):
        assert "s3cret" not in text and SHOWN in text
    assert SearchConfig.from_data(config.to_data()) == config
    again = config.change({"trials": 3}, "test")
    assert again.storage is not None and getattr(again.storage, "whole", "") == URL


@pytest.mark.parametrize(
    "url", [URL, "mysql://me:s3cret@127.0.0.1:1/db", "postgres://me:s3cret@127.0.0.1/db"]
)
def test_a_database_that_cannot_be_opened(tiny_folder: Path, url: str) -> None:
    said = nas("search", "tiny.yaml", "--name", "mine", *SHORT, "--workers", "0", "--storage", url)
    shown = url.replace("s3cret", "***")
    assert said.code == 2 and said.err.startswith(f"error: storage '{shown}' cannot be opened: ")
    assert "s3cret" not in said.err + said.out
    assert not Path("runs").exists()


def test_no_traceback_has_the_password(tiny_folder: Path) -> None:
    import traceback

    from nas.study.storage import open_storage

    with pytest.raises(InputError) as error:
        open_storage(URL)
    assert "s3cret" not in "".join(traceback.format_exception(error.value))
    assert error.value.__cause__ is None is error.value.__context__


@pytest.mark.parametrize(
    "url", ["me:s3cret@127.0.0.1/db", "postgresql:/me:s3cret@127.0.0.1/db", "postgresql//me:s3cret@127.0.0.1"]
)
def test_a_url_that_is_mistyped_has_a_password_too(tiny_folder: Path, url: str) -> None:
    said = nas("search", "tiny.yaml", "--storage", url)
    assert said.code == 2 and "is not a storage" in said.err and "s3cret" not in said.err
    Path("mine.yaml").write_text(f"storage: '{url}'\n")
    said = nas("search", "tiny.yaml", "--config", "mine.yaml")
    assert said.code == 2 and "is not a storage" in said.err and "s3cret" not in said.err


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("mysql://u:p@ss@h/db", "mysql://u:***@h/db"),
        ("postgresql+psycopg://me@corp:a/b c@h:1/db?x=a@b", "postgresql+psycopg://me@corp:***@h:1/db?x=a@b"),
        ("postgresql://h/db?password=abc&sslmode=on", "postgresql://h/db?password=***&sslmode=on"),
        ("sqlite:////data:1/a@b.db", "sqlite:////data:1/a@b.db"),
        ("sqlite:////my data/study.db", "sqlite:////my data/study.db"),
    ],
)
def test_only_the_password_is_hidden(url: str, shown: str) -> None:
    assert SearchConfig("tiny", storage=url).to_data()["storage"] == shown


def test_the_password_of_the_environment(
    change: Change, tiny_run: RunFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    from nas.passwords import SecretUrl
    from nas.study.storage import open_storage

    monkeypatch.delenv("NAS_STORAGE_PASSWORD", raising=False)
    with pytest.raises(InputError) as error:
        open_storage(SHOWN)
    assert str(error.value) == (
        f"storage '{SHOWN}': *** stands for the password in the environment variable NAS_STORAGE_PASSWORD, "
        "which is not set; set it, or write the password"
    )
    monkeypatch.setenv("NAS_STORAGE_PASSWORD", "a/b@c")
    assert SecretUrl(SHOWN).to_open == "postgresql://me:a%2Fb%40c@127.0.0.1:1/db"
    with pytest.raises(InputError, match="cannot be opened: ") as error:
        open_storage(SHOWN)
    assert "a/b" not in str(error.value) and "a%2Fb" not in str(error.value)


def test_a_run_folder_has_no_password(tiny_run: RunFolder) -> None:
    manifest = Manifest.read(tiny_run)
    kept = manifest.with_config(manifest.config.change({"storage": URL}, "test"))
    kept.write(tiny_run)
    assert "s3cret" not in tiny_run.manifest_file.read_text()
    assert kept.resume_command(tiny_run) == f"nas resume runs/mine --storage '{SHOWN}'"
    assert Manifest.read(tiny_run) == kept
    for read in (lambda: RunState.load(tiny_run.path, (), URL), lambda: export(tiny_run.path, storage=URL)):
        with pytest.raises(InputError) as error:
            read()
        assert "s3cret" not in str(error.value)


def test_what_a_training_fails_with_has_no_password() -> None:
    failure = Failure(FailureReason.ERROR, f"OSError: {URL} does not answer")
    assert str(failure).endswith(f"OSError: {SHOWN} does not answer")


@pytest.mark.slow
def test_the_dashboard_of_ray_has_no_password() -> None:
    """It shows the command line, which Ray keeps in its logs too."""
    code = (
        "from nas.execution.ray_start import _discreet, ray\n"
        "with _discreet(): print(ray._private.utils.get_entrypoint_name())"
    )
    done = subprocess.run([sys.executable, "-c", code, URL], capture_output=True, text=True, check=True)
    assert SHOWN in done.stdout and "s3cret" not in done.stdout


def test_the_address_of_a_cluster_has_none_either(tiny_folder: Path) -> None:
    said = nas("search", "tiny.yaml", "--address", "ray://me:s3cret@127.0.0.1:10001")
    assert said.code == 2 and "ray://me:***@127.0.0.1:10001" in said.err
