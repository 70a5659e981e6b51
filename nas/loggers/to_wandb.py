"""Runs for Weights & Biases: one for each trial, in a group of the search, and one with the files of the best
network; of a training one. They stay on this machine until the user has `wandb sync` send them."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, nullcontext
from pathlib import Path
from shlex import quote
from typing import Any, ClassVar

from nas.loggers.base import PROJECT, TRAINING, Curves, Entry, Run, group_by_epoch, to_plain

_OFFLINE = "offline"


class WandbLogger:
    """Writes runs by the library wandb."""

    needs: ClassVar[tuple[str, ...]] = ("wandb",)

    @staticmethod
    def environment(place: Path) -> dict[str, str]:
        folders = ("WANDB_DIR", "WANDB_DATA_DIR", "WANDB_CACHE_DIR", "WANDB_ARTIFACT_DIR")
        return {
            "WANDB_MODE": _OFFLINE,
            "WANDB_PROJECT": PROJECT,
            "WANDB_SILENT": "true",
            "WANDB_ERROR_REPORTING": "false",
            **dict.fromkeys(folders, str(place)),
        }

    @staticmethod
    def command(place: Path, name: str, environment: Mapping[str, str]) -> str:
        if environment["WANDB_MODE"] == _OFFLINE:
            return f"wandb leet {quote(environment['WANDB_DIR'])}/wandb"
        return f"python -m webbrowser {environment.get('WANDB_BASE_URL', 'https://wandb.ai/home')}"

    def __init__(self, run: Run) -> None:
        self._run = run
        self._own: Any = None
        self._open = ExitStack()
        # in a run folder of someone else it could name the host that a user's key is shown to
        (run.place / "wandb" / "settings").unlink(missing_ok=True)

    def log(self, entry: Entry) -> None:
        tags = [entry.kind, entry.state]
        with self._opened(
            entry.name, config={**to_plain(entry.choices), "number": entry.number}, tags=tags
        ) as opened:
            for epoch, values in group_by_epoch(entry.curves).items():
                opened.log(values, step=epoch)
            opened.summary.update(dict(entry.figures))

    def grow(self, curves: Curves, figures: Mapping[str, float]) -> None:
        if self._own is None:
            config = to_plain(self._run.settings)
            self._own = self._open.enter_context(self._opened(TRAINING, job_type=TRAINING, config=config))
        for epoch, values in group_by_epoch(curves).items():
            self._own.log(values, step=epoch, commit=True)  # else it is kept back until the next one
        self._own.summary.update(dict(figures))

    def keep(self, files: Sequence[Path], figures: Mapping[str, float]) -> None:
        import wandb

        config = dict(self._run.settings)
        best = nullcontext(self._own) if self._own else self._opened("best", job_type="best", config=config)
        with best as opened:
            artifact = wandb.Artifact(f"{self._run.name}-best", type="model")
            for file in files:
                artifact.add_file(str(file))
            opened.log_artifact(artifact)
            opened.summary.update(dict(figures))

    def close(self) -> None:
        self._open.close()

    @contextmanager
    def _opened(self, name: str, **what: Any) -> Iterator[Any]:
        """Give a run of wandb, the only one of this name here."""
        import wandb

        key = f"{self._run.key}-{name}"
        for left in self._list_offline(key):
            shutil.rmtree(left)
        settings = wandb.Settings(
            console="off",
            disable_git=True,
            disable_code=True,
            x_disable_stats=True,
            x_save_requirements=False,
            symlink=False,
        )
        opened = wandb.init(
            id=key, name=f"{self._run.name} {name}", group=self._run.name, resume="allow", settings=settings,
            **what,
        )  # fmt: skip
        try:
            self._remove_links(key)
            yield opened
        finally:
            opened.finish()
            self._remove_links(key)

    def _remove_links(self, key: str) -> None:
        """Remove links, which are by their whole path and lead out of a run folder that is moved."""
        for file in (file for folder in self._list_offline(key) for file in folder.rglob("*")):
            if file.is_symlink():
                file.unlink()

    def _list_offline(self, key: str) -> list[Path]:
        """Return the folders of a run that is kept here."""
        return list(Path(os.environ["WANDB_DIR"], "wandb").glob(f"offline-run-*-{key}"))
