"""report.html, opened in a browser from a file, beside the files of numbers."""

import csv
import json
import re
import shutil
from collections import Counter, defaultdict
from dataclasses import replace

import numpy as np
import pytest
import soundfile
import torch
from axe_playwright_python.sync_playwright import Axe
from browser import browser, visit
from playwright.sync_api import expect
from stores import small_clips, small_store
from systems import make
from worst import NAMES

from avsc.features.store.reader import Store
from avsc.train.evaluate.clip_results import clip_results
from avsc.train.fit.inputs import trained_inputs
from avsc.train.fit.trained_run import restore
from avsc.train.model.inference import predict
from avsc.train.protocol import Segments

SCENES = sorted(NAMES[:3])


@pytest.fixture(scope="module")
def chromium():
    with browser() as found:
        yield found


@pytest.fixture(scope="module")
def report(tmp_path_factory):
    """A run that hardly learned, on a store with the worst names, and the store's recordings."""
    home = tmp_path_factory.mktemp("report")
    clips = [replace(clip, scene=SCENES[int(clip.scene[5])]) for clip in small_clips(locations=5)]
    small_store(home / "store", clips=tuple(clips), products=("scalogram", "images"))
    noise = np.random.default_rng(0).normal(0, 0.1, (16_000, 2))
    (home / "root" / "audio").mkdir(parents=True)
    for clip in clips:
        soundfile.write(home / "root" / clip.audio, noise, 16_000)
    make(home, home / "run", "joint", epochs=1, lr_max=1e-6, lr_min=1e-6).fit()
    return home


@pytest.fixture(scope="module")
def page(report):
    from avsc.train.evaluate.bootstrap import Resampling
    from avsc.train.evaluate.evaluate import evaluate_run
    from avsc.train.evaluate.evaluation_request import EvaluationRequest
    from avsc.train.fit.console import Console

    request = EvaluationRequest(
        report / "run",
        resampling=Resampling(100),
        device="cpu",
        workers=0,
        page=True,
        media=True,
        root=report / "root",
    )
    evaluate_run(request, Console())
    return request.folder / "report.html"


def predictions(page, protocol="strict"):
    """Return the rows of the file of predictions, by clip."""
    found = defaultdict(list)
    with (page.parent / f"predictions-{protocol}.tsv").open(newline="") as file:
        for row in csv.DictReader(file, delimiter="\t"):
            found[row["filename"].rpartition("_")[0]].append(row)
    return found


def table(visit, title):
    """Return the texts of a section's table, by the first cell of each row."""
    section = visit.page.locator("section", has=visit.page.locator("h2", has_text=title))
    rows = [row.locator("th, td").all_inner_texts() for row in section.locator("tbody tr").all()]
    return {row[0]: row[1:] for row in rows}


CLIPS_ARE = """wanted => {
    const shown = [...document.querySelectorAll('#clip-table tbody a')].map(a => a.innerText);
    return JSON.stringify(shown.sort()) === JSON.stringify(wanted);
}"""


def test_numbers_are_those_of_the_report(page, chromium):
    values = json.loads((page.parent / "metrics.json").read_text())["protocols"]
    with visit(chromium, page) as found:
        scores, confusion = table(found, "Scores"), table(found, "Confusion")
        by_scene = table(found, "By scene")
        assert values["strict"]["log_loss_interval"] is None
        assert found.page.get_by_text("No interval (-): it needs 48 locations.").is_visible()
        assert (found.faults, found.requests) == ([], [])
    for protocol, said in values.items():
        assert float(scores[protocol][0].split()[0]) == pytest.approx(said["log_loss"], abs=5e-3)
        assert float(scores[protocol][1].split()[0]) == pytest.approx(
            100 * said["accuracy"], abs=0.1
        )
    assert list(by_scene) == [*SCENES, "mean over scenes"]
    for i, scene in enumerate(SCENES):
        counts = [int(cell.split()[0]) for cell in confusion[scene]]
        assert counts == values["strict"]["confusion"][i]
        loss = values["strict"]["class_log_loss"][scene]
        assert float(by_scene[scene][1]) == pytest.approx(loss, abs=1e-3)


def test_a_cell_of_the_confusion_leads_to_its_clips(page, report, chromium):
    scene_of = {clip.id: clip.scene for clip in Store.open(report / "store").clips}
    wanted = defaultdict(set)
    for clip, rows in predictions(page).items():
        for row in rows:
            wanted[scene_of[clip], row["scene_label"]].add(clip)
    assert any(scene != predicted for scene, predicted in wanted)
    with visit(chromium, page) as found:
        section = found.page.locator("section", has=found.page.locator("h2", has_text="Confusion"))
        for (scene, predicted), clips in wanted.items():
            row = section.locator("tbody tr").nth(SCENES.index(scene))
            row.locator("td").nth(SCENES.index(predicted)).locator("a").click()
            found.page.wait_for_function(CLIPS_ARE, arg=sorted(clips))


def test_a_clip_shows_what_was_predicted_second_by_second(page, chromium):
    with visit(chromium, page) as found:
        seen = found.page
        name = seen.locator("#clip-table tbody a").first.inner_text()
        seen.locator("#clip-table tbody a").first.click()
        seen.wait_for_selector(".strip")
        strip = seen.locator(".strip").first
        rows = predictions(page)[name]
        for line in strip.locator("tbody tr").all():
            scene, *percent = line.locator("th, td").all_inner_texts()
            probability = [float(row[scene.removesuffix(" (true)")]) for row in rows]
            assert [int(text) for text in percent] == pytest.approx(
                [100 * value for value in probability], abs=0.51
            )
        expect(seen.locator(".images img")).to_have_count(3)
        seconds = seen.evaluate(
            """async () => {
                const audio = document.querySelector('#clip audio');
                audio.muted = true;
                const ended = new Promise((done, failed) => {
                    audio.onended = done; audio.onerror = failed;
                    setTimeout(failed, 120000, 'it does not end');
                });
                await audio.play();
                await ended;
                return audio.currentTime;
            }"""
        )
        assert seconds == pytest.approx(1, abs=0.05)
        assert (found.faults, found.requests) == ([], [])


def test_page_is_accessible(page, chromium):
    with visit(chromium, page, color_scheme="dark") as found:
        faults = Axe().run(found.page).response["violations"]
        found.page.locator("#clip-table tbody a").first.click()
        found.page.wait_for_selector(".strip")
        faults += Axe().run(found.page).response["violations"]
    assert [(fault["id"], fault["nodes"][0]["html"]) for fault in faults] == []


def test_the_worst_of_each_scene_come_first():
    """Nine clips of three scenes; the table begins with the worst of each."""
    draw = np.random.default_rng(2)
    probability = draw.dirichlet(np.ones(3), 36)
    clip = np.repeat(np.arange(9), 4)
    scene = clip % 3
    segments = Segments(probability, clip, np.tile(np.arange(4), 9), scene)
    loss = {row: -np.log(probability[clip == row][:, row % 3]).mean() for row in range(9)}
    worst = {max((row for row in range(9) if row % 3 == i), key=loss.get) for i in range(3)}
    order = [result.row for result in clip_results(segments)]
    assert sorted(order) == list(range(9))
    assert set(order[:3]) == worst
    assert [loss[row] for row in order[:3]] == sorted((loss[row] for row in worst), reverse=True)
    assert Counter(row % 3 for row in order[3:6]) == Counter(range(3))


def test_an_evaluation_without_a_page_leaves_none_of_before(report, page, fit, tmp_path):
    folder = tmp_path / "report"
    shutil.copytree(page.parent, folder)
    status, out, err = fit(
        *("evaluate", report / "run", "--out", folder, "--no-page", "--device", "cpu"),
        *("--resamples", 100, "--workers", 0),
    )
    assert status == 0, err
    assert not (folder / "report.html").exists()
    assert re.search(r"report: .*report\.md", out)


def test_sound_needs_the_recordings(report, fit, tmp_path):
    status, _, err = fit(
        *("evaluate", report / "run", "--out", tmp_path / "report", "--media", "--device", "cpu"),
        *("--resamples", 100, "--workers", 0),
    )
    assert status == 2
    assert "--media: the folder of the recordings" in err
    assert "--root" in err


def test_a_comparison_shows_what_only_one_gets_right(page, report, fit, tmp_path, chromium):
    """Two files of predictions; outcomes are counted here from the files."""
    truth = {clip.id: clip.scene for clip in Store.open(report / "store").clips}
    draw = np.random.default_rng(5)
    names, wanted = [], []
    for number in range(2):
        path = tmp_path / f"system{number}.tsv"
        right = {}
        with path.open("w", newline="") as file:
            writer = csv.writer(file, delimiter="\t", lineterminator="\n")
            writer.writerow(["filename", "scene_label", *SCENES])
            for clip, rows in predictions(page).items():
                values = draw.dirichlet(np.ones(3), len(rows)).round(6)
                values[:, 2] = 1 - values[:, :2].sum(1)
                right[clip] = SCENES[values.mean(0).argmax()] == truth[clip]
                for row, value in zip(rows, values, strict=True):
                    label = SCENES[value.argmax()]
                    writer.writerow([row["filename"], label, *(f"{v:.6f}" for v in value)])
        names.append(path)
        wanted.append(right)
    status, out, err = fit(
        *("compare", *names, "--truth", report / "store", "--resamples", 100),
        *("--media", "--root", report / "root"),
        *("--out", tmp_path / "comparison"),
    )
    assert status == 0, err
    counts = Counter((wanted[0][clip], wanted[1][clip]) for clip in wanted[0])
    with visit(chromium, tmp_path / "comparison" / "comparison.html") as found:
        shown = table(found, "Clips by outcome")
        assert shown == {
            "only the first is right": [str(counts[True, False])],
            "only the second is right": [str(counts[False, True])],
            "both are wrong": [str(counts[False, False])],
            "both are right": [str(counts[True, True])],
        }
        verdict = next(line for line in out.splitlines() if line.startswith("The second's"))
        assert found.page.get_by_text(verdict, exact=True).is_visible()
        found.page.locator("#clip-table tbody a").first.click()
        found.page.wait_for_selector(".strip")
        expect(found.page.locator(".strip")).to_have_count(2)
        expect(found.page.locator(".images img")).to_have_count(3)
        expect(found.page.locator("#clip audio")).to_have_count(1)
        assert (found.faults, found.requests) == ([], [])
        assert Axe().run(found.page).response["violations"] == []


def test_clips_csv_holds_paths_probabilities_and_embeddings(report, page, fit, tmp_path):
    """Embeddings are computed here through the network's own layers, a clip at a time."""
    folder = tmp_path / "report"
    status, _, err = fit(
        *("evaluate", report / "run", "--out", folder, "--no-page", "--embeddings"),
        *("--root", report / "root", "--device", "cpu", "--resamples", 100, "--workers", 0),
    )
    assert status == 0, err
    with (folder / "clips.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    wanted = predictions(page)
    assert {row["clip"] for row in rows} == set(wanted)
    for row in rows:
        mean = np.mean([[float(r[name]) for name in SCENES] for r in wanted[row["clip"]]], 0)
        shown = [float(row[f"probability {name}"]) for name in SCENES]
        assert shown == pytest.approx(mean, abs=1e-6)
        assert row["predicted"] == SCENES[mean.argmax()]
        assert row["right"] == str(row["predicted"] == row["scene"])
        assert row["audio"] == str(report / "root" / "audio" / f"{row['clip']}.wav")

    network = restore(report / "run", "best").network.eval()
    store = Store.open(report / "store")
    given = []
    network.classifier.layers[-1].register_forward_pre_hook(lambda _, x: given.append(x[0]))
    source = trained_inputs(restore(report / "run", "best").record, store, report / "run")
    for number in (0, -1):
        row = next(i for i, clip in enumerate(store.clips) if clip.id == rows[number]["clip"])
        source_of_clip = source.source([row])
        samples = source_of_clip.samples([row])
        images = torch.from_numpy(np.unique(samples.image))
        given.clear()
        options = {"batch_size": 1, "workers": 0, "device": torch.device("cpu")}
        predict(network, source_of_clip, samples, **options)
        assert len(given) == len(samples) > len(images)
        embedding = json.loads(rows[number]["embedding"])
        assert embedding == pytest.approx(torch.cat(given).mean(0).tolist(), rel=2e-3, abs=1e-5)


@pytest.mark.parametrize("option", ["--media", "--single-file"])
@pytest.mark.parametrize("command", ["evaluate", "compare"])
def test_options_of_a_page_that_is_omitted_are_refused(report, fit, command, option):
    runs = [report / "run"] * (1 if command == "evaluate" else 2)
    status, _, err = fit(command, *runs, "--no-page", option)
    assert status == 2
    assert f"{option} is an option of the page, which --no-page omits" in err
