"""Checkpoints: whole or absent, of this run or refused; and the run's folder."""

import zipfile
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from avsc.manifests.errors import AvscError, SettingError
from avsc.train.fit.checkpoint import (
    Progress,
    changing_state,
    load_last,
    load_weights,
    save_best,
    save_last,
)
from avsc.train.fit.history import Row, best_row
from avsc.train.fit.refs import EncoderRef, StoreRef, TeacherRef
from avsc.train.fit.resumed_run import check_same
from avsc.train.fit.run_folder import RunFolder
from avsc.train.fit.run_record import SceneRecord, read_record
from avsc.train.model.acoustic import AcousticEncoder
from avsc.train.model.baseline import DenseEncoder
from avsc.train.model.classifiers import SceneClassifier
from avsc.train.model.network import Network
from avsc.train.model.visual import visual_encoder
from avsc.train.settings.scenes import Settings
from avsc.train.systems import SYSTEMS

DIGEST = "d" * 64


def a_network(bins=24, seed=0):
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        network = Network(AcousticEncoder(2, bins), None, SceneClassifier(1024, 3))
    network.acoustic.set_normalisation(torch.zeros(2, bins), torch.ones(2, bins))
    return network


def an_optimiser(network):
    return torch.optim.SGD(network.trainable_parameters(), lr=0.1, momentum=0.9)


def a_step(network, optimiser):
    frames = torch.randn(8, 2, 24, generator=torch.Generator().manual_seed(1))
    optimiser.zero_grad()
    with torch.random.fork_rng():
        torch.manual_seed(2)  # of the dropout
        network(frames, None).square().mean().backward()
    optimiser.step()


def a_record(**changes):
    store = StoreRef("s", "small", "f" * 64, ("a", "b", "c"), {"scalogram": "1" * 64})
    record = SceneRecord(
        system=SYSTEMS["joint"],
        settings=Settings(),
        store=store,
        split="3" * 64,
        frame=(2, 290),
        vector=None,
        acoustic=None,
        visual=EncoderRef("random seed 0", "2" * 64, 256),
        embeddings={},
        versions={"torch": "2"},
    )
    return replace(record, **changes)


def test_last_brings_back_weights_momentum_and_progress(tmp_path):
    network = a_network()
    optimiser = an_optimiser(network)
    a_step(network, optimiser)
    history = [Row(1, 0.01, 0.3, None, None), Row(2, 0.01, 0.1 + 0.2, 0.5, 0.25)]
    progress = Progress(2, 5, 0.1 * 3, history)
    save_last(RunFolder(tmp_path), DIGEST, network, optimiser, progress)

    other = a_network(seed=1)
    its_optimiser = an_optimiser(other)
    assert load_last(tmp_path / "last.pt", DIGEST, other, its_optimiser) == progress
    for _ in range(2):  # the second step shows the momentum
        a_step(network, optimiser)
        a_step(other, its_optimiser)
    torch.testing.assert_close(other.state_dict(), network.state_dict(), rtol=0, atol=0)


@pytest.mark.parametrize("frozen", [True, False])
def test_a_frozen_image_model_is_not_in_it_and_anything_else_is(frozen):
    image_model = visual_encoder("test_resnet", "random", 32)
    for visual, apart in ((image_model, frozen), (DenseEncoder(3), False)):
        network = Network(None, visual, SceneClassifier(2, 3), frozen_visual=frozen)
        left = set(network.state_dict()) - set(changing_state(network))
        assert left == ({f"visual.{name}" for name in visual.state_dict()} if apart else set())


@pytest.mark.parametrize("length", [0, 10, 100_000])
def test_a_truncated_file_is_named(tmp_path, length):
    path = tmp_path / "best.pt"
    save_best(RunFolder(tmp_path), DIGEST, a_network(), 4)
    assert load_weights(path, DIGEST, a_network()) == 4
    path.write_bytes(path.read_bytes()[:length])
    with pytest.raises(AvscError, match=r"best\.pt: not a checkpoint.*or damaged.*--no-resume"):
        load_weights(path, DIGEST, a_network())


def test_a_flipped_bit_is_never_loaded(tmp_path):
    """Torch compares no checksum by itself, and takes what is marked as a folder as unwritten."""
    path = tmp_path / "best.pt"
    save_best(RunFolder(tmp_path), DIGEST, a_network(), 4)
    data = path.read_bytes()
    with zipfile.ZipFile(path) as archive:
        largest = max(archive.infolist(), key=lambda member: member.file_size)
    entry = data.rindex(b"PK\x01\x02", 0, data.rindex(largest.filename.encode()))
    for place, bit in ((largest.header_offset + largest.file_size // 2, 1), (entry + 38, 16)):
        flipped = bytearray(data)
        flipped[place] ^= bit
        path.write_bytes(flipped)
        with pytest.raises(AvscError, match=rf"checksum of {largest.filename} differs"):
            load_weights(path, DIGEST, a_network())


def test_files_of_others_are_named(tmp_path):
    path = tmp_path / "best.pt"
    with pytest.raises(AvscError, match="no such checkpoint"):
        load_weights(path, DIGEST, a_network())
    save_best(RunFolder(tmp_path), DIGEST, a_network(), 4)
    with pytest.raises(AvscError, match="found the checkpoint of a run with digest ddd"):
        load_weights(path, "e" * 64, a_network())
    with pytest.raises(AvscError, match=r"acoustic\.deviation has shape \(2, 24\), wanted \(2, 32"):
        load_weights(path, DIGEST, a_network(bins=32))
    torch.save({"weights": torch.zeros(3)}, path)
    with pytest.raises(AvscError, match="not a checkpoint of this version"):
        load_weights(path, DIGEST, a_network())


def test_a_file_that_would_run_code_is_refused(tmp_path):
    class Evil:
        def __reduce__(self):
            return (tmp_path / "ran").touch, ()

    torch.save({"format": 1, "digest": DIGEST, "network": Evil()}, tmp_path / "best.pt")
    with pytest.raises(AvscError, match="not a checkpoint"):
        load_weights(tmp_path / "best.pt", DIGEST, a_network())
    assert not (tmp_path / "ran").exists()


def test_a_failed_write_leaves_the_previous_file(tmp_path, monkeypatch):
    path = tmp_path / "best.pt"
    save_best(RunFolder(tmp_path), DIGEST, a_network(), 4)

    def full(descriptor):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(AvscError, match=r"best\.pt: could not be written"):
        save_best(RunFolder(tmp_path), DIGEST, a_network(), 5)
    assert load_weights(path, DIGEST, a_network()) == 4
    assert [file.name for file in tmp_path.iterdir()] == ["best.pt"]


def test_the_best_row_is_the_first_of_the_lowest():
    rows = [Row(n + 1, 0, 0, loss, 0) for n, loss in enumerate((0.5, 0.2, 0.3, 0.2))]
    assert best_row(rows) is rows[1]
    assert best_row([]) is None
    without = [Row(n, 0, 0, None, None) for n in (1, 2)]
    assert best_row(without) is without[1]


def test_a_record_comes_back(tmp_path):
    path = tmp_path / "settings.json"
    path.write_bytes(a_record().encode())
    assert read_record(path) == a_record()
    path.write_text(path.read_text().replace('"lr_max": 0.01', '"lr_max": 0.02'))
    with pytest.raises(AvscError, match="do not match its digest"):
        read_record(path)
    path.write_text(path.read_text()[:50])
    with pytest.raises(AvscError, match=r"settings\.json: not the settings of a run"):
        read_record(path)
    path.unlink()
    with pytest.raises(AvscError, match=r"no run that can be read \(settings\.json is missing"):
        read_record(path)


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"system": SYSTEMS["audio"]}, r"different system \('joint', now 'audio'\)"),
        ({"settings": Settings(concat="all")}, r"different --concat \('input', now 'all'\)"),
        ({"settings": Settings(seed=3)}, r"different --seed \(0, now 3\)"),
        ({"settings": Settings(preset="robust")}, r"different --preset \('none', now 'robust'\)"),
        (
            {"settings": Settings(preset="robust", unimodal_heads=0.5)},
            r"different --preset \('none', now 'robust'\)",
        ),
        (
            {"settings": Settings(preset="robust", modality_dropout=0, unimodal_heads=0.5)},
            r"different --unimodal-heads \(None, now 0\.5\)",
        ),
        ({"frame": (2, 256)}, r"different acoustic frame \(\[2, 290\], now \[2, 256\]\)"),
        (
            {
                "settings": Settings(teacher=Path("runs/joint")),
                "teacher": TeacherRef("run joint", "9" * 64, {}),
            },
            r"different teacher \(None, now '999.*' \(run joint\)\)",
        ),
        ({"split": "4" * 64}, r"different split \('333"),
        (
            {"store": replace(a_record().store, fingerprint="0" * 64), "split": "4" * 64},
            r"different store's fingerprint \('fff.*, now '000",
        ),
    ],
)
def test_what_differs_from_the_run_is_named(tmp_path, changes, text):
    with pytest.raises(SettingError, match=f"{text}.*--no-resume"):
        check_same(a_record(), a_record(**changes), tmp_path)


def test_a_record_of_before_stores_had_parts_keeps_its_digest():
    """The digest that 799888c gave: checkpoints of its runs carry it."""
    digest = "65ef748fd8e69e656a293774703f3d71de48cfd10b549a3dfaeb0ce36d785c5b"
    assert a_record().digest == digest
    parts = {"clips": "5" * 64, "scalogram": "6" * 64}
    assert a_record(store=replace(a_record().store, parts=parts)).digest != digest


def test_a_run_depends_on_the_parts_of_a_store_that_it_used_alone(tmp_path):
    parts = {"clips": "5" * 64, "scalogram": "6" * 64}
    found = replace(a_record().store, parts=parts)
    other = replace(found, fingerprint="0" * 64)  # as after a product was added
    check_same(a_record(store=found), a_record(store=other), tmp_path)
    changed = replace(found, parts={**parts, "clips": "7" * 64})
    with pytest.raises(SettingError, match=r"different store's clips \('555.* \(ids, scenes"):
        check_same(a_record(store=found), a_record(store=changed, split="4" * 64), tmp_path)


def test_what_does_not_change_the_numbers_may_differ(tmp_path):
    elsewhere = replace(a_record().store, path="elsewhere")
    unset = {"preset": "robust", "modality_dropout": 0, "unimodal_heads": 0}
    free = Settings(**unset, epochs=7, device="cpu", workers=0, patience=3, save_minutes=1)
    visual = EncoderRef("file w.pt", "2" * 64, 256)  # the same weights
    wanted = a_record(settings=free, store=elsewhere, visual=visual, versions={})
    check_same(a_record(), wanted, tmp_path)


def test_a_run_that_is_set_aside_keeps_everything(tmp_path):
    folder = RunFolder(tmp_path / "joint")
    folder.path.mkdir()
    assert folder.set_aside() is None
    for number in (1, 2):
        folder.path.mkdir(exist_ok=True)
        folder.settings.write_text(str(number))
        folder.best.write_text(f"best {number}")
        assert folder.set_aside() == tmp_path / f"joint.{number}"
    assert (tmp_path / "joint.1" / "best.pt").read_text() == "best 1"
    assert (tmp_path / "joint.2" / "best.pt").read_text() == "best 2"
    assert not folder.path.exists()
