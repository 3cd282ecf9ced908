"""A trained model on recordings: the answers of evaluation, and its Python interface."""

import numpy as np
import pytest
from commands import run_fit
from inferred import LENGTHS, Trained

from avsc.train.evaluate.predictions import read_predictions
from avsc.train.infer import load
from avsc.train.protocol import EVERY


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    return Trained(tmp_path_factory.mktemp("inferred"))


@pytest.mark.parametrize("system", ["joint", "audio", "video", "end-to-end"])
def test_answers_are_those_of_evaluation_bit_for_bit(world, system, monkeypatch, capsys):
    run = world.fit(system)
    status, _, err = run_fit(
        monkeypatch, capsys, "evaluate", run, "--device=cpu", "--workers=2", "--resamples=100",
        "--protocol=strict,centred,clip", "--out", world.folder / f"report-{system}",
    )  # fmt: skip
    assert status == 0, err
    model = load(run, device="cpu")
    clips = world.dataset.clips
    for protocol in EVERY:
        report = world.folder / f"report-{system}" / f"predictions-{protocol}.tsv"
        evaluated = read_predictions(report, clips, model.classes)
        for row, clip in enumerate(clips):
            if clip.id not in LENGTHS:
                continue
            audio, video = world.files(clip.id)
            first = audio if system == "audio" else video
            found = model.predict(first, audio=audio, protocol=protocol)
            wanted = evaluated.clip == row
            np.testing.assert_array_equal(found.probability, evaluated.probability[wanted])
            if evaluated.second is not None:
                assert found.times[:, 0].tolist() == evaluated.second[wanted].tolist()
                assert (found.times[:, 1] - found.times[:, 0] == 1).all()
