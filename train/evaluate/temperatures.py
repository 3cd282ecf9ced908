"""Temperatures of a run: one for each pattern of what there is of a recording.

How far a network's probabilities can be trusted differs with what it is given, so that the complete
recordings, those without audio and those without images each have a temperature of their own
(`calibration`). It is fitted on the run's validation clips, all of which then lack the modality.
Runs that take no missing modalities have that of complete recordings alone, unless they are
evaluated under conditions that take one away.

    RUN/temperatures.json       by protocol and pattern, with their run, weights and store
    RUN/temperatures-ANSWER.json  the same for another answer, such as ``late``

What is there is used again as long as run, weights and store are the same; what is asked for
besides is fitted and added.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np

from avsc.features.store.reader import Store
from avsc.manifests.errors import AvscError, SettingError
from avsc.manifests.files import publish
from avsc.train.evaluate.calibration import FittedTemperature, fitted_temperature, tempered
from avsc.train.evaluate.robustness.condition_predictions import (
    Asked,
    ConditionAnswer,
    ConditionAnswers,
    run_answers,
)
from avsc.train.evaluate.robustness.conditions import CONDITIONS, PATTERNS, Condition
from avsc.train.evaluate.writing import json_bytes
from avsc.train.fit.compute import Computing
from avsc.train.fit.console import Console
from avsc.train.fit.split import fold_rows
from avsc.train.fit.trained_run import Trained
from avsc.train.protocol import Protocol

Temperatures = Mapping[str, FittedTemperature]
"""By pattern: the name of the condition, as `PATTERNS` has it; those that a system can be given."""


def check_validated(trained: Trained, fold: str) -> None:
    """Raise a `SettingError` if a run has no clips to fit on, or those are to be evaluated."""
    if trained.record.settings.validation == "none":
        raise SettingError(
            f"--temperature: the run in {trained.folder.path} has no validation clips "
            "(--validation none), so there is nothing to fit a temperature on. Omit it."
        )
    if fold == "validation":
        raise SettingError(
            "--temperature is fitted on the run's validation clips, and --fold validation would "
            "evaluate it on the same clips. Evaluate another fold."
        )


def run_temperatures(
    trained: Trained,
    store: Store,
    asked: Asked,
    computing: Computing,
    console: Console,
) -> dict[Protocol, Temperatures]:
    """Return the temperatures of a run by protocol: those it has, or fitted now and kept beside it.

    Args:
        trained: a run that `check_validated` accepts.
        store: of its validation clips.
        asked: which frames count, and the conditions that the run is evaluated under, too.
        computing: where and how to compute.
        console: is told what is done.

    Raises:
        AvscError: a class has no validation segments, or the kept file is damaged.
    """
    key = {**trained.key, "store_fingerprint": store.fingerprint}
    kept = _read(trained)
    found = kept["protocols"] if all(kept.get(name) == key[name] for name in key) else {}
    wanted = _patterns(trained, asked.conditions)
    there = [found.get(protocol, {}) for protocol in asked.protocols]
    lacking = [name for name in wanted if any(name not in fitted for fitted in there)]
    if lacking:
        rows = fold_rows(store, trained, "validation")
        console.say(f"temperatures: fitted on the run's {len(rows)} validation clips")
        patterns = [CONDITIONS[name] for name in lacking]
        fitted_on = Asked(patterns, asked.protocols, allow_missing=True)
        answers = run_answers(trained, store, rows, fitted_on, computing, console)
        for protocol, named in answers.items():
            of_protocol = found.setdefault(protocol, {})
            for name, answer in named.items():
                assert answer.segments is not None
                if name not in of_protocol:
                    fitted = fitted_temperature(answer.segments, store.classes)
                    of_protocol[name] = asdict(fitted)
        try:
            publish(temperatures_path(trained), json_bytes({**key, "protocols": found}))
        except AvscError as fault:  # of a run that others may only read
            console.say(f"note: the temperatures are not kept: {fault}")
    return {
        protocol: _made({name: found[protocol][name] for name in wanted})
        for protocol in asked.protocols
    }


def _patterns(trained: Trained, conditions: Sequence[Condition]) -> list[str]:
    """Return the patterns of what is there that a run is given."""
    lack = trained.network.takes_missing or any(each.change is not None for each in conditions)
    several = len(trained.record.system.branches) > 1
    return list(PATTERNS.values()) if several and lack else [PATTERNS[None]]


def kept_temperatures(trained: Trained) -> dict[Protocol, Temperatures]:
    """Return the temperatures that are kept beside a run, by protocol.

    Raises:
        AvscError: there are none of its weights, or the file is damaged.
    """
    kept, key = _read(trained), trained.key
    if any(kept.get(name) != key[name] for name in key):
        there = f"of other weights, after epoch {kept['epoch']}" if kept else "not there"
        raise SettingError(
            f"{temperatures_path(trained)}: {there}. Run `{fit_command(trained)}`, which fits "
            "temperatures on the run's validation clips, or omit --temperature."
        )
    return {protocol: _made(values) for protocol, values in kept["protocols"].items()}


def temperatures_path(trained: Trained) -> Path:
    """Return where the temperatures of a run are kept; those of each answer have a file."""
    return trained.folder.temperatures(trained.network.answer)


def fit_command(trained: Trained) -> str:
    """Return the command that fits a run's temperatures."""
    answer = trained.network.answer
    option = "" if answer == "fused" else f" --answer {answer}"
    return f"avsc-fit evaluate {trained.folder.path}{option} --temperature"


def _read(trained: Trained) -> dict[str, Any]:
    """Return what temperatures.json says; nothing if there is none."""
    path = temperatures_path(trained)
    try:
        values: dict[str, Any] = json.loads(path.read_bytes())
        for patterns in values["protocols"].values():
            _made(patterns)
        _ = values["run_digest"], values["epoch"], values["store_fingerprint"]
    except FileNotFoundError:
        return {}
    except OSError as fault:
        raise AvscError(f"{path}: cannot be read ({fault.strerror}).") from fault
    except (ValueError, KeyError, TypeError, AttributeError) as fault:
        raise AvscError(
            f"{path}: not temperatures of a run ({fault}). Remove the file; evaluate "
            "--temperature then makes it again."
        ) from fault
    return values


def _made(values: Mapping[str, Any]) -> Temperatures:
    return {name: FittedTemperature(**fitted) for name, fitted in values.items()}


def tempered_answers(answers: ConditionAnswers, temperatures: Temperatures) -> ConditionAnswers:
    """Return answers with each segment's temperature, that of what there is of it.

    A modality that is late, altered or another clip's is there.
    """
    return {name: _tempered(answer, temperatures) for name, answer in answers.items()}


def _tempered(answer: ConditionAnswer, temperatures: Temperatures) -> ConditionAnswer:
    if answer.segments is None:
        return answer
    heat = np.full(len(answer.segments), temperatures[PATTERNS[None]].value)
    if answer.without is not None and answer.without.any():
        heat[answer.without] = temperatures[PATTERNS[answer.lacking]].value
    segments = tempered(answer.segments, heat)
    return replace(answer, segments=segments, untempered=answer.segments)


def temperature_lines(protocol: Protocol, temperatures: Temperatures) -> list[str]:
    """Return what is said of temperatures, one line each."""
    return [
        f"temperature {fitted.value:.3f} ({protocol}, {CONDITIONS[name].about}), fitted on "
        f"{fitted.fitted_on:,} predictions for the run's validation clips: log-loss "
        f"{fitted.log_loss_before:.3f} without it, {fitted.log_loss:.3f} with it; expected "
        f"calibration error {fitted.calibration_error_before:.3f} and "
        f"{fitted.calibration_error:.3f}"
        for name, fitted in temperatures.items()
    ]
