"""Robustness: conditions against stores made by hand, and figures against plain arithmetic."""

import csv
import json
from dataclasses import replace

import numpy as np
import pytest
import simplejpeg
import soundfile
import stores
import torch
from commands import refused
from stores import small_clips, small_store
from systems import make

from avsc.features.clip import make_clip
from avsc.features.framing import magnitude
from avsc.features.store.reader import Store
from avsc.manifests.errors import AvscError
from avsc.train.data.augment import UNCHANGED
from avsc.train.data.loader import ImageLoader, ImageRequest
from avsc.train.data.source import Source
from avsc.train.evaluate.bootstrap import Resampling
from avsc.train.evaluate.calibration import calibration, fit_temperature, tempered
from avsc.train.evaluate.calibration_intervals import calibration_difference
from avsc.train.evaluate.predictions import read_predictions
from avsc.train.evaluate.results import summarise
from avsc.train.evaluate.robustness import alterations
from avsc.train.evaluate.robustness.condition_predictions import ConditionAnswer
from avsc.train.evaluate.robustness.conditions import CONDITIONS
from avsc.train.evaluate.robustness.measures import Rivals, measure
from avsc.train.evaluate.robustness.tables import condition_cells
from avsc.train.evaluate.submissions import Truth
from avsc.train.fit.inputs import trained_inputs
from avsc.train.fit.trained_run import restore
from avsc.train.metrics import scores
from avsc.train.protocol import Segments, segments


@pytest.fixture(scope="module")
def joint(home, tmp_path_factory):
    """A run of the joint system that every test of this module may evaluate."""
    run = tmp_path_factory.mktemp("robust") / "joint"
    make(home, run, "joint", epochs=1).fit()
    return run


@pytest.fixture(scope="module")
def report(joint, tmp_path_factory):
    """Its robustness report, with the predictions of each condition."""
    from avsc.train.evaluate.robustness.condition_predictions import Asked
    from avsc.train.evaluate.robustness.conditions import named_conditions
    from avsc.train.evaluate.robustness.run import RobustnessRequest, evaluate_robustness
    from avsc.train.fit.console import Console

    out = tmp_path_factory.mktemp("report")
    request = RobustnessRequest(
        joint,
        Asked(named_conditions("all")),
        rivals=Rivals(resampling=Resampling(100)),
        device="cpu",
        workers=0,
        out=out,
        save_predictions=True,
    )
    with Console() as console:
        evaluate_robustness(request, console)
    return out


def test_csv_page_and_figures_say_the_same(report):
    with (report / "robustness.csv").open(newline="", encoding="utf-8-sig") as file:
        table = {row["condition"]: row for row in csv.DictReader(file)}
    page, rows = (report / "robustness.md").read_text(), rows_of(report)
    assert list(table) == list(rows) == list(CONDITIONS)
    for name, row in rows.items():
        assert f"| {row['about']} " in page
        if row["defined"]:
            assert float(table[name]["log_loss"]) == row["log_loss"]
            difference = row["minus_complete"]["log_loss"]["difference"]
            assert float(table[name]["minus_complete"]) == difference
        else:
            assert table[name]["log_loss"] == ""
            assert row["note"] in page
    drawn = (report / "robustness.svg").read_text()
    assert all(text in drawn for text in ("no audio", "no image", "audio late", "log-loss / nats"))
    assert (report / "robustness.png").read_bytes().startswith(b"\x89PNG")


def predictions(folder, name, store):
    return read_predictions(folder / f"predictions-{name}.tsv", store.clips, store.classes)


def rows_of(folder):
    return {
        row["condition"]: row
        for row in json.loads((folder / "robustness.json").read_text())["rows"]
    }


def test_complete_is_what_evaluate_says_bit_for_bit(home, joint, report, fit, tmp_path):
    out = tmp_path / "evaluation"
    code, printed, err = fit("evaluate", joint, "--protocol", "strict", "--resamples", 100,
                             "--conditions", "all", "--device", "cpu", "--out", out)  # fmt: skip
    assert code == 0, err
    found = (report / "predictions-complete.tsv").read_bytes()
    assert found == (out / "predictions-strict.tsv").read_bytes()
    metrics = json.loads((out / "metrics.json").read_text())["protocols"]["strict"]
    row = rows_of(report)["complete"]
    for name in ("log_loss", "accuracy", "log_loss_interval", "accuracy_interval"):
        assert row[name] == metrics[name]
    assert row["expected_calibration_error"] == metrics["calibration"]["expected_error"]
    assert row["minus_complete"]["log_loss"]["difference"] == 0
    # And what it says under the conditions is what robustness says.
    assert metrics["conditions"] == list(rows_of(report).values())
    assert (out / "pairs.csv").read_bytes() == (report / "pairs.csv").read_bytes()
    table = (report / "robustness.md").read_text().split("| condition ")[1].split("\n\n")[0]
    assert table in (out / "report.md").read_text() and table in printed
    assert "calibration under other conditions, strict" in (out / "report.html").read_text()
    assert (out / "conditions-strict.csv").read_bytes() == (report / "robustness.csv").read_bytes()
    html = (out / "report.html").read_text()
    assert "Under other conditions, strict" in html and "image of another scene" in html
    again = ("--protocol", "strict", "--resamples", 100, "--no-page", "--device", "cpu")
    assert fit("evaluate", joint, *again, "--out", out)[0] == 0
    assert not {"pairs.csv", "conditions-strict.csv"} & {path.name for path in out.iterdir()}


@pytest.mark.parametrize("system", ["pipeline", "baseline"])
def test_systems_that_read_vectors_are_as_evaluated(home, fit, tmp_path, system):
    run = tmp_path / "run"
    make(home, run, system, epochs=1).fit()
    cpu = ("--device", "cpu", "--resamples", 100)
    assert fit("evaluate", run, "--no-page", *cpu)[0] == 0
    assert fit("robustness", run, "--save-predictions", *cpu)[0] == 0
    found = (run / "robustness-test" / "predictions-complete.tsv").read_bytes()
    assert found == (run / "evaluation-test" / "predictions-strict.tsv").read_bytes()
    altered = {"audio-20db", "image-dark", "image-blurred", "image-jpeg-10",
               "noise-20db", "noise-10db", "noise-0db"}  # fmt: skip
    for name, row in rows_of(run / "robustness-test").items():
        assert row["defined"] == (name not in altered)
        assert row["defined"] or "reads stored vectors in the place of" in row["note"]


def by_hand(home, run, *, audio, visual, flip=False):
    """Predictions for the test clips, with the embedding of a modality multiplied by 0 or 1."""
    trained, store = restore(run), Store.open(home / "store")
    rows = [row for row, clip in enumerate(store.clips) if clip.fold == "test"]
    source = trained_inputs(trained.record, store, run).source(rows)
    samples, network = source.samples(rows), trained.network.eval()
    neutral = UNCHANGED.draw(np.random.default_rng(0), len(samples))
    loader = ImageLoader(source.images, network.image_input, UNCHANGED, 0, torch.device("cpu"))
    with torch.no_grad():
        (images,) = loader.load([ImageRequest(samples.image, neutral)])
        images = images.flip(3) if flip else images
        acoustic = audio * network.acoustic(torch.from_numpy(source.acoustic[samples.frame]))
        logits = network.classifier(torch.cat([acoustic, visual * network.visual(images)], 1))
    return segments(torch.softmax(logits.double(), 1).numpy(), samples, "strict")


def test_flip_is_the_mean_over_images_and_mirror_images(home, joint, fit):
    cpu = ("--device", "cpu", "--resamples", 100, "--no-page", "--protocol", "strict")
    code, _, err = fit("evaluate", joint, "--flip", *cpu)
    assert code == 0, err
    folder = joint / "evaluation-test-flip"
    store = Store.open(home / "store")
    found = read_predictions(folder / "predictions-strict.tsv", store.clips, store.classes)
    plain, mirror = (
        by_hand(home, joint, audio=1, visual=1, flip=flip).probability for flip in (False, True)
    )
    assert abs(plain - mirror).max() > 2e-5
    np.testing.assert_allclose(found.probability, (plain + mirror) / 2, atol=1e-6)
    assert abs(found.probability - plain).max() > 1e-5
    assert json.loads((folder / "metrics.json").read_text())["flip"] is True
    refused(fit("evaluate", joint, "--flip", "--temperature", *cpu), 2, "--flip does not go with")
    refused(fit("evaluate", home / "audio", "--flip", *cpu), 2, "reads no images")
    export = ("export", joint, "--evaluation", folder, "--forms", "safetensors")
    refused(fit(*export, "--out", joint / "out"), 2, "Evaluate without --flip")


@pytest.mark.parametrize(("name", "audio", "visual"), [("no-audio", 0, 1), ("no-image", 1, 0)])
def test_a_missing_modality_is_an_embedding_of_zeros(home, joint, report, name, audio, visual):
    found = predictions(report, name, Store.open(home / "store"))
    wanted = by_hand(home, joint, audio=audio, visual=visual)
    np.testing.assert_allclose(found.probability, wanted.probability, atol=1e-6)
    row = rows_of(report)[name]
    assert row["note"].startswith("zeros in the place of the")
    complete = by_hand(home, joint, audio=1, visual=1)
    risen = wanted.probability.max(1) > complete.probability.max(1)
    assert row["confidence_rose"] == pytest.approx(risen.mean())
    assert row["segments_without"] == len(found)


@pytest.fixture(scope="module")
def dropped(home, tmp_path_factory):
    """A run with modality dropout that every test of this module may evaluate."""
    run = tmp_path_factory.mktemp("robust") / "dropped"
    make(home, run, "joint", epochs=1, modality_dropout=0.5, modality_dropout_epochs=0).fit()
    return run


def test_a_learned_vector_stands_for_a_missing_modality(home, dropped, fit):
    run = dropped
    cpu = ("--device", "cpu", "--resamples", 100)
    assert fit("evaluate", run, "--no-page", *cpu)[0] == 0
    assert fit("robustness", run, "--save-predictions", "--conditions", "no-image", *cpu)[0] == 0
    out, store = run / "robustness-test", Store.open(home / "store")
    wanted = (run / "evaluation-test" / "predictions-strict.tsv").read_bytes()
    assert (out / "predictions-complete.tsv").read_bytes() == wanted
    assert rows_of(out)["no-image"]["note"] == (
        "the learned vector in the place of the visual embedding"
    )
    trained = restore(run)
    rows = [row for row, clip in enumerate(store.clips) if clip.fold == "test"]
    source = trained_inputs(trained.record, store, run).source(rows)
    samples, network = source.samples(rows), trained.network.eval()
    assert network.missing.visual.abs().max() > 0
    with torch.no_grad():
        logits = network.classify(torch.from_numpy(source.acoustic[samples.frame]), None)
    by_network = segments(torch.softmax(logits.double(), 1).numpy(), samples, "strict")
    found = predictions(out, "no-image", store)
    np.testing.assert_allclose(found.probability, by_network.probability, atol=1e-6)


def test_each_pattern_has_a_temperature_of_its_own(home, dropped, fit, tmp_path):
    run, store, out = dropped, Store.open(home / "store"), tmp_path / "warm"
    names = ("complete", "no-audio", "no-image")
    options = ("--conditions", "no-audio,no-image,no-audio-50", "--device", "cpu", "--resamples",
               100, "--save-predictions")  # fmt: skip
    code, said, err = fit("robustness", run, "--temperature", *options, "--out", out)
    assert code == 0, err
    kept = (run / "temperatures.json").read_bytes()
    fitted = json.loads(kept)["protocols"]["strict"]
    assert list(fitted) == list(names)
    page = (out / "robustness.md").read_text()
    for values in fitted.values():
        assert f"temperature {values['value']:.3f} (strict, " in said and "ECE untempered" in page
    folders = {fold: tmp_path / fold for fold in ("validation", "test")}
    for fold, folder in folders.items():
        assert fit("robustness", run, *options, "--fold", fold, "--out", folder)[0] == 0
    for name in names:  # on the validation clips alone, each by itself
        held_out, values = predictions(folders["validation"], name, store), fitted[name]
        heat = fit_temperature(held_out, store.classes)
        assert values["value"] == pytest.approx(heat, rel=1e-4)
        assert values["fitted_on"] == len(held_out)
        assert values["log_loss_before"] == scores(held_out, store.classes).log_loss
        assert values["log_loss"] == scores(tempered(held_out, heat), store.classes).log_loss
        assert values["calibration_error_before"] == calibration(held_out).error
        assert values["calibration_error"] == calibration(tempered(held_out, heat)).error
        cold = predictions(folders["test"], name, store)
        warm = tempered(cold, values["value"]).probability
        np.testing.assert_allclose(predictions(out, name, store).probability, warm, atol=1e-12)
        assert rows_of(out)[name]["calibration_error_before"] == calibration(cold).error
    cold, without, warm = (
        predictions(folder, "no-audio-50", store).probability if folder else
        predictions(out, "no-audio", store).probability
        for folder in (folders["test"], None, out)
    )  # fmt: skip
    complete = predictions(out, "complete", store).probability
    lost = (cold != predictions(folders["test"], "complete", store).probability).any(1)
    np.testing.assert_allclose(warm[lost], without[lost], atol=1e-12)
    np.testing.assert_allclose(warm[~lost], complete[~lost], atol=1e-12)
    # `evaluate` applies that of the complete recordings, and fits none again.
    code, said, err = fit("evaluate", run, "--temperature", "--protocol", "strict", "--no-page",
                          "--device", "cpu", "--resamples", 100)  # fmt: skip
    assert code == 0 and "temperatures: fitted" not in err and "strict, no image" in said
    made = (run / "evaluation-test-temperature" / "predictions-strict.tsv").read_bytes()
    assert made == (out / "predictions-complete.tsv").read_bytes()
    assert (run / "temperatures.json").read_bytes() == kept
    # Those of other weights do not count.
    values = json.loads(kept) | {"weights": "0" * 64}  # as of a checkpoint within the next epoch
    (run / "temperatures.json").write_text(json.dumps(values))
    assert fit("robustness", run, "--temperature", *options, "--out", out)[0] == 0
    assert (run / "temperatures.json").read_bytes() == kept
    (run / "temperatures.json").write_text("{}")
    refused(fit("robustness", run, "--temperature", *options, "--out", out), 1, "Remove the file")


def test_a_temperature_is_fitted_for_each_pattern_that_a_run_is_given(joint, fit):
    options = ("--temperature", "--resamples", 100, "--device", "cpu")
    evaluate = ("evaluate", joint, *options, "--protocol", "strict", "--no-page")
    names, kept = ["complete", "no-audio", "no-image"], joint / "temperatures.json"

    def fitted():
        return json.loads(kept.read_text())["protocols"]["strict"]

    assert fit(*evaluate)[0] == 0  # it has no modality dropout
    alone = fitted()
    assert list(alone) == names[:1]
    assert fit("robustness", joint, *options, "--conditions", "no-audio")[0] == 0
    assert list(fitted()) == names and fitted()["complete"] == alone["complete"]
    before = kept.read_bytes()
    assert fit(*evaluate)[0] == 0 and kept.read_bytes() == before
    metrics = json.loads((joint / "evaluation-test-temperature" / "metrics.json").read_text())
    assert metrics["protocols"]["strict"]["temperatures"] == alone


def test_shares_are_nested_of_equal_size_and_the_same_for_both(home, report):
    store = Store.open(home / "store")
    complete = predictions(report, "complete", store).probability
    for word in ("audio", "image"):
        without = predictions(report, f"no-{word}", store).probability
        before = np.zeros(len(complete), bool)
        for percent in (10, 30, 50):
            found = predictions(report, f"no-{word}-{percent}", store).probability
            taken = (found != complete).any(1)
            assert taken.sum() == round(percent / 100 * len(complete))
            np.testing.assert_allclose(found[taken], without[taken], atol=1e-9)
            assert (before <= taken).all()
            before = taken
        other = predictions(report, f"no-{'image' if word == 'audio' else 'audio'}-50", store)
        assert ((other.probability != complete).any(1) == before).all()


def rearranged(monkeypatch, folder, image_of):
    """Write the small store with other images: those of (row, second) that `image_of` names."""
    made = stores._records

    def records(product, row_in_block, row, *rest):
        if product != "images":
            return made(product, row_in_block, row, *rest)
        found = []
        for record in made(product, row_in_block, row, *rest):
            donor, second = image_of(row, record.key)
            lent = made(product, row_in_block, donor, *rest)[second]
            found.append(replace(record, data=lent.data))
        return found

    monkeypatch.setattr(stores, "_records", records)
    return small_store(folder, products=("scalogram", "images"))


def evaluated(fit, run, store, out):
    code, _, err = fit("evaluate", run, "--store", store, "--allow-other-store", "--no-page",
                       "--resamples", 100, "--device", "cpu", "--out", out)  # fmt: skip
    assert code == 0, err
    opened = Store.open(store)
    return read_predictions(out / "predictions-strict.tsv", opened.clips, opened.classes)


@pytest.mark.parametrize(("name", "late"), [("audio-late-1s", 1), ("audio-early-1s", -1)])
def test_a_shift_is_a_store_whose_images_are_shifted(
    home, joint, report, fit, tmp_path, monkeypatch, name, late
):
    store = rearranged(monkeypatch, tmp_path / "store", lambda row, k: (row, (k + late) % 3))
    wanted = evaluated(fit, joint, store, tmp_path / "evaluation")
    found = predictions(report, name, Store.open(store))
    np.testing.assert_allclose(found.probability, wanted.probability, atol=2e-7)
    complete = predictions(report, "complete", Store.open(store))
    assert (abs(found.probability - complete.probability) > 2e-6).any()


@pytest.mark.parametrize("name", ["image-same-scene", "image-other-scene"])
def test_a_lying_image_is_a_store_with_the_listed_images(
    home, joint, report, fit, tmp_path, monkeypatch, name
):
    clips = small_clips()
    number = {clip.id: row for row, clip in enumerate(clips)}
    with (report / "pairs.csv").open(newline="") as file:
        pairs = {number[row["clip"]]: number[row["image_of"]] for row in csv.DictReader(file)
                 if row["condition"] == name}  # fmt: skip
    tested = {row for row, clip in enumerate(clips) if clip.fold == "test"}
    assert set(pairs) == tested
    for clip, donor in pairs.items():
        assert donor in tested - {clip}
        assert (clips[clip].scene == clips[donor].scene) == (name == "image-same-scene")
    lent = lambda row, k: (pairs.get(row, row), k)  # noqa: E731
    store = rearranged(monkeypatch, tmp_path / "store", lent)
    wanted = evaluated(fit, joint, store, tmp_path / "evaluation")
    found = predictions(report, name, Store.open(store))
    np.testing.assert_allclose(found.probability, wanted.probability, atol=2e-7)


def test_altered_recordings_are_a_store_of_altered_ones(
    home, joint, report, fit, tmp_path, monkeypatch
):
    made = stores._records

    def records(product, *rest):
        found = []
        for record in made(product, *rest):
            if product == "images":
                pixels = simplejpeg.decode_jpeg(record.data)
                dark = np.rint(pixels * 0.1).astype(np.uint8)
                data = simplejpeg.encode_jpeg(dark, quality=95, colorsubsampling="420",
                                              fastdct=False)  # fmt: skip
                found.append(replace(record, data=np.frombuffer(data, np.uint8)))
            else:
                amplitude = np.exp(record.data.astype(np.float64)) / 10
                data = np.log(np.maximum(amplitude, 1e-10)).astype(np.float32)
                found.append(replace(record, data=data))
        return found

    for name, product in (("image-dark", "images"), ("audio-20db", "scalogram")):
        only = lambda this, *rest, one=product: (records if this == one else made)(this, *rest)  # noqa: E731
        monkeypatch.setattr(stores, "_records", only)
        store = small_store(tmp_path / name, products=("scalogram", "images"))
        wanted = evaluated(fit, joint, store, tmp_path / f"{name}-evaluation")
        found = predictions(report, name, Store.open(store))
        np.testing.assert_allclose(found.probability, wanted.probability, atol=1e-6)
        complete = predictions(report, "complete", Store.open(store))
        assert abs(found.probability - complete.probability).max() > 2e-5, name


def test_noise_is_white_of_the_stated_power_and_of_the_right_recordings(tmp_path, monkeypatch):
    clips = small_clips(classes=2, locations=1, clips_per_location=1)
    draw, made, heard = np.random.default_rng(0), stores._records, {}
    (tmp_path / "audio").mkdir()
    for row, clip in enumerate(clips):
        heard[row] = 0.1 * (row + 1) * draw.standard_normal((48_000, 2))
        soundfile.write(tmp_path / clip.audio, heard[row], 16_000, "FLOAT", format="WAV")

    def records(product, row_in_block, row, *rest):
        (record,) = made(product, row_in_block, row, *rest)
        clip = make_clip("", tmp_path / clips[row].audio, None, {product: stores.SPECS[product]})
        return [replace(record, data=clip.records[product][0][1])]

    monkeypatch.setattr(stores, "_records", records)
    store = Store.open(small_store(tmp_path / "store", products=("scalogram",), clips=clips))
    seen = []
    monkeypatch.setattr(
        alterations,
        "magnitude",
        lambda samples, spec: seen.append(samples) or magnitude(samples, spec),
    )
    source = Source.open(store, "scalogram", False)
    recorded = alterations.Recorded(store, "scalogram", [0, 1], tmp_path, 0, 5)
    noisy = alterations.Noise(10)(source, recorded)
    assert noisy.acoustic.shape == source.acoustic.shape
    for row, (clean, loud) in enumerate(zip(seen[::2], seen[1::2], strict=True)):
        left_right = heard[row].T
        np.testing.assert_allclose(clean[0], left_right.mean(0), atol=1e-6)
        added = (loud - clean).astype(np.float64)
        sides = np.stack([added[0] + added[1], added[0] - added[1]])
        power = np.square(left_right).mean()
        np.testing.assert_allclose(np.square(sides).mean(1), 0.1 * power, rtol=0.05)
        assert abs(np.corrcoef(*sides)[0, 1]) < 0.03
        assert abs(np.corrcoef(sides[0, 1:], sides[0, :-1])[0, 1]) < 0.03
    again = alterations.Noise(10)(source, replace(recorded, workers=3))
    np.testing.assert_array_equal(again.acoustic, noisy.acoustic)
    soundfile.write(tmp_path / clips[1].audio, heard[0], 16_000, "FLOAT", format="WAV")
    with pytest.raises(AvscError, match="not the recording that"):
        alterations.Noise(10)(source, recorded)


def test_noise_needs_the_recordings(report):
    row = rows_of(report)["noise-10db"]
    assert not row["defined"]
    assert row["note"] == "not defined: the recordings are needed; name their folder by --root"


def test_an_image_that_the_store_lacks_is_missing_where_it_is_shifted_to(
    joint, fit, tmp_path, monkeypatch
):
    made, gap = stores._records, next(r for r, c in enumerate(small_clips()) if c.fold == "test")

    def records(product, row_in_block, row, *rest):
        found = made(product, row_in_block, row, *rest)
        return found[:1] + found[2:] if (product, row) == ("images", gap) else found

    monkeypatch.setattr(stores, "_records", records)
    store = small_store(tmp_path / "store", products=("scalogram", "images"))
    out = tmp_path / "out"
    common = ("robustness", joint, "--store", store, "--allow-other-store", "--resamples", 100,
              "--conditions", "audio-late-1s", "--device", "cpu", "--out", out)  # fmt: skip
    refused(fit(*common), 1, "17 of 18 segments can be predicted")
    code, _, err = fit(*common, "--allow-missing", "--save-predictions")
    assert code == 0, err
    row = rows_of(out)["audio-late-1s"]
    assert row["segments"] == 17
    assert row["note"] == "segments without an image there: 1; zeros in the place of its embedding"
    assert (out / "predictions-audio-late-1s.tsv").exists()
    assert fit(*common, "--allow-missing")[0] == 0
    assert not list(out.glob("predictions-*"))  # those of the earlier evaluation are gone


def test_what_is_not_defined_is_said_in_the_row(home, fit, tmp_path):
    out = tmp_path / "out"
    names = "no-audio,audio-late-1s"
    code, printed, err = fit("robustness", home / "audio", "--conditions", names, "--resamples",
                             100, "--device", "cpu", "--out", out)  # fmt: skip
    assert code == 0, err
    rows = rows_of(out)
    assert list(rows) == ["complete", "no-audio", "audio-late-1s"]
    for name in names.split(","):
        assert not rows[name]["defined"]
        assert rows[name]["note"] == "not defined: the system takes no images"
    assert "no audio, audio 1 s late: not defined: the system takes no images" in printed


def test_files_of_any_system_give_the_same_figures(home, report, fit, tmp_path):
    out = tmp_path / "out"
    files = [f"{name}={report / f'predictions-{name}.tsv'}" for name in CONDITIONS
             if not name.startswith("noise")]  # fmt: skip
    code, _, err = fit("robustness", *(word for file in files for word in ("--predictions", file)),
                       "--truth", home / "store", "--resamples", 100, "--out", out)  # fmt: skip
    assert code == 0, err
    ours, theirs = rows_of(report), rows_of(out)
    ours = {name: row for name, row in ours.items() if row["defined"]}
    assert list(ours) == list(theirs)
    for name, row in ours.items():
        for figure in ("log_loss", "accuracy", "expected_calibration_error", "minus_complete"):
            assert theirs[name][figure] == row[figure], (name, figure)
    assert theirs["no-audio"]["confidence_rose"] == ours["no-audio"]["confidence_rose"]
    assert theirs["no-audio-30"]["confidence_rose"] is None  # which segments is not known


def test_what_is_wrong_with_the_options_is_one_line(home, report, fit, tmp_path):
    file = report / "predictions-complete.tsv"
    refused(fit("robustness"), 2, "a run, or predictions files")
    refused(fit("robustness", home / "audio", "--truth", home / "store"), 2, "--truth is for")
    refused(fit("robustness", "--predictions", f"complete={file}", "--store", home / "store"), 2,
            "--store is for")  # fmt: skip
    refused(fit("robustness", "--predictions", f"complete={file}", "--temperature"), 2,
            "--temperature is for a run")  # fmt: skip
    refused(fit("robustness", home / "audio", "--conditions", "dark-matter"), 2, "'dark-matter'")
    refused(fit("robustness", "--predictions", "complete"), 2, "CONDITION=FILE")
    truth = ("--truth", home / "store", "--out", tmp_path / "out")
    refused(fit("robustness", "--predictions", f"silence={file}", *truth), 2, "'silence'")
    refused(fit("robustness", "--predictions", f"no-audio={file}", *truth), 2, "complete=FILE")
    refused(fit("robustness", home / "audio", "--out", home / "audio"), 2, "the folder of a run")


CLIPS = tuple(
    replace(clip, location=f"{clip.scene}-{clip.location}") for clip in small_clips(locations=16)
)
CLASSES = ("scene0", "scene1", "scene2")


def guesses(seed, strength):
    scene = np.array([CLASSES.index(clip.scene) for clip in CLIPS])
    rows = np.repeat(np.arange(len(CLIPS)), 10)
    noise = np.random.default_rng(seed).normal(size=(len(rows), 3))
    logits = noise + strength * np.eye(3)[scene[rows]]
    probability = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    return Segments(probability, rows, np.tile(np.arange(10), len(CLIPS)), scene[rows])


def loss_of(own):
    by_scene = [-np.log(own.probability[own.scene == c, c]).mean() for c in range(3)]
    return np.mean(by_scene)


def test_figures_are_those_of_plain_arithmetic(tmp_path):
    complete, without, audio, visual = (
        guesses(*each) for each in ((0, 3), (1, 2), (2, 1), (3, 2.8))
    )
    taken = np.arange(len(complete)) % 3 == 0
    answers = {
        "complete": ConditionAnswer(complete),
        "no-image": ConditionAnswer(without, "", taken),
    }
    answers["no-audio"] = ConditionAnswer(without, "", taken)
    singles = {"audio": audio, "visual": visual}
    truth = Truth(tmp_path, CLIPS, CLASSES)
    rows = measure(answers, truth, Rivals(singles, 0.02, Resampling(500)))
    found = {row.condition.name: row.measured for row in rows}
    assert list(found) == ["complete", "no-audio", "no-image"]
    row = found["no-image"]
    assert row.results.scores.log_loss == pytest.approx(loss_of(without))
    assert row.to_complete.log_loss.difference == pytest.approx(
        loss_of(without) - loss_of(complete)
    )
    for modality, single in singles.items():
        difference = row.to_single[modality].log_loss
        assert difference.difference == pytest.approx(loss_of(without) - loss_of(single))
    risen = [b.max() > a.max() for a, b, t in zip(complete.probability, without.probability, taken,
                                                  strict=True) if t]  # fmt: skip
    assert row.rose == pytest.approx(np.mean(risen))
    assert row.without == taken.sum()
    # Without images audio is left, which the system beats; without audio images, to which it loses.
    assert row.to_single["audio"].log_loss.interval.high < 0.02
    assert row.not_worse is True
    assert found["no-audio"].to_single["visual"].log_loss.interval.high > 0.02
    assert found["no-audio"].not_worse is False
    assert found["complete"].rose is None
    margin = found["no-audio"].to_single["visual"].log_loss.interval.high
    again = measure(answers, truth, Rivals(singles, margin, Resampling(500)))
    assert {row.condition.name: row.measured.not_worse for row in again}["no-audio"] is True
    # With all there, each of the two rivals must be matched.
    better = measure(answers, truth, Rivals({"audio": audio, "visual": guesses(3, 6)}, 0.02,
                                            Resampling(500)))  # fmt: skip
    assert found["complete"].not_worse is True and better[0].measured.not_worse is False


def fewer(own):
    """Predictions of locations of several sizes."""
    kept = (own.second < 5) | (own.clip % 3 > 0)
    return Segments(own.probability[kept], own.clip[kept], own.second[kept], own.scene[kept])


def test_calibration_errors_have_intervals_of_drawn_locations():
    first, second = (fewer(guesses(*each)) for each in ((0, 3), (4, 1.5)))
    table, resampling = (CLIPS, CLASSES), Resampling(40, seed=3)
    location = np.array([CLIPS[row].location for row in first.clip])
    drawn = {}
    for scene in range(3):  # as many of the locations of each scene as it has
        names = np.unique(location[first.scene == scene])
        uniform = np.full(len(names), 1 / len(names))
        times = np.random.default_rng((3, scene)).multinomial(len(names), uniform, 40)
        drawn |= dict(zip(names.tolist(), times.T, strict=True))
    wanted = []
    for resample in range(40):
        rows = np.repeat(np.arange(len(first)), [drawn[name][resample] for name in location])
        picked = (
            Segments(each.probability[rows], rows, rows, each.scene[rows])
            for each in (first, second)
        )
        wanted.append([calibration(each).error for each in picked])
    errors = [calibration(each).error for each in (first, second)]
    wanted = np.array(wanted) - np.mean(wanted, 0) + errors
    found = summarise(first, *table, resampling).calibration_interval
    assert [found.low, found.high] == pytest.approx(np.quantile(wanted[:, 0], [0.025, 0.975]))
    between = calibration_difference(first, second, table, resampling)
    assert between.difference == pytest.approx(errors[1] - errors[0])
    ends = np.quantile(wanted[:, 1] - wanted[:, 0], [0.025, 0.975])
    assert [between.interval.low, between.interval.high] == pytest.approx(ends)
    few = [replace(clip, location=clip.location.replace("5", "4")) for clip in CLIPS]
    assert summarise(first, few, CLASSES, resampling).calibration_interval is None
    assert calibration_difference(first, second, (few, CLASSES), resampling).interval is None


def test_the_tables_have_a_row_for_each_condition_and_each_rival(tmp_path):
    answers = {
        "complete": ConditionAnswer(guesses(0, 3)),
        "no-audio": ConditionAnswer(None, "not defined: why"),
    }
    truth, singles = Truth(tmp_path, CLIPS, CLASSES), {"audio": guesses(2, 1)}
    rows = measure(answers, truth, Rivals(singles, 0.02, Resampling(100)))
    alone = {"audio": summarise(singles["audio"], CLIPS, CLASSES, Resampling(100))}
    for table in condition_cells(rows, alone):
        header, complete, undefined, rival = table
        assert {len(row) for row in table} == {len(header)}
        assert undefined[:3] == ["no audio", "not defined", "-"]
        assert complete[0] == "complete" and rival[0] == "audio alone, complete"
    assert rival[1] == f"{100 * alone['audio'].scores.accuracy:.1f}"
    assert rival[5] == f"{alone['audio'].calibration.error:.3f}"
    assert complete[5] == f"{calibration(answers['complete'].segments).error:.3f}"


def test_without_a_rival_or_an_interval_nothing_is_claimed(tmp_path):
    complete = guesses(0, 3)
    few = complete.clip < 32
    small = Segments(complete.probability[few], complete.clip[few], complete.second[few],
                     np.zeros(few.sum(), np.int64))  # fmt: skip
    answers, truth = {"complete": ConditionAnswer(complete)}, Truth(tmp_path, CLIPS, CLASSES)
    (row,) = measure(answers, truth, Rivals({}, 0.02, Resampling(100)))
    assert row.measured.not_worse is None
    one = Truth(tmp_path, CLIPS, CLASSES[:1])
    single = replace(small, probability=np.ones((len(small), 1)))
    (row,) = measure({"complete": ConditionAnswer(single)}, one,
                     Rivals({"audio": single}, 0.02, Resampling(100)))  # fmt: skip
    assert row.measured.to_single["audio"].log_loss.interval is None
    assert row.measured.not_worse is None
