"""Maps of embeddings: layers against the network's parts, numbers by hand, files and command."""

import csv
import io
import json

import matplotlib.image
import numpy as np
import pytest
import torch
from commands import refused
from sklearn.neighbors import NearestNeighbors
from stores import small_clips, small_store

from avsc.features.store.reader import Store
from avsc.manifests.clips import Clip
from avsc.manifests.errors import AvscError, SettingError
from avsc.train.data.samples import Samples
from avsc.train.evaluate.figures import drawn
from avsc.train.fit.compute import Computing
from avsc.train.fit.inputs import trained_inputs
from avsc.train.fit.trained_run import restore
from avsc.train.paper.tsne_embeddings import choose_points, embeddings, middle_samples, named_layers
from avsc.train.paper.tsne_figure import COLOURS, Panel, draw
from avsc.train.paper.tsne_maps import plane, separation

CPU = Computing(torch.device("cpu"), 16, 0)
SIGHT = ["--backbone", "test_efficientnet.r160_in1k", "--visual-weights", "random",
         "--image-size", "32"]  # fmt: skip
FAST = ["--batch-size", "16", "--epochs", "1", "--device", "cpu", "--workers", "0"]


def blobs(distance, scenes=3, each=40, seed=0):
    """Clouds of unit width in ten dimensions, so far apart; four locations a scene."""
    draw = np.random.default_rng(seed)
    scene = np.repeat(np.arange(scenes), each)
    centres = distance * np.eye(10)[:scenes]
    group = 4 * scene + np.tile(np.arange(4), scenes * each // 4)
    return draw.normal(size=(scenes * each, 10)) + centres[scene], scene, group


def test_numbers_are_high_for_what_is_apart_and_at_chance_for_what_is_not():
    among = np.arange(3)
    apart, mixed = (separation(*blobs(distance), among) for distance in (20, 0))
    assert apart.silhouette > 0.7 and apart.purity == apart.purity_elsewhere == 1
    assert abs(mixed.silhouette) < 0.05
    assert mixed.purity == pytest.approx(1 / 3, abs=0.06)
    # With one's own location left out, 30 of 110 others are of one's own scene.
    assert mixed.purity_elsewhere == pytest.approx(30 / 110, abs=0.06)


def test_purity_equals_a_second_implementation():
    values, scene, group = blobs(2, seed=3)
    among = np.array([0, 2])
    chosen = np.isin(scene, among)
    _, near = NearestNeighbors(n_neighbors=11).fit(values[chosen]).kneighbors(values[chosen])
    expected = (scene[chosen][near[:, 1:]] == scene[chosen][:, None]).mean()
    assert separation(values, scene, group, among).purity == pytest.approx(expected, rel=1e-12)


def test_purity_elsewhere_does_not_count_ones_own_location():
    """Each point sits with its own location, far from its scene's others, near another scene's."""
    group = np.repeat(np.arange(6), 12)
    scene = group % 2
    values = np.random.default_rng(0).normal(size=(72, 2)) * 0.01
    values += np.array([[0, 0], [1, 0], [50, 0], [51, 0], [0, 90], [1, 90]])[group]
    found = separation(values, scene, group, np.arange(2))
    assert found.purity == 1 and found.purity_elsewhere == 0


def test_the_plane_keeps_apart_what_is_apart_and_is_seeded():
    values, scene, group = blobs(20)
    flat = plane(values.astype(np.float32), 0, 10)
    assert flat.shape == (120, 2)
    assert separation(flat, scene, group, np.arange(3)).purity == 1
    np.testing.assert_array_equal(plane(values.astype(np.float32), 0, 10), flat)


CLIPS = tuple(
    Clip(f"{scene}-{n}", scene, None, None, "test", None, f"{scene}{n // 2}")
    for scene in ("bus", "tram")
    for n in range(6)
)


def test_points_are_chosen_evenly_seeded_and_from_what_both_have():
    common = [(clip.id, second) for clip in CLIPS for second in range(10)][::-1]
    points = choose_points(common, CLIPS, ("bus", "tram"), 20, 1)
    assert len(points) == 20 and points.available == 120
    assert np.bincount(points.scene).tolist() == [10, 10]
    assert list(points.segments) == sorted(points.segments)
    assert choose_points(common[::-1], CLIPS, ("bus", "tram"), 20, 1).segments == points.segments
    assert choose_points(common, CLIPS, ("bus", "tram"), 20, 2).segments != points.segments
    few = choose_points(common[:3], CLIPS, ("bus", "tram"), 20, 1)
    assert len(few) == 3 and few.scene.tolist() == [1, 1, 1]
    with pytest.raises(AvscError, match="no segment of these clips in common"):
        choose_points([], CLIPS, ("bus", "tram"), 20, 1)


def test_the_middle_strict_sample_of_each_segment():
    clip = np.array([0, 0, 0, 0, 0, 1])
    second = np.array([0, 0, 0, 0, 1, 4])
    strict = np.array([False, True, True, True, False, True])
    samples = Samples(np.arange(6), None, clip, clip, second, strict)
    assert middle_samples(samples, CLIPS) == {("bus-0", 0): 2, ("bus-1", 4): 5}


def test_layers_are_named():
    assert named_layers("acoustic, fused") == ("fused", "acoustic")
    with pytest.raises(SettingError, match="'visual' is unknown; any of fused, hidden, acoustic"):
        named_layers("visual")


@pytest.mark.parametrize("classes", [3, 10])
def test_the_image_shows_every_scene_in_its_colour(classes):
    draw_points = np.random.default_rng(0)
    scene = np.repeat(np.arange(classes), 30)
    points = draw_points.normal(size=(len(scene), 2)) * 0.1 + 5 * scene[:, None]
    names = [f"scene {number}" for number in range(classes)]
    panels = [[Panel("one", "note", points)] * 2] * 2
    figure = draw(panels, scene, names)
    for axes in figure.axes:
        (left, right), (low, high) = axes.get_xlim(), axes.get_ylim()
        assert right - left == pytest.approx(high - low) and axes.get_aspect() == 1
        assert left < points[:, 0].min() and points[:, 0].max() < right
    titles = [axes.get_title() for axes in figure.axes]
    assert [title[:3] for title in titles] == ["(a)", "(b)", "(c)", "(d)"]
    picture = matplotlib.image.imread(io.BytesIO(drawn(figure).png), format="png")[..., :3]
    for colour in COLOURS[:classes]:
        wanted = np.array([int(colour[at : at + 2], 16) for at in (1, 3, 5)]) / 255
        assert (np.abs(picture - wanted).max(2) < 0.02).sum() > 20, colour
    assert drawn(draw(panels, scene, names)) == drawn(draw(panels, scene, names))


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    clips = small_clips(clips_per_location=3)
    folder = tmp_path_factory.mktemp("stores") / "small"
    return small_store(folder, clips=clips, products=("scalogram", "images"))


def test_two_runs_are_drawn(fit, store, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    audio, pipeline, joint = (tmp_path / name for name in ("audio", "pipeline", "joint"))
    common = ["--store", store, *FAST]
    assert fit("audio", *common, "--out", audio)[0] == 0
    assert fit("pipeline", *common, *SIGHT, "--acoustic-run", audio, "--out", pipeline)[0] == 0
    assert fit("joint", *common, *SIGHT, "--out", joint)[0] == 0
    how = ["--device", "cpu", "--workers", 0, "--points", 24, "--perplexity", 5]
    code, said, _ = fit("tsne", pipeline, joint, *how)
    assert code == 0
    assert "24 of 27 segments" in said and "among scene0, scene1, scene2" in said
    folder = tmp_path / "tsne" / "pipeline-joint"
    assert {path.name for path in folder.iterdir()} == {
        "tsne.png", "tsne.svg", "tsne.csv", "tsne.json", "tsne.md"
    }  # fmt: skip
    values = json.loads((folder / "tsne.json").read_text())
    assert [(each["layer"], each["system"]) for each in values["maps"]] == [
        (layer, system) for layer in ("fused", "hidden", "acoustic")
        for system in ("pipeline", "joint")
    ]  # fmt: skip
    assert values["maps"][4]["values"] == values["maps"][2]["values"] == 1024
    with (folder / "tsne.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 24 and "acoustic_2_y" in rows[0]
    assert {row["scene"] for row in rows} == {"scene0", "scene1", "scene2"}
    before = (folder / "tsne.csv").read_bytes()
    assert fit("tsne", pipeline, joint, *how)[0] == 0
    assert (folder / "tsne.csv").read_bytes() == before

    refused(fit("tsne", pipeline, joint, *how[:-1], 24), 2, "--perplexity is 24", "24 points")
    refused(fit("tsne", pipeline, joint, *how, "--layers", "all"), 2, "'all' is unknown")
    check_layers(joint, audio, pipeline)


def check_layers(joint, audio, pipeline):
    """What was taken is what the network's own parts give, and the pipeline's AE is the audio's."""
    found = {}
    for run in (joint, audio, pipeline):
        trained = restore(run)
        opened = Store.open(trained.record.store.path)
        rows = [row for row, clip in enumerate(opened.clips) if clip.fold == "test"][:2]
        source = trained_inputs(trained.record, opened, trained.folder.path).source(rows)
        samples = source.samples(rows)
        layers = ("fused", "hidden", "acoustic")
        found[run] = embeddings(trained.network, source, samples, layers, CPU)
        with torch.no_grad():
            frames = torch.from_numpy(source.acoustic[samples.frame])
            acoustic = trained.network.embed_sound(frames).numpy()
            fused = torch.from_numpy(found[run]["fused"])
            layered = trained.network.classifier.layers
            hidden = layered[:-1](fused).numpy()
        np.testing.assert_allclose(found[run]["acoustic"], acoustic, atol=1e-5)
        np.testing.assert_allclose(found[run]["fused"][:, :1024], acoustic, atol=1e-5)
        np.testing.assert_allclose(found[run]["hidden"], hidden, atol=1e-5)
    np.testing.assert_allclose(found[pipeline]["acoustic"], found[audio]["acoustic"], atol=1e-4)
    np.testing.assert_allclose(
        found[pipeline]["fused"][:, 1024:], found[joint]["fused"][:, 1024:], atol=1e-4
    )


def test_a_run_without_sound_has_no_acoustic_layer(fit, store, tmp_path):
    run = tmp_path / "video"
    assert fit("video", "--store", store, *FAST, "--batch-size", 8, *SIGHT, "--out", run)[0] == 0
    how = ["--device", "cpu", "--workers", 0, "--perplexity", 5, "--out", tmp_path / "out"]
    refused(fit("tsne", run, run, *how), 2, "--layers includes acoustic", "no audio")
    assert fit("tsne", run, run, *how, "--layers", "hidden")[0] == 0
