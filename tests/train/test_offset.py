"""The offset head: against Bayes' rule on drawn symbols, on a run, and on recordings."""

import csv
import itertools
import json
import math
import shutil

import h5py
import numpy as np
import pytest
import torch
from commands import refused, run_fit
from stores import small_store
from systems import make

from avsc.features.store.reader import Store
from avsc.train.evaluate import offset as offsets
from avsc.train.evaluate.by_second import BySecond, means
from avsc.train.evaluate.offset import OffsetRequest, fit_head, measure_head
from avsc.train.evaluate.predictions import read_predictions
from avsc.train.evaluate.robustness.realign import Realigned, pool_realigned
from avsc.train.fit.console import Console
from avsc.train.fit.trained_run import restore
from avsc.train.infer.prediction import Offset

SYMBOLS, SECONDS, MOST = 4, 10, 3
SEEN = np.random.default_rng(7).normal(size=(2, SYMBOLS, 6)).astype(np.float32)


def joint_probability(scene):
    """p(sound, sight | scene): in scene 1 each sound goes with the next sight."""
    together = np.roll(np.eye(SYMBOLS), scene, axis=1)
    return (0.85 * together + 0.15 / SYMBOLS) / SYMBOLS


def drawn(clips, seed, change=True, scenes=2):
    """Draw clips: their symbols [clips, seconds, 2], and embeddings of them in noise."""
    draw = np.random.default_rng(seed)
    symbols = np.empty((clips, SECONDS, 2), np.int64)
    for clip in range(clips):
        p = joint_probability(draw.integers(scenes)).ravel()
        pairs = draw.choice(len(p), SECONDS if change else 1, p=p)
        symbols[clip] = np.stack(np.divmod(pairs, SYMBOLS), 1)
    noise = draw.normal(0, 0.2, (2, clips, SECONDS, 6)).astype(np.float32)
    return symbols, BySecond(*(SEEN[i][symbols[..., i]] + noise[i] for i in range(2)))


def best_log_loss(symbols, scenes=2):
    """Mean -log p(offset | symbols) by Bayes' rule, over the windows that the test shows."""
    length, losses = SECONDS - MOST, []
    tables = [np.log(joint_probability(scene) * SYMBOLS**2) for scene in range(scenes)]
    for clip, late in itertools.product(symbols, range(-MOST, MOST + 1)):
        start = max(late, 0) + (MOST - abs(late)) // 2
        image, sound = clip[start : start + length, 1], clip[start - late :, 0][:length]
        scores = [
            math.log(sum(
                math.exp(sum(table[sound[k + d], image[k]] for k in range(length)
                             if 0 <= k + d < length))
                for table in tables))
            for d in range(-MOST, MOST + 1)
        ]  # fmt: skip
        losses.append(math.log(sum(map(math.exp, scores))) - scores[late + MOST])
    return np.mean(losses)


@pytest.fixture(scope="module")
def head():
    """A head that was trained where symbols change every second, and clips of that kind."""
    with Console() as console:
        request = OffsetRequest(None, MOST, epochs=40)
        return fit_head(drawn(400, 1)[1], drawn(100, 2)[1], request, console)[0]


def test_it_comes_near_the_best_possible(head):
    symbols, clips = drawn(150, 3)
    best, found = best_log_loss(symbols), measure_head(head, clips)
    assert best < 0.35 < math.log(7)
    assert best - 0.02 < found.log_loss < best + 0.15
    assert found.accuracy > 0.85 and found.within_1s >= found.accuracy
    assert found.confidence == pytest.approx(found.accuracy, abs=0.08)


def test_where_symbols_last_a_clip_it_says_that_it_does_not_know(head):
    with Console() as console:
        request = OffsetRequest(None, MOST, epochs=40, patience=10)
        parts = (drawn(count, seed, change=False)[1] for count, seed in ((200, 4), (100, 5)))
        unable = fit_head(*parts, request, console)[0]
    found = measure_head(unable, drawn(150, 6, change=False)[1])
    assert found.log_loss == pytest.approx(math.log(7), abs=0.02)
    assert found.confidence < 0.2
    probability = np.full(7, 1 / 7)
    probability[5] += 0.01
    assert str(Offset("a.mp4", probability)) == (
        "a.mp4: not sure; most probably audio 2 s late (probability 0.15; chance 0.14)"
    )


def test_windows_and_logits_are_those_of_the_definition(head):
    audio = np.arange(20, dtype=np.float32).reshape(2, 10, 1)
    late = BySecond(audio, 100 + audio).late(np.array([2, -1]), np.array([3, 0]), 4)
    assert late.visual[..., 0].tolist() == [[103, 104, 105, 106], [110, 111, 112, 113]]
    assert late.audio[..., 0].tolist() == [[1, 2, 3, 4], [11, 12, 13, 14]]
    clip = drawn(1, 9)[1]
    heard, seen = (
        projection(torch.from_numpy(stream))[0].detach()
        for projection, stream in ((head.audio, clip.audio), (head.visual, clip.visual))
    )
    found = head(torch.from_numpy(clip.audio), torch.from_numpy(clip.visual))[0].detach()
    for d in range(-MOST, MOST + 1):
        sums = sum((heard[k + d] * seen[k]).sum(1) for k in range(10) if 0 <= k + d < 10)
        wanted = (torch.logsumexp(sums, 0) - math.log(len(sums))) / head.temperature
        assert float(found[d + MOST]) == pytest.approx(float(wanted), abs=1e-4)
    values = np.array([[1.0], [3.0], [5.0]], np.float32)
    np.testing.assert_array_equal(means(values, np.array([0, 0, 2]), 3)[:, 0], [2, np.nan, 5])


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A pipeline on vectors of which those of sound and sight change together every second."""
    folder = tmp_path_factory.mktemp("offset")
    store = Store.open(
        small_store(folder / "store", products=("scalogram", "images"), seconds=SECONDS)
    )
    names = [clip.id for clip in store.clips]
    clips = drawn(len(names), 11, scenes=1)[1]
    for name, stream in (("acoustic", clips.audio), ("visual", clips.visual)):
        with h5py.File(folder / f"{name}.h5", "w") as file:
            file["clip"] = np.repeat(names, SECONDS).astype("S")
            file["time"] = np.tile(np.arange(SECONDS) + 0.5, len(names))
            file["vector"] = stream.reshape(-1, 6)
    files = {f"{name}_embeddings": folder / f"{name}.h5" for name in ("acoustic", "visual")}
    make(folder, folder / "run", "pipeline", acoustic_run=None, **files, epochs=1).fit()
    make(folder, folder / "audio", "audio", epochs=1).fit()
    return folder / "run"


def test_a_run_gets_a_head_and_a_report(run, monkeypatch, capsys):
    status, out, err = run_fit(monkeypatch, capsys, "offset", run, "--device=cpu", "--epochs=3")
    assert status == 0, err
    assert "train: 12 clips of 10 s" in out and "test: 6 clips at each of 7 offsets" in out
    report = json.loads((run / "offset" / "offset.json").read_text())
    assert report["log_loss_by_chance"] == pytest.approx(math.log(7))
    assert report["test"]["clips"] == 6 and report["most"] == 3
    trained = restore(run)
    head = offsets.load_head(trained)
    assert head.most == 3 and not head.training
    assert sorted(path.name for path in (run / "offset").iterdir()) == ["head.pt", "offset.json"]
    weight = next(trained.network.parameters())
    with torch.no_grad():
        weight += 1
    with pytest.raises(offsets.AvscError, match="and other weights"):
        offsets.load_head(trained)
    with torch.no_grad():
        weight -= 1
    object.__setattr__(trained, "epoch", 9)
    with pytest.raises(offsets.AvscError, match="epoch 1; the run here has"):
        offsets.load_head(trained)


def test_what_cannot_be_done_is_said(run, monkeypatch, capsys):
    def fit(*arguments):
        return run_fit(monkeypatch, capsys, "offset", *arguments)

    refused(fit(run.parent / "audio", "--device=cpu"), 2, "one stream only")
    refused(fit(run, "--max-offset=9", "--device=cpu"), 2, "clips of 10 s; wanted some of 11 s")
    refused(fit(run, "--audio=a.wav"), 2, "no recording is named")
    refused(fit(run, "--input=a.mp4", "--max-offset=2"), 2, "--max-offset", "without --input")
    refused(fit(run.parent / "audio", "--input=a.mp4"), 2, "a run of audio", "one stream only")


def found_by_hand(head, sound, sight):
    """Return the offset of a clip and its probability, by the definition in words."""
    heard, seen = (
        projection(torch.from_numpy(stream)).detach().double()
        for projection, stream in ((head.audio, sound), (head.visual, sight))
    )
    scores = []
    for d in range(-MOST, MOST + 1):
        sums = sum((heard[k + d] * seen[k]).sum(1) for k in range(SECONDS) if 0 <= k + d < SECONDS)
        scores.append(float(torch.logsumexp(sums, 0) / head.temperature))
    weights = np.exp(np.array(scores) - max(scores))
    return int(weights.argmax()) - MOST, weights.max() / weights.sum()


def probabilities(path, store):
    found = read_predictions(path, store.clips, store.classes).probability
    return found.reshape(-1, SECONDS, len(store.classes))


def test_clips_are_shifted_back_where_the_head_is_sure(run, head, monkeypatch, capsys):
    """The toy's truth: vectors of the files, its classifier, and offsets counted one by one."""
    trained, store = restore(run), Store.open(run.parent / "store")
    (run / "offset").mkdir(exist_ok=True)
    (run / "offset" / "head.pt").write_bytes(offsets._encoded(head, trained))
    late = {"complete": 0, "audio-early-1s": -1, "audio-late-2s": 2, "audio-late-5s": 5}
    command = ("robustness", run, "--device=cpu", "--resamples=100", "--save-predictions")
    names = ",".join([*late, "no-image-10", "no-image"])
    for option in ((), ("--realign",)):
        status, out, err = run_fit(monkeypatch, capsys, *command, *option, "--conditions", names)
        assert status == 0, err
    assert "offset sure %" in out and "was shifted back by the run's offset head, up to 3 s" in out
    folder, plain = run / "robustness-test-realigned", run / "robustness-test"
    report = json.loads((folder / "robustness.json").read_text())
    rows = {row["condition"]: row for row in report["rows"]}
    assert "where its probability is 0.5 or more" in report["realigned"]
    assert "realigned" not in json.loads((plain / "robustness.json").read_text())
    test = [row for row, clip in enumerate(store.clips) if clip.fold == "test"]
    clips = drawn(len(store.clips), 11, scenes=1)[1]
    sound, sight = (torch.from_numpy(each[test]) for each in (clips.audio, clips.visual))
    for name, shift in late.items():
        predicted, unshifted, complete = (
            probabilities(where / f"predictions-{of}.tsv", store)
            for where, of in ((folder, name), (plain, name), (plain, "complete"))
        )
        shifted = sight.roll(-shift, 1)
        found = [found_by_hand(head, *pair) for pair in zip(sound.numpy(), shifted.numpy(),
                                                            strict=True)]  # fmt: skip
        sure = [p >= 0.5 for _, p in found]
        for clip, (d, _) in enumerate(found):
            back = d if sure[clip] else 0
            paired = torch.cat([sound[clip], shifted[clip].roll(back, 0)], 1)
            with torch.no_grad():
                logits = trained.network.classifier(paired).double()
            wanted = torch.softmax(logits, 1).numpy()
            np.testing.assert_allclose(predicted[clip], wanted, atol=1e-6)
            as_before = {shift: complete, 0: unshifted}.get(back)
            if as_before is not None:  # found, or left as it is: to the last bit
                np.testing.assert_array_equal(predicted[clip], as_before[clip])
        right = sum(d == shift and s for (d, _), s in zip(found, sure, strict=True))
        assert right == 0 if abs(shift) > MOST else right >= 5
        moved = sum(s and d != 0 for (d, _), s in zip(found, sure, strict=True))
        assert rows[name]["realigned"] == {"clips": 6, "sure": sum(sure), "shifted": moved}
    assert rows["no-image"]["realigned"]["sure"] == 0  # they lack a modality
    some, complete = (probabilities(plain / f"predictions-{name}.tsv", store)
                      for name in ("no-image-10", "complete"))  # fmt: skip
    whole = (some == complete).all((1, 2))
    assert whole.sum() < 6 and rows["no-image-10"]["realigned"]["sure"] <= whole.sum()
    table = list(csv.DictReader((folder / "robustness.csv").read_text("utf-8-sig").splitlines()))
    assert [row["sure"] for row in table] == [str(row["realigned"]["sure"])
                                              for row in rows.values()]  # fmt: skip


def test_clips_of_several_runs_are_counted_together():
    assert pool_realigned([None, None]) is None
    pooled = pool_realigned([Realigned(6, 5, 4), Realigned(2, 1, 0)])
    assert pooled == Realigned(8, 6, 4)


def test_what_cannot_be_realigned_is_said(run, tmp_path, monkeypatch, capsys):
    def realign(*arguments):
        command = ("robustness", *arguments, "--realign", "--resamples=100", "--device=cpu")
        return run_fit(monkeypatch, capsys, *command)

    refused(realign("--predictions=complete=a.tsv"), 2, "--realign is for a run")
    refused(realign(run.parent / "audio"), 2, "a run of audio, which has one")
    shutil.copytree(run, tmp_path / "run", ignore=shutil.ignore_patterns("offset"))
    refused(realign(tmp_path / "run"), 1, "no offset head", "avsc-fit offset")
