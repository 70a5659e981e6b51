"""Run folders of searches that never trained: written trial by trial, for those who read them."""

from __future__ import annotations

import math
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

from nas.data.card import DataCard
from nas.runs.config import SearchConfig
from nas.runs.folder import RunFolder
from nas.runs.manifest import Manifest
from nas.space import Space, dump_space
from nas.study.ledger import Ledger
from nas.study.records import Candidate
from nas.study.storage import claim_storage
from nas.training.base import ACCURACY_METRIC, EpochResult, Failure, FailureReason

CARD = DataCard("digits", tuple("0123456789"), 1, (0.3,), (0.4,), 1438, 359)


def fate(number: int) -> str:
    """What becomes of a trial: one in ten fails, one in ten is stopped early."""
    return {3: "failed", 7: "pruned"}.get(number % 10, "complete")


def write_run(
    path: Path,
    space: Space,
    trials: int,
    *,
    epochs: int = 3,
    fate: Callable[[int], str] = fate,
    card: DataCard = CARD,
    message: str = "the training loss was nan in epoch 1",
    noise: int = 0,
    **settings: Any,
) -> RunFolder:
    """Write a run of random networks of a space, inside no budget: an option's place among those of its
    decision, of the first decision above all, makes the score."""
    text = dump_space(space)
    given = {"space": "mbconv", "sampler": "random", "trials": max(1, trials), "epochs": epochs} | settings
    recipe = {"epochs": given.pop("epochs")}
    config = SearchConfig.from_data({**given, "recipe": recipe}, "test")
    manifest = Manifest.make("study", config, config.recipe, card, ACCURACY_METRIC, text, "cpu", (), (), None)
    folder = RunFolder.create(path, {"space.yaml": text, "run.yaml": manifest.to_text()})
    ledger, rng = Ledger(claim_storage(folder.journal), "study"), random.Random(noise)
    for number in range(trials):
        _write_trial(ledger, space, number, epochs, rng, fate(number), message)
    return folder


def _write_trial(
    ledger: Ledger, space: Space, number: int, epochs: int, rng: random.Random, fate: str, message: str
) -> None:
    places: list[float] = []

    def choose(name: str, options: tuple[Any, ...]) -> Any:
        place = rng.randrange(len(options))
        places.append(place / max(1, len(options) - 1))
        return options[place]

    choices, distributions = ledger.sample(space, choose)
    ledger.enter(Candidate(number, choices, space.cost(choices), f"{number:032x}"), distributions)
    if fate == "running":
        return
    if fate == "failed":
        ledger.fail(number, Failure(FailureReason.NAN_LOSS, message))
        return
    best = 0.5 + 0.3 * places[0] + 0.05 * places[-1] + rng.gauss(0, 0.02)
    for epoch in range(1, epochs + 1):
        value = best * (1 - math.exp(-epoch)) / (1 - math.exp(-epochs))
        result = EpochResult(epoch, value, value, 1.0)
        if fate == "pruned" or epoch < epochs:
            ledger.report(number, result)
        if fate == "pruned":
            ledger.prune(number)
            return
    ledger.complete(number, EpochResult(epochs, best, best, 1.0))
