"""Exported runs: what is in the folder, that it computes what the run does, and bad input."""

import json
import shutil

import numpy as np
import pytest
import torch
import yaml
from commands import refused, run_fit
from inferred import Trained

from avsc.train.infer import export as exporting
from avsc.train.infer import exported as folders
from avsc.train.infer import graph, load, loading
from avsc.train.infer.run import restore_with_encoders
from avsc.train.infer.verify_export import TOLERANCE, check_difference, largest_difference

ALL = ["README.md", "config.json", "model.onnx", "model.pt2", "model.safetensors"]


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    return Trained(tmp_path_factory.mktemp("exported"))


@pytest.fixture(scope="module")
def joint(world):
    """An exported run of both modalities; tests leave it as it is."""
    out, said = world.folder / "out" / "joint", []
    exporting.export(exporting.ExportRequest(world.fit("joint"), out), said.append)
    assert [line.split(":")[0] for line in said] == sorted(ALL[2:], key=said_order)
    return out


def said_order(name):
    return list(folders.FILES.values()).index(name)


@pytest.fixture
def copy(joint, tmp_path):
    return shutil.copytree(joint, tmp_path / "copy")


def config(folder, **changes):
    """Change what config.json says, by paths such as ``features__audio__digest``."""
    file = folder / "config.json"
    values = json.loads(file.read_text())
    for path, value in changes.items():
        *parents, last = path.split("__")
        inner = values
        for name in parents:
            inner = inner[name]
        inner[last] = value
    file.write_text(json.dumps(values))
    return values


def said(folder, **options):
    """Return the one line of error that loading a folder ends in."""
    with pytest.raises(folders.AvscError) as caught:
        load(folder, device="cpu", **options)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_the_folder_has_all_forms_and_nothing_else(joint):
    assert sorted(path.name for path in joint.iterdir()) == ALL
    assert [path.name for path in joint.parent.iterdir()] == ["joint"]
    values = json.loads((joint / "config.json").read_text())
    assert values["largest_differences"]["onnx"] <= TOLERANCE
    assert values["graph"]["opset"] == graph.OPSET


def test_an_exported_folder_answers_as_its_run(world, joint):
    run = load(world.fit("joint"), device="cpu")
    audio, video = world.files("clip-7")
    wanted = run.predict(video, audio=audio)
    torch_model, onnx_model = (load(joint, device="cpu", runtime=name) for name in folders.FORM_OF)
    np.testing.assert_array_equal(
        torch_model.predict(video, audio=audio).probability, wanted.probability
    )
    found = onnx_model.predict(video, audio=audio).probability
    assert 0 < np.abs(found - wanted.probability).max() < TOLERANCE
    for name in ("system", "classes", "acoustic", "images", "image_input", "protocol"):
        assert getattr(onnx_model, name) == getattr(run, name)
    inputs = graph.drawn_inputs(restore_with_encoders(world.fit("joint")).network, 5, 2)
    given = [inputs[name] for name in ("frames", "images", "view")]
    with torch.no_grad():
        wanted = run.runtime.embed(*given)
    torch.testing.assert_close(onnx_model.runtime.embed(*given), wanted, atol=1e-4, rtol=1e-4)
    assert torch.equal(torch_model.runtime.embed(*given), wanted)


def test_predict_takes_an_exported_folder_by_either_runtime(world, joint, fit):
    _, video = world.files("clip-7")
    audio = ("--audio", world.files("clip-7")[0])
    answers = []
    for runtime in folders.FORM_OF:
        options = ("--runtime", runtime, "--format", "jsonl", "--device", "cpu")
        status, out, err = fit("predict", joint, video, *audio, *options)
        assert status == 0, err
        answers.append([json.loads(line) for line in out.splitlines()])
    assert len(answers[0]) == len(answers[1]) >= 12
    values = []
    for line in (*answers[0], *answers[1]):
        (ranked,) = (value for value in line.values() if isinstance(value, list))
        values.append([each["score"] for each in sorted(ranked, key=lambda each: each["label"])])
    torch_scores, onnx_scores = np.split(np.array(values), 2)
    assert 0 < np.abs(torch_scores - onnx_scores).max() < TOLERANCE


@pytest.mark.parametrize("system", ["audio", "video"])
def test_one_modality_alone(world, tmp_path, fit, system):
    run, out = world.fit(system), tmp_path / "out"
    status, stdout, err = fit("export", run, "--out", out, "--forms", "onnx,pt2")
    assert status == 0, err
    assert [line.partition(":")[0] for line in stdout.splitlines()[-3:]] == [
        "model.onnx", "model.pt2", "exported",
    ]  # fmt: skip
    audio, video = world.files("clip-6")
    first = audio if system == "audio" else video
    found = load(out, runtime="onnx").predict(first).probability
    wanted = load(run, device="cpu").predict(first).probability
    np.testing.assert_allclose(found, wanted, atol=TOLERANCE)
    assert "without model.safetensors; it has model.onnx, model.pt2. Take another" in said(out)


def test_other_programs_can_use_the_graphs(world, joint):
    """Without avsc: ONNX Runtime and torch.export, by the names that config.json gives."""
    import onnxruntime

    network = restore_with_encoders(world.fit("joint")).network
    inputs = graph.drawn_inputs(network, 4, 3, seed=1)
    interface = json.loads((joint / "config.json").read_text())["graph"]
    assert {name: len(shape) for name, shape in interface["inputs"].items()} == {
        name: value.dim() for name, value in inputs.items()
    }
    session = onnxruntime.InferenceSession(joint / "model.onnx")
    assert session.get_modelmeta().custom_metadata_map["classes"] == '["scene0", "scene1"]'
    (logits,) = session.run(["logits"], {name: value.numpy() for name, value in inputs.items()})
    program, embedding = torch.export.load(joint / "model.pt2").module()(**inputs)
    assert logits.shape == (4, interface["outputs"]["logits"][1])
    assert embedding.shape == (4, interface["outputs"]["embedding"][1])
    np.testing.assert_allclose(logits, program.detach().numpy(), atol=1e-4)


def test_a_form_that_computes_something_else_is_not_published(world, tmp_path, fit, monkeypatch):
    encode = exporting.encode_pt2

    def spoilt(program):
        name = "network.classifier.layers.4.bias"
        spoilt = program.state_dict[name] + torch.tensor([0.01, 0.0])
        program.state_dict[name] = torch.nn.Parameter(spoilt)
        return encode(program)

    monkeypatch.setattr(exporting, "encode_pt2", spoilt)
    forms = ("--forms", "safetensors,pt2")
    result = fit("export", world.fit("audio"), "--out", tmp_path / "out", *forms)
    refused(result, 1, "model.pt2: opened again", "wanted at most 0.0001. Nothing was exported.")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("value", [1e-7, float("nan")])
def test_weights_that_are_not_the_runs_are_not_published(world, tmp_path, fit, monkeypatch, value):
    def spoilt(network, classes):
        state = {name: tensor.clone() for name, tensor in network.state_dict().items()}
        state["classifier.layers.4.bias"][0] += value
        return folders.safetensors.torch.save(state, {"classes": classes})

    monkeypatch.setattr(exporting, "_weights", spoilt)
    options = ("--out", tmp_path / "out", "--forms", "safetensors")
    refused(fit("export", world.fit("audio"), *options), 1, "classifier.layers.4.bias")
    assert list(tmp_path.iterdir()) == []


def test_a_network_that_torch_cannot_export_is_one_line(world, tmp_path, fit, monkeypatch):
    def fail(program, about):
        raise NotImplementedError("no operator for it\nand so on")

    monkeypatch.setattr(exporting, "encode_onnx", fail)
    result = fit("export", world.fit("audio"), "--out", tmp_path / "out", "--forms", "onnx")
    refused(result, 1, "model.onnx: this network cannot be exported so (NotImplementedError: no ")
    assert list(tmp_path.iterdir()) == []


def test_what_is_not_a_number_is_a_difference(world):
    network = restore_with_encoders(world.fit("audio")).network

    def nan_at_times(inputs):
        with torch.no_grad():
            logits, embedding = graph.Graph(network)(**inputs)
        return (logits * float("nan") if len(logits) == 2 else logits), embedding

    found = largest_difference(network, nan_at_times)
    assert found != found
    with pytest.raises(folders.AvscError, match=r"model.onnx: opened again"):
        check_difference("model.onnx", found, TOLERANCE)


def test_figures_of_the_evaluation_are_on_the_card(world, tmp_path, monkeypatch, capsys):
    run = shutil.copytree(world.fit("audio"), tmp_path / "run")
    quick = ("--forms", "safetensors")
    assert run_fit(monkeypatch, capsys, "export", run, "--out", tmp_path / "none", *quick)[0] == 0
    card = (tmp_path / "none" / "README.md").read_text()
    assert "\nNot evaluated.\n" in card and "to be filled in" in card
    front = yaml.safe_load(card.split("---")[1])
    assert front["pipeline_tag"] == "audio-classification" and "model-index" not in front

    arguments = ("evaluate", run, "--device=cpu", "--resamples=100")
    assert run_fit(monkeypatch, capsys, *arguments)[0] == 0
    file = run / "evaluation-test" / "metrics.json"
    values = json.loads(file.read_text())
    values["protocols"]["strict"] |= {
        "temperature": {"value": 1.25},
        "log_loss_interval": [0.5, 2.0],
    }
    file.write_text(json.dumps(values))
    assert run_fit(monkeypatch, capsys, "export", run, "--out", tmp_path / "some", *quick)[0] == 0
    card = (tmp_path / "some" / "README.md").read_text()
    strict = values["protocols"]["strict"]
    assert f"| strict | log-loss | {strict['log_loss']:.4f} | 0.5000 to 2.0000 |" in card
    centred = values["protocols"]["centred"]
    assert f"| centred | accuracy | {centred['accuracy']:.4f} | withheld |" in card
    (result,) = yaml.safe_load(card.split("---")[1])["model-index"][0]["results"]
    assert result["metrics"][0]["value"] == strict["log_loss"]
    assert load(tmp_path / "some", device="cpu").temperature == 1.25

    file.write_text(json.dumps({**values, "epoch": 7}))
    result = run_fit(monkeypatch, capsys, "export", run, "--out", tmp_path / "old", *quick)
    refused(result, 2, "metrics.json: is of the run", "after 7 epochs", "evaluate")
    file.write_text("{}")
    result = run_fit(monkeypatch, capsys, "export", run, "--out", tmp_path / "old", *quick)
    refused(result, 1, "metrics.json: not what `avsc-fit evaluate` of this version wrote")
    refused(
        run_fit(monkeypatch, capsys, "export", run, "--out", tmp_path / "old", "--evaluation", run),
        1, "metrics.json: cannot be read (No such file", "Name a folder",
    )  # fmt: skip
    assert not (tmp_path / "old").exists()


def test_bad_wishes_are_refused(world, joint, tmp_path, fit, monkeypatch):
    run, out = world.fit("audio"), tmp_path / "out"
    refused(fit("export", run, "--out", joint), 1, "joint: exists, and is not overwritten")
    refused(fit("export", run, "--out", out, "--forms", "pt"), 2, "--forms is 'pt': 'pt' is unk")
    refused(fit("export", tmp_path, "--out", out), 1, "holds no run that can be read")
    monkeypatch.setattr(exporting, "not_installed", lambda extra: ["onnxruntime"])
    line = "onnxruntime is not installed here; needed by the extra 'onnx'. Run `pip install '.[onnx"
    refused(fit("export", run, "--out", out), 2, line, "by --forms safetensors,pt2")
    assert not out.exists()


def test_onnx_runtime_that_is_absent(joint, monkeypatch):
    def absent(path):
        raise ImportError("No module named 'onnxruntime'")

    monkeypatch.setattr(loading, "open_onnx", absent)
    assert "--runtime onnx: onnxruntime is not installed here" in said(joint, runtime="onnx")


def test_runtimes_that_cannot_be(world, joint):
    assert "a run, which --runtime torch computes" in said(world.fit("audio"), runtime="onnx")
    assert "--runtime is 'jax'; one of torch, onnx." in said(joint, runtime="jax")
    with pytest.raises(folders.SettingError, match="--device is cuda; --runtime onnx computes on"):
        load(joint, device="cuda", runtime="onnx")


@pytest.mark.parametrize(("runtime", "name"), [("torch", ALL[4]), ("onnx", ALL[2])])
def test_a_file_that_is_not_the_exported_one(world, copy, runtime, name):
    data = (copy / name).read_bytes()
    (copy / name).write_bytes(data[:-1])
    line = said(copy, runtime=runtime)
    assert f"{name}: found {len(data) - 1} bytes with SHA-256" in line
    assert f"wanted {len(data)} with" in line and "truncated, or of another export" in line
    (copy / name).write_bytes(data[:-1] + bytes([data[-1] ^ 1]))  # as long, and another
    assert f"{name}: found {len(data)} bytes with SHA-256" in said(copy, runtime=runtime)
    (copy / name).unlink()
    assert f"{name}: cannot be read (No such file or directory)" in said(copy, runtime=runtime)


def test_files_of_two_exports(copy):
    """Digests that were changed along do not hide that classes or shapes are not the weights'."""
    values = config(copy, classes=["scene1", "scene0"])
    line = "is of the classes scene0, scene1; "
    assert line in said(copy) and "says scene1, scene0. The files are of two" in said(copy)
    assert line in said(copy, runtime="onnx")
    three = json.dumps(["a", "b", "c"])
    state = folders.safetensors.torch.load_file(copy / "model.safetensors")
    data = folders.safetensors.torch.save(state, {"classes": three})
    (copy / "model.safetensors").write_bytes(data)
    of = {"bytes": len(data), "sha256": folders.sha256(data)}
    files = {**values["files"], "model.safetensors": of}
    config(copy, classes=json.loads(three), files=files)
    line = said(copy)
    assert "classifier.layers.4.bias has shape (2,), wanted (3,) by config.json" in line


@pytest.mark.parametrize(
    ("changes", "line"),
    [
        ({"format": 2}, "not the description of a model exported by this version (ValueError: f"),
        ({"features__audio__digest": "0" * 64}, "and the model was trained on 000000000000: fea"),
        ({"features__audio__version": 9}, "version 9 of that feature, and this version of avsc"),
        ({"features__visual__turned": 1}, "unknown parameter 'turned'; known are"),
        ({"features__visual__product": "smells"}, "(KeyError: 'smells')"),
        ({"temperature": 0}, "(ValueError: temperature is 0)"),
        ({"temperature": "2"}, "(ValueError: temperature is '2')"),
        ({"protocol": "loose"}, "(ValueError: protocol is 'loose')"),
        ({"classes": 2}, "(ValueError: classes is 2)"),
        ({"files": {"model.safetensors": 3}}, "(ValueError: files is {'model.safetensors': 3})"),
        ({"features__audio": None}, "differ in whether there is acoustic input)"),
        ({"image_input": None}, "differ in whether there are images)"),
        ({"image_input__size": 0}, "image size is 0; 1 pixel or more"),
        ({"network__visual__architecture": "no_such"}, "no network of this version (RuntimeErr"),
    ],
)
def test_descriptions_that_are_wrong(copy, changes, line):
    config(copy, **changes)
    assert line in said(copy)


def test_what_is_no_folder_of_a_model(copy):
    assert "model.onnx: a file; name the folder of a run" in said(copy / "model.onnx")
    (copy / "config.json").unlink()
    assert "config.json: cannot be read (No such file or directory). Export" in said(copy)


def test_a_description_that_is_no_json(copy):
    (copy / "config.json").write_text("{")
    assert "config.json: not the description of a model exported by this version" in said(copy)
