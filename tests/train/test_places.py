"""Training an image model on labelled images: layouts, recipe, exact resumption, its use."""

import json
import os
import shutil
import signal
from pathlib import Path

import numpy as np
import pytest
import timm
import torch
from labelled import by_class, places365
from PIL import Image
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import log_loss, top_k_accuracy_score
from systems import StopAfter, fit_for
from torchvision.datasets import Places365

from avsc.manifests.errors import AvscError, SettingError
from avsc.train.data.image_folder import ImageFolder, open_image_folder
from avsc.train.fit.compute import Session
from avsc.train.fit.console import Console
from avsc.train.fit.head import PENALTY, fit_linear
from avsc.train.fit.history import read_metrics
from avsc.train.fit.parameter_groups import parameter_groups
from avsc.train.fit.prepare import prepare_images
from avsc.train.fit.run_folder import RunFolder
from avsc.train.fit.signals import StoppedError
from avsc.train.fit.tasks import top_scores
from avsc.train.fit.trained_run import first_visual
from avsc.train.model.visual import visual_encoder
from avsc.train.model.weights import pretraining
from avsc.train.settings.places import PlacesSettings

SMALL = {
    "backbone": "test_resnet",
    "visual_weights": "random",
    "image_size": 32,
    "batch_size": 12,
    "lr_max": 1e-2,
    "epochs": 3,
    "device": "cpu",
    "workers": 0,
}
OPTIONS = [
    text
    for name, value in SMALL.items()
    for text in (f"--{name.replace('_', '-')}", str(value))
]  # fmt: skip


@pytest.fixture(scope="module")
def images(tmp_path_factory):
    return by_class(tmp_path_factory.mktemp("pictures") / "three-places")


@pytest.fixture(scope="module")
def straight(images, tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs") / "straight"
    assert make(images, folder).fit()
    return folder


def make(images, folder, resume=True, **changes):
    settings = PlacesSettings(data=images, **{**SMALL, **changes})
    with Console() as console:
        session = Session.open(settings, console)
        return prepare_images(settings, RunFolder(folder), resume, session)


# What it learns, and what becomes of it


def test_it_learns_and_says_how_well(straight):
    lines = (straight / "metrics.csv").read_text().splitlines()
    assert lines[0].endswith("validation_log_loss,validation_accuracy,validation_top5")
    assert float(lines[-1].split(",")[4]) > 0.95
    assert {path.name for path in straight.iterdir()} == {
        "settings.json", "visual.pt", "last.pt", "previous.pt", "best.pt", "metrics.csv",
        "timing.csv", "tensorboard", "log.txt"
    }  # fmt: skip


def test_its_run_is_what_visual_weights_takes(straight):
    encoder = visual_encoder("test_resnet", str(straight), 32)
    assert encoder.origin.startswith("three-places, file best.pt sha256:")
    assert pretraining(encoder.origin) == "three-places"
    kept = torch.load(straight / "best.pt", weights_only=True)["network"]
    state = encoder.model.state_dict()
    assert all(torch.equal(kept[f"visual.model.{name}"], value) for name, value in state.items())
    first = visual_encoder("test_resnet", "random", 32)
    assert encoder.digest != first.digest
    again = visual_encoder("test_resnet", str(straight / "best.pt"), 32)
    assert (again.digest, again.origin) == (encoder.digest, encoder.origin)
    with pytest.raises(AvscError, match="not weights of this EfficientNet"):
        visual_encoder("test_efficientnet", str(straight))


def test_a_file_with_places365s_classes_is_known_by_them(tmp_path):
    state = timm.create_model("test_resnet", num_classes=365).state_dict()
    torch.save({"state_dict": {f"module.{k}": v for k, v in state.items()}}, tmp_path / "w.pth.tar")
    origin = visual_encoder("test_resnet", str(tmp_path / "w.pth.tar")).origin
    assert origin.startswith("Places365, file w.pth.tar sha256:")


# Resuming


def bits(value):
    """Return a checkpoint with its tensors as bytes, for exact comparison."""
    if isinstance(value, torch.Tensor):
        return value.dtype, value.shape, value.numpy().tobytes()
    if isinstance(value, dict):
        return {name: bits(each) for name, each in value.items()}
    return [bits(each) for each in value] if isinstance(value, list) else value


# 72 images give 6 batches an epoch; the loop looks before the first, after each, at the end.
@pytest.mark.parametrize("looks", [0, 3, 7, 9])
def test_a_run_that_was_stopped_ends_as_one_that_was_not(images, straight, tmp_path, looks):
    assert not fit_for(make(images, tmp_path / "run"), looks)
    went_on = make(images, tmp_path / "run", workers=2)
    assert (went_on.progress.epoch, went_on.progress.batch) == {
        0: (0, 0), 3: (0, 3), 7: (0, 6), 9: (1, 1)
    }[looks]  # fmt: skip
    assert went_on.fit()
    assert (straight / "metrics.csv").read_bytes() == (tmp_path / "run/metrics.csv").read_bytes()
    for name in ("best.pt", "last.pt"):
        one, other = (
            torch.load(folder / name, weights_only=True) for folder in (straight, tmp_path / "run")
        )
        assert bits(one) == bits(other), name


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGUSR1])
def test_a_signal_saves_and_leaves_with_75(fit, images, straight, tmp_path, monkeypatch, number):
    read, reads = ImageFolder.read, []

    def read_and_be_asked_to_stop(self, record):
        reads.append(record)
        if len(reads) == 30:  # in the third batch
            os.kill(os.getpid(), number)
        return read(self, record)

    monkeypatch.setattr(ImageFolder, "read", read_and_be_asked_to_stop)
    run = ("places", "--data", images, "--out", tmp_path / "run", *OPTIONS)
    code, out, _ = fit(*run)
    assert code == 75
    assert "after 0 epochs and 3 of 6 batches; saved" in out
    code, out, _ = fit(*run)
    assert code == 0
    assert "resuming after 0 epochs and 3 of 6 batches" in out
    assert (straight / "metrics.csv").read_bytes() == (tmp_path / "run/metrics.csv").read_bytes()


def test_another_run_is_refused_or_renamed(fit, images, straight, tmp_path):
    run = ("places", "--data", images, "--out", straight, *OPTIONS)
    code, _, err = fit(*run, "--label-smoothing", 0.1)
    assert code == 2
    assert "different --label-smoothing (0.0, now 0.1)" in err
    code, _, err = fit(*run, "--recipe", "adapt")
    assert code == 2
    assert "different --recipe ('pretrain', now 'adapt')" in err
    other = by_class(tmp_path / "other", training=25)
    code, _, err = fit(*run, "--data", other)
    assert code == 2
    assert "different set of pictures" in err
    code, _, err = fit("evaluate", straight)
    assert code == 1
    assert "not the settings of a run" in err


def test_the_same_weights_by_another_path_go_on(images, straight, tmp_path, monkeypatch):
    """The folder of a run is its best.pt; its weights of another epoch are others."""
    monkeypatch.chdir(tmp_path)
    one = {"epochs": 1, "warmup": 0.5, "patience": 0}
    make(images, tmp_path / "run", visual_weights=str(straight), **one).fit()
    before = (tmp_path / "run" / "settings.json").read_bytes()
    for same in (os.path.relpath(straight), f"{straight}/", str(straight / "best.pt")):
        assert make(images, tmp_path / "run", visual_weights=same, **one).finished
        assert (tmp_path / "run" / "settings.json").read_bytes() == before
    told = r"different visual encoder \(.* \(three-places, file best\.pt .* \(file visual\.pt "
    with pytest.raises(SettingError, match=told):
        make(images, tmp_path / "run", visual_weights=str(straight / "visual.pt"), **one)


def test_weights_of_a_run_whose_best_checkpoint_is_lost(images, tmp_path):
    """They are taken from the checkpoint that ends with the best epoch, as everywhere."""
    run = tmp_path / "run"
    make(images, run, epochs=1, warmup=0.5, patience=0).fit()
    named = PlacesSettings(data=images, **{**SMALL, "visual_weights": str(run)})
    whole = first_visual(named)
    for damage in (lambda: (run / "best.pt").write_bytes(b"damaged"), (run / "best.pt").unlink):
        damage()
        found = first_visual(named)
        assert found.digest == whole.digest
        assert found.origin.startswith("three-places, file last.pt sha256:")
        assert pretraining(found.origin) == "three-places"
    (run / "last.pt").unlink()
    with pytest.raises(AvscError, match=r"best\.pt: no such checkpoint.*epoch, 1, are in no other"):
        first_visual(named)
    (run / "settings.json").write_text("[]")
    with pytest.raises(AvscError, match=r"settings\.json: not the settings of a run .*best\.pt"):
        first_visual(named)


# Layouts


def test_a_folder_of_classes(images):
    found = open_image_folder(images)
    assert found.name == "three-places"
    assert found.classes == ("place0", "place1", "place2")
    assert (found.training, len(found.files)) == (72, 96)
    for record in (0, 71, 72, 95):
        part, place, _ = found.files[record].split("/")
        assert part == ("train" if record < 72 else "val")
        assert int(place[-1]) == found.label[record]
        assert found.read(record).tobytes() == (images / found.files[record]).read_bytes()


@pytest.mark.parametrize(("size", "folder"), [("small", "256"), ("large", "large")])
def test_places365_as_torchvision_lays_it_out(tmp_path, monkeypatch, size, folder):
    digests = places365(tmp_path, folder)
    # The lists are not those of the real set, and so are their digests.
    lists = ("places365_train_standard.txt", "places365_val.txt")
    name = "categories_places365.txt"
    monkeypatch.setattr(Places365, "_CATEGORIES_META", (name, digests[name]))
    monkeypatch.setattr(
        Places365,
        "_FILE_LIST_META",
        dict(zip(("train-standard", "val"), ((n, digests[n]) for n in lists), strict=True)),
    )
    found = open_image_folder(tmp_path, size)
    assert found.name == "Places365"
    assert found.classes == ("/b/bus_interior", "/a/airfield", "/p/park/city")
    assert (found.training, len(found.files)) == (12, 18)
    for record, label in enumerate(found.label):
        with Image.open(tmp_path / found.files[record]) as image:
            assert np.asarray(image).mean((0, 1)).argmax() == label
    other = "large" if size == "small" else "small"
    with pytest.raises(AvscError, match=rf"no such folder, which holds the {other} images"):
        open_image_folder(tmp_path, other)


def test_lists_of_places365_that_are_not_whole_are_refused(tmp_path):
    places365(tmp_path)
    with pytest.raises(AvscError, match=r"lists of Places365 cannot be read .*categories_places"):
        open_image_folder(tmp_path)


def spoil_extension(folder: Path) -> str:
    (folder / "train/place1/000.jpg").rename(folder / "train/place1/000.png")
    return r"place1/000\.png: not a JPEG by its name"


def spoil_depth(folder: Path) -> str:
    (folder / "val/place0/more.jpg").mkdir()
    return r"place0/more\.jpg: not a JPEG by its name"


def spoil_classes(folder: Path) -> str:
    (folder / "val/place2").rename(folder / "val/place3")
    return "class 'place2' is in train and not in val"


def spoil_class(folder: Path) -> str:
    for file in (folder / "train/place0").iterdir():
        file.unlink()
    return "place0: found no images"


def spoil_file(folder: Path) -> str:
    (folder / "train/readme.txt").touch()
    return r"readme\.txt: found a file where folders of classes are"


def spoil_layout(folder: Path) -> str:
    (folder / "val").rename(folder / "valid")
    return r"there is no folder val\. Wanted train/CLASS/\*\.jpg"


@pytest.mark.parametrize(
    "spoil",
    [spoil_extension, spoil_depth, spoil_classes, spoil_class, spoil_file, spoil_layout],
)
def test_what_does_not_belong_is_named_before_anything_begins(tmp_path, spoil):
    folder = by_class(tmp_path / "set", training=2, validation=1)
    text = spoil(folder)
    with pytest.raises(AvscError, match=text):
        make(folder, tmp_path / "run")
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("part", ["train", "val"])
@pytest.mark.parametrize("damage", ["cut", "empty", "not JPEG", "gone"])
def test_a_damaged_image_is_an_error_that_names_it(fit, tmp_path, part, damage):
    folder = by_class(tmp_path / "set", training=8, validation=2)
    victim = folder / part / "place1" / "001.jpg"
    whole = victim.read_bytes()
    run = ("places", "--data", folder, "--out", tmp_path / "run", *OPTIONS, "--epochs", "1")
    if damage == "gone":
        read = ImageFolder.read
        victim.unlink()
        with pytest.MonkeyPatch.context() as patch:
            # It goes between the look at the folder and the reading of the image.
            victim.write_bytes(whole)
            patch.setattr(
                ImageFolder,
                "read",
                lambda self, record: (victim.unlink(missing_ok=True), read(self, record))[1],
            )
            code, _, err = fit(*run)
    else:
        data = {"cut": whole[: len(whole) // 2], "empty": b"", "not JPEG": b"GIF89a" * 50}[damage]
        victim.write_bytes(data)
        code, _, err = fit(*run)
    assert code == 1
    assert err.count("\n") == 1
    assert f"{part}/place1/001.jpg" in err


# The head before the body


@pytest.fixture(scope="module")
def with_head(images, straight, tmp_path_factory):
    """A run that starts from weights that were trained, and ends after one epoch."""
    folder = tmp_path_factory.mktemp("runs") / "head"
    make(images, folder, **ONE_EPOCH, visual_weights=str(straight)).fit()
    return folder


ONE_EPOCH = {"epochs": 1, "warmup": 0.5, "lr_max": 1e-3}


def test_the_head_is_scikit_learns():
    draw = np.random.default_rng(0)
    label = draw.integers(0, 3, 90)
    x = (draw.normal(5, 2, (90, 8)) + 3 * np.eye(3, 8)[label]).astype(np.float32)
    weight, bias = fit_linear(torch.from_numpy(x), torch.from_numpy(label), 3)
    scale = np.sqrt(x.var(0).mean())
    model = LogisticRegression(C=1 / (len(x) * PENALTY * scale**2), tol=1e-8, max_iter=5000)
    wanted = model.fit(x, label).predict_proba(x)
    found = torch.softmax(torch.from_numpy(x) @ weight.T + bias, 1).numpy()
    np.testing.assert_allclose(found, wanted, atol=1e-3)


def test_the_head_is_fitted_once_and_said(images, straight, with_head):
    said = (with_head / "log.txt").read_text()
    assert said.count("head: fitted to 72 images, all other layers as they were") == 1
    assert json.loads((with_head / "settings.json").read_text())["settings"]["head_images"] == 10240
    assert "head:" not in (straight / "log.txt").read_text(), "random weights have no head phase"
    head, first = read_metrics(with_head / "metrics.csv")
    assert (head.epoch, first.epoch) == (0, 1)
    assert head.training_loss < 0.1 and first.training_loss < 0.1, "it starts from what fits"


def test_the_head_is_the_best_epoch_unless_training_improves_on_it(images, straight, tmp_path):
    """Towards smoothed labels it does not; the image model is then what it was."""
    run = tmp_path / "run"
    changes = {**ONE_EPOCH, "visual_weights": str(straight), "label_smoothing": 0.5}
    trainer = make(images, run, **changes)
    (run / "best.pt").unlink()  # it is also in last.pt
    trainer = make(images, run, **changes)
    assert trainer.fit() and trainer.progress.epoch == 1
    rows = read_metrics(run / "metrics.csv")
    assert rows[1].validation_log_loss > rows[0].validation_log_loss
    assert torch.load(run / "best.pt", weights_only=True)["epoch"] == 0
    found = visual_encoder("test_resnet", str(run), 32)
    assert found.digest == visual_encoder("test_resnet", str(straight), 32).digest
    assert make(images, run, **changes).finished


def test_a_run_stopped_in_the_head_phase_ends_as_one_that_was_not(
    images, straight, with_head, tmp_path
):
    changes = {**ONE_EPOCH, "visual_weights": str(straight)}
    settings = PlacesSettings(data=images, **{**SMALL, **changes})
    with Console() as console:
        session = Session.open(settings, console, StopAfter(2))
        with pytest.raises(StoppedError, match=r"while the head of .* was fitted"):
            prepare_images(settings, RunFolder(tmp_path / "run"), True, session)
    assert make(images, tmp_path / "run", **changes).fit()
    name = "metrics.csv"
    assert (tmp_path / "run" / name).read_bytes() == (with_head / name).read_bytes()


def test_a_run_that_starts_over_has_its_head_fitted_again(images, straight, with_head, tmp_path):
    run = shutil.copytree(with_head, tmp_path / "run")
    trainer = make(images, run, resume=False, **ONE_EPOCH, visual_weights=str(straight))
    assert [row.epoch for row in trainer.progress.history] == [0]
    assert (run / "best.pt").exists()


def test_a_run_from_before_there_was_a_head_resumes_by_the_same_command(images, straight, tmp_path):
    """Its settings.json lacks the new settings; batches of 256 and a rate of 0.01 were default."""
    start = {**ONE_EPOCH, "visual_weights": str(straight), "batch_size": 24}
    run = tmp_path / "run"
    assert not fit_for(make(images, run, recipe="pretrain", **start), 1)
    values = json.loads((run / "settings.json").read_text())
    for name in ("recipe", "head_images", "batch_norm", "visual_stages", "visual_lr_factor"):
        del values["settings"][name]
    (run / "settings.json").write_text(json.dumps(values))
    assert make(images, run, **{**start, "batch_size": 0, "lr_max": 0}).progress.batch == 1
    with pytest.raises(SettingError, match=r"different --head-images \(None, now 9\)"):
        make(images, run, head_images=9, **start)


def test_few_images_change_the_last_stages_alone_and_no_statistics(straight, with_head):
    for run, kept in ((with_head, True), (straight, False)):
        before, after = (
            torch.load(run / name, weights_only=True) for name in ("visual.pt", "best.pt")
        )
        same = {
            torch.equal(value, after["network"][f"visual.model.{name}"])
            for name, value in before.items()
            if name.endswith(("running_mean", "running_var"))
        }
        assert same == {kept}
        name = "conv1.0.weight" if "conv1.0.weight" in before else "conv1.weight"
        stem = torch.equal(before[name], after["network"][f"visual.model.{name}"])
        assert stem == kept, "the first stages stay as they are, too"


def test_the_body_learns_by_its_own_rate(images, tmp_path):
    training = make(images, tmp_path / "run", visual_lr_factor=0.25, warmup=0)
    assert not fit_for(training, 1)
    names = {id(each): name for name, each in training.network.named_parameters()}
    rates = {
        names[id(each)]: group["lr"]
        for group in training.optimiser.param_groups
        for each in group["params"]
    }
    assert len(rates) == len(names)
    for name, rate in rates.items():
        assert rate == pytest.approx(0.01 if name.startswith("classifier.") else 0.0025), name


# The recipe


def test_figures_against_scikit_learn():
    draw = np.random.default_rng(0)
    probability = draw.dirichlet(np.ones(12), 300)
    label = draw.integers(0, 12, 300)
    found = top_scores(probability, label)
    expected = [top_k_accuracy_score(label, probability, k=k, labels=range(12)) for k in (1, 5)]
    assert [found["validation_accuracy"], found["validation_top5"]] == pytest.approx(expected)
    assert found["validation_log_loss"] == pytest.approx(
        log_loss(label, probability, labels=range(12))
    )
    assert top_scores(np.full((4, 8), 1 / 8), np.arange(4))["validation_top5"] == 0


def test_only_weights_decay(images, tmp_path):
    network = make(images, tmp_path / "run").network
    names = {id(parameter): name for name, parameter in network.named_parameters()}
    yes, no = parameter_groups(network, decay=0.1)
    assert (yes["weight_decay"], no["weight_decay"]) == (0.1, 0.0)
    assert len(yes["params"]) + len(no["params"]) == len(names)
    assert all(names[id(each)].endswith("weight") and each.ndim > 1 for each in yes["params"])
    assert any(".bn1." in names[id(each)] for each in no["params"])


def test_the_first_step_is_sgd_by_hand(images, tmp_path):
    training = make(images, tmp_path / "run", label_smoothing=0.1, weight_decay=0.01, warmup=0)
    by_hand = make(images, tmp_path / "hand").network
    batch = next(training._batches())
    assert not fit_for(training, 1)
    by_hand.train()
    probability = by_hand(None, batch.images).log_softmax(1)
    wanted = torch.full((12, 3), 0.1 / 3)
    wanted[torch.arange(12), batch.scene] += 0.9
    loss = -(wanted * probability).sum(1).mean()
    gradients = torch.autograd.grad(loss, by_hand.trainable_parameters())
    with torch.no_grad():
        for parameter, gradient in zip(by_hand.trainable_parameters(), gradients, strict=True):
            decay = 0.01 * parameter if parameter.ndim > 1 else 0
            parameter -= 0.01 * (gradient + decay)
    torch.testing.assert_close(
        training.network.state_dict(), by_hand.state_dict(), rtol=1e-5, atol=1e-6
    )


@pytest.mark.parametrize(
    ("given", "images", "recipe", "batch_size", "lr_max", "head_images", "batch_norm", "stages"),
    [
        ({}, 1_350, "adapt", 32, 3e-4, 10_240, "kept", 3),
        ({}, 1_803_460, "pretrain", 256, 1e-2, 0, "batch", 0),
        ({"visual_weights": "random"}, 1_350, "pretrain", 256, 1e-2, 0, "batch", 0),
        ({"recipe": "pretrain", "head_images": 9}, 1_350, "pretrain", 256, 1e-2, 9, "batch", 0),
        ({"head_images": 0, "visual_stages": 0}, 1_350, "adapt", 32, 3e-4, 0, "kept", 0),
        ({"lr_max": 0.1, "batch_norm": "batch"}, 1_350, "adapt", 32, 0.1, 10_240, "batch", 3),
    ],
)
def test_defaults_that_depend_on_the_recipe(
    given, images, recipe, batch_size, lr_max, head_images, batch_norm, stages
):
    found = PlacesSettings(data=Path(), **given).resolved(images, None)
    assert (found.recipe, found.batch_size, found.lr_max) == (recipe, batch_size, lr_max)
    assert (found.head_images, found.batch_norm) == (head_images, batch_norm)
    assert found.visual_stages == stages
    again = PlacesSettings(data=Path(), visual_weights=found.visual_weights)
    assert again.resolved(7, found) == found, "a resumed run keeps its own"


def test_settings_that_do_not_go_together_are_refused(images):
    with pytest.raises(SettingError, match="--warmup is 3 epochs and --epochs is 3"):
        PlacesSettings(data=images, epochs=3, warmup=3)
    with pytest.raises(SettingError, match=r"--lr-min is 0\.1, above --lr-max, 0\.01"):
        PlacesSettings(data=images, lr_min=0.1, lr_max=0.01)


def test_the_folder_must_be_named(fit):
    code, _, err = fit("places")
    assert code == 2
    assert "--data" in err
