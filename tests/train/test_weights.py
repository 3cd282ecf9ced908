"""Loading weights: every format, every refusal; nothing is fetched and no code is run."""

import os
import pickle
from collections import OrderedDict
from hashlib import sha256
from pathlib import Path
from typing import Any

import huggingface_hub.constants as hub
import pytest
import safetensors.torch
import timm
import torch
import torchvision
from torch import Tensor, nn

from avsc.train.model.visual import VisualEncoder, visual_encoder
from avsc.train.model.weights import (
    WeightsError,
    digest,
    load_file,
    pretraining,
    read_weights,
    starting_model,
)

BACKBONE = "test_resnet"
LEGACY = Path(__file__).parent / "legacy" / "places365_layout.pth.tar"


@pytest.fixture(scope="module")
def trained() -> dict[str, Tensor]:
    """State dict of a model with 365 classes."""
    with torch.random.fork_rng():
        torch.manual_seed(11)
        return dict(timm.create_model(BACKBONE, num_classes=365).state_dict())


def holds(encoder: VisualEncoder, state: dict[str, Tensor]) -> bool:
    found = encoder.model.state_dict()
    return all(torch.equal(value, state[name]) for name, value in found.items())


class Small(nn.Module):
    """A model with the names of the legacy file."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, 2, kernel_size=1, bias=False)
        self.bn1 = nn.BatchNorm2d(2)


# Formats


INVERTED = (
    "_expand_conv", "_bn0", "_depthwise_conv", "_bn1", "_se_reduce", "_se_expand",
    "_project_conv", "_bn2",
)  # fmt: skip


def by_pytorch_names(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """Return an EfficientNet's tensors by EfficientNet-PyTorch's names, which come in order."""
    outside = {
        "conv_stem": "_conv_stem", "bn1": "_bn0", "conv_head": "_conv_head", "bn2": "_bn1",
        "classifier": "_fc",
    }  # fmt: skip
    blocks: dict[str, list[str]] = {}
    for name in state:
        if name.startswith("blocks."):
            layers = blocks.setdefault(".".join(name.split(".")[:3]), [])
            if (layer := ".".join(name.split(".")[3:-1])) not in layers:
                layers.append(layer)
    renamed = {}
    for name, value in state.items():
        layer, _, kind = name.rpartition(".")
        if name.startswith("blocks."):
            block, within = ".".join(name.split(".")[:3]), ".".join(name.split(".")[3:-1])
            layers = blocks[block]
            expands, squeezes = "conv_pwl" in layers, any(each.startswith("se.") for each in layers)
            theirs = [
                each for each in (INVERTED if expands else INVERTED[2:])
                if squeezes or not each.startswith("_se_")
            ]  # fmt: skip
            number = list(blocks).index(block)
            renamed[f"_blocks.{number}.{theirs[layers.index(within)]}.{kind}"] = value
        else:
            renamed[f"{outside[layer]}.{kind}"] = value
    return renamed


@pytest.mark.parametrize("backbone", ["tf_efficientnet_lite0", "tf_efficientnet_b0"])
def test_names_of_efficientnet_pytorch(tmp_path: Path, backbone: str):
    state = timm.create_model(backbone).state_dict()
    given = by_pytorch_names(state)
    assert "_blocks.0._depthwise_conv.weight" in given and "_blocks.15._bn2.running_var" in given
    torch.save(given, tmp_path / "theirs.pth")
    encoder = visual_encoder(backbone, str(tmp_path / "theirs.pth"))
    assert holds(encoder, state)
    assert encoder.origin.endswith("(names of EfficientNet-PyTorch)")
    del given["_blocks.3._bn1.bias"]
    torch.save(given, tmp_path / "theirs.pth")
    with pytest.raises(WeightsError, match=r"1 missing: blocks\.2\.0\.bn2\.bias"):
        visual_encoder(backbone, str(tmp_path / "theirs.pth"))


def test_files_of_every_format(tmp_path: Path, trained: dict[str, Tensor]):
    prefixed = OrderedDict((f"module.{name}", value) for name, value in trained.items())
    run = {"state_dict": trained, "epoch": 3, "top1": 0.5, "backbone": BACKBONE}
    torch.save(trained, tmp_path / "plain.pth")
    torch.save(trained, tmp_path / "old.pt", _use_new_zipfile_serialization=False)
    torch.save(run, tmp_path / "run.pt")
    torch.save({"state_dict": prefixed}, tmp_path / "parallel.pth.tar")
    safetensors.torch.save_file(trained, tmp_path / "some.safetensors")
    digests = set()
    for path in sorted(tmp_path.iterdir()):
        encoder = visual_encoder(BACKBONE, str(path))
        assert holds(encoder, trained), path
        assert encoder.origin.startswith(f"Places365, file {path.name} sha256:")
        digests.add(encoder.digest)
    assert len(digests) == 1


def test_torchvisions_resnet_gives_torchvisions_embeddings(tmp_path: Path):
    model = torchvision.models.resnet18(weights=None).eval()
    torch.save(model.state_dict(), tmp_path / "resnet18.pth")
    model.fc = nn.Identity()
    encoder = visual_encoder("resnet18", str(tmp_path / "resnet18.pth")).eval()
    images = torch.randn(2, 3, 64, 64, generator=torch.Generator().manual_seed(1))
    with torch.inference_mode():
        torch.testing.assert_close(encoder(images), model(images), rtol=1e-4, atol=1e-4)


def test_origin_names_the_files_own_sha256(tmp_path: Path):
    torch.save(Small().state_dict(), tmp_path / "small.pt")
    origin = load_file(Small(), tmp_path / "small.pt")
    assert (
        origin == f"file small.pt sha256:{sha256((tmp_path / 'small.pt').read_bytes()).hexdigest()}"
    )


def test_python_2_file_of_csails_layout():
    """The file was written by Python 2.7 itself; see legacy/write.py."""
    state = read_weights(LEGACY)[0].tensors
    assert state["conv1.weight"].flatten().tolist() == [0, 0.125, 0.25, 0.375, 0.5, 0.625]
    assert state["conv1.weight"].shape == (2, 3, 1, 1)
    assert state["fc.weight"].shape == (365, 2)
    model = Small()
    load_file(model, LEGACY, heads=("fc",))
    assert model.bn1.running_var.tolist() == [1.5, 1.625]
    assert int(model.bn1.num_batches_tracked) == 0


def test_random_weights_come_from_their_seed_alone():
    before = torch.get_rng_state()
    first, again, other = (visual_encoder(BACKBONE, "random", seed=seed) for seed in (1, 1, 2))
    assert first.digest == again.digest != other.digest
    assert first.origin == "random seed 1"
    assert torch.equal(torch.get_rng_state(), before)


def test_digest_is_of_names_shapes_and_values():
    def of(**tensors: Tensor) -> str:
        module = nn.Module()
        for name, value in tensors.items():
            module.register_buffer(name, value)
        return digest(module)

    values = torch.arange(6.0)
    base = of(a=values)
    assert of(a=values.clone()) == base
    changed = values.clone()
    changed[5] += 1e-6
    variants = [of(b=values), of(a=values.reshape(2, 3)), of(a=values.double()), of(a=changed)]
    assert len({base, *variants}) == 5
    image = torch.randn(2, 3, 4, 4)
    assert of(a=image) == of(a=image.contiguous(memory_format=torch.channels_last))


# Pre-trained weights, without a network


@pytest.fixture
def offline_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty Hugging Face cache, and HF_HUB_OFFLINE=1 as the library has read it."""
    monkeypatch.setattr(hub, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(hub, "HF_HUB_CACHE", str(tmp_path))
    return tmp_path


def fill(cache: Path, state: dict[str, Tensor]) -> None:
    model = cache / f"models--timm--{BACKBONE}.r160_in1k"
    snapshot = model / "snapshots" / ("0" * 40)
    snapshot.mkdir(parents=True)
    (model / "refs").mkdir()
    (model / "refs" / "main").write_text("0" * 40)
    safetensors.torch.save_file(state, snapshot / "model.safetensors")


def test_pretrained_weights_out_of_the_cache(offline_cache: Path):
    state = dict(timm.create_model(BACKBONE).state_dict())
    fill(offline_cache, state)
    encoder = visual_encoder(BACKBONE, "pretrained")
    assert holds(encoder, state)
    assert encoder.origin == f"timm {BACKBONE}.r160_in1k"
    size = encoder.image_input.size
    assert encoder.eval()(torch.zeros(1, 3, size, size)).shape == (1, encoder.features)


def test_pretrained_weights_that_lack_a_tensor_are_refused(offline_cache: Path):
    state = dict(timm.create_model(BACKBONE).state_dict())
    del state["conv1.0.weight"]
    fill(offline_cache, state)
    with pytest.raises(WeightsError, match=r"test_resnet\.r160_in1k cannot be had"):
        visual_encoder(f"{BACKBONE}.r160_in1k", "pretrained")


@pytest.mark.usefixtures("offline_cache")
def test_pretrained_weights_that_cannot_be_had():
    with pytest.raises(WeightsError) as fault:
        visual_encoder("effnetv2-s", "pretrained")
    told = str(fault.value)
    assert told.startswith("pre-trained weights of efficientnetv2_rw_s.ra2_in1k cannot be had: ")
    assert all(way in told for way in ("'pretrained'", ".safetensors", "'random', by name"))
    assert "\n" not in told


@pytest.mark.usefixtures("offline_cache")
def test_model_without_pretrained_weights():
    with pytest.raises(WeightsError, match="weights of efficientnetv2_m cannot be had"):
        starting_model("efficientnetv2_m", "pretrained", seed=0)


# Wrappings


def marked(state: dict[str, Tensor], mark: float) -> dict[str, Tensor]:
    """The same tensors, but for one value."""
    name = "conv1.0.weight"
    value = state[name].clone()
    value.view(-1)[0] = mark
    return {**state, name: value}


def prefixed(prefix: str, state: dict[str, Tensor]) -> dict[str, Tensor]:
    return {prefix + name: value for name, value in state.items()}


def mark_of(encoder: VisualEncoder) -> float:
    return float(encoder.model.state_dict()["conv1.0.weight"].reshape(-1)[0])


EXTRA = {"n_averaged": torch.tensor(7), "head.fc.weight": torch.zeros(3, 3)}


@pytest.mark.parametrize(
    ("wrap", "said"),
    [
        (lambda s: {"model": s, "epoch": 3}, "(its model)"),
        (lambda s: {"state_dict": s, "args": {"lr": 0.1}}, "(its state_dict)"),
        (lambda s: {"state_dict_ema": s}, "(its state_dict_ema)"),
        (lambda s: {"model": {"state_dict": s}}, "(its model.state_dict)"),
        (lambda s: prefixed("module.", s), "(names without module.)"),
        (lambda s: prefixed("_orig_mod.", s), "(names without _orig_mod.)"),
        (lambda s: prefixed("model.", s), "(names without model.)"),
        (lambda s: prefixed("backbone.", s), "(names without backbone.)"),
        (
            lambda s: {"model": prefixed("module._orig_mod.", s)},
            "(its model; names without module.; names without _orig_mod.)",
        ),
        (
            lambda s: {
                "state_dict": {**prefixed("model.backbone.", s), **prefixed("model.", EXTRA)}
            },
            "(its state_dict; names without model.; names without backbone.; "
            "2 other tensors left out: n_averaged, head.fc.weight)",
        ),
    ],
)
def test_wrappings_are_seen_through_and_said(
    tmp_path: Path, trained: dict[str, Tensor], wrap: Any, said: str
):
    torch.save(wrap(marked(trained, 0.25)), tmp_path / "w.pt")
    encoder = visual_encoder(BACKBONE, str(tmp_path / "w.pt"))
    assert mark_of(encoder) == 0.25
    assert holds(encoder, marked(trained, 0.25))
    assert encoder.origin.endswith(said)


def test_averaged_weights_are_taken_by_name_alone(tmp_path: Path, trained: dict[str, Tensor]):
    """As timm saves them; a name with a blank and the mark of a choice is a file's all the same."""
    both = {"state_dict": marked(trained, 0.25), "state_dict_ema": marked(trained, 0.5)}
    path = tmp_path / "a b#1.pth.tar"
    torch.save({"arch": BACKBONE, "metric": 0.5, **both}, path)
    plain = visual_encoder(BACKBONE, str(path))
    assert mark_of(plain) == 0.25
    assert plain.origin.endswith(f"(its state_dict; {path}#state_dict_ema is there too)")
    averaged = visual_encoder(BACKBONE, f"{path}#state_dict_ema")
    assert mark_of(averaged) == 0.5
    assert averaged.origin.endswith(f"(its state_dict_ema; {path}#state_dict is there too)")
    with pytest.raises(WeightsError, match=r"found no 'ema' in it, wanted .*#state_dict, .*_ema\."):
        visual_encoder(BACKBONE, f"{path}#ema")


def test_one_of_several_must_be_named(tmp_path: Path, trained: dict[str, Tensor]):
    path = tmp_path / "dino.pth"
    torch.save({"student": marked(trained, 0.25), "teacher": marked(trained, 0.5)}, path)
    with pytest.raises(WeightsError) as fault:
        visual_encoder(BACKBONE, str(path))
    assert f"{path}: found 2 state dicts, wanted one by its name: {path}#student, " in str(
        fault.value
    )
    assert mark_of(visual_encoder(BACKBONE, f"{path}#teacher")) == 0.5


def test_a_prefix_that_is_the_models_own_stays(tmp_path: Path):
    model = nn.ModuleDict({"model": nn.Linear(2, 2)})
    torch.save({"model.weight": torch.eye(2), "model.bias": torch.ones(2)}, tmp_path / "w.pt")
    origin = load_file(model, tmp_path / "w.pt")
    assert "without" not in origin and torch.equal(model["model"].weight, torch.eye(2))


def test_a_content_that_holds_itself_is_no_weights(tmp_path: Path):
    content: dict[str, Any] = {"epoch": 1}
    content["again"] = content
    torch.save(content, tmp_path / "w.pt")
    with pytest.raises(WeightsError, match=r"found dict with 'epoch' \(int\), 'again' \(dict\)"):
        read_weights(tmp_path / "w.pt")


@pytest.mark.parametrize(
    ("origin", "said"),
    [
        ("file a file b.pt sha256:01", "unknown (a file b.pt)"),
        ("Places365, file my file.pt sha256:01", "Places365"),
        ("file w.pt sha256:01 (its state_dict_ema; file v.pt sha256:02)", "unknown (w.pt)"),
        ("timm resnet50.a1_in1k", "ImageNet"),
    ],
)
def test_pretraining_of_any_file_name(origin: str, said: str):
    assert pretraining(origin) == said


# Tensors that no network can compute with


@pytest.mark.parametrize("suffix", ["pt", "safetensors"])
@pytest.mark.parametrize(
    ("name", "make", "said"),
    [
        ("conv1.0.weight", lambda v: torch.full_like(v, float("nan")), "not finite in 432 of 432"),
        ("bn1.bias", lambda v: torch.tensor([1.0, -float("inf")] * 16), "not finite in 16 of 32"),
        ("bn1.running_var", lambda v: -v, "negative in 32 of 32 values"),
        ("bn1.weight", lambda v: v.double() * 1e300, "not finite in 32 of 32"),
        ("bn1.running_mean", lambda v: v.to(torch.int32), "int32 (wanted float32)"),
        ("bn1.running_mean", lambda v: v > 0, "bool (wanted float32)"),
        ("bn1.bias", lambda v: v.to(torch.complex64), "complex64 (wanted float32)"),
        ("bn1.num_batches_tracked", lambda v: v.float(), "float32 (wanted int64)"),
    ],
)
def test_tensors_that_cannot_be_used_are_named(
    tmp_path: Path, trained: dict[str, Tensor], suffix: str, name: str, make: Any, said: str
):
    assert name in trained
    path = tmp_path / f"w.{suffix}"
    state = {**trained, name: make(trained[name])}
    if suffix == "pt":
        torch.save(state, path)
    else:
        safetensors.torch.save_file(state, path)
    with pytest.raises(WeightsError) as fault:
        visual_encoder(BACKBONE, str(path))
    assert str(fault.value).startswith(f"{path}: ")
    assert f"{name} {said}" in str(fault.value) or f"{name} is {said}" in str(fault.value)


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda v: v.to_sparse(), "sparse_coo (wanted dense)"),
        (lambda v: v.to_sparse_csr(), "sparse_csr (wanted dense)"),
        (lambda v: torch.quantize_per_tensor(v, 0.1, 0, torch.qint8), "qint8 (wanted float32)"),
        (lambda v: v.to("meta"), "without values (wanted float32)"),
    ],
)
@pytest.mark.filterwarnings("ignore:.*(Sparse|quantized|TypedStorage).*")
def test_tensors_of_other_layouts_are_named(tmp_path: Path, make: Any, said: str):
    model = nn.Linear(4, 4)
    state = model.state_dict()
    torch.save({**state, "weight": make(state["weight"])}, tmp_path / "w.pt")
    with pytest.raises(WeightsError, match=r"w\.pt: .*weight") as fault:
        load_file(model, tmp_path / "w.pt")
    assert said in str(fault.value)


def test_half_precision_and_broken_classification_layers_are_loaded(
    tmp_path: Path, trained: dict[str, Tensor]
):
    """What is dropped need not be sound; what is kept may be of fewer bits."""
    state = {
        name: value.half() if value.is_floating_point() else value
        for name, value in trained.items()
    }
    state["fc.bias"] = torch.full((365,), torch.nan)
    torch.save(state, tmp_path / "half.pt")
    encoder = visual_encoder(BACKBONE, str(tmp_path / "half.pt"))
    for name, value in encoder.model.state_dict().items():
        assert torch.equal(value, state[name].to(value.dtype)), name


@pytest.mark.usefixtures("offline_cache")
def test_pretrained_weights_that_are_not_finite_are_refused(offline_cache: Path):
    state = dict(timm.create_model(BACKBONE).state_dict())
    state["bn1.running_mean"] = state["bn1.running_mean"] + torch.nan
    fill(offline_cache, state)
    with pytest.raises(WeightsError, match=r"of test_resnet: tensor bn1\.running_mean is not fin"):
        visual_encoder(BACKBONE, "pretrained")


# Refusals


class Evil:
    """Pickled, it is a call that leaves a mark when the pickle is read."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, (str(self.mark),)


@pytest.mark.parametrize("layout", ["zip", "old", "bare pickle"])
def test_pickles_that_run_code_are_refused(tmp_path: Path, layout: str):
    mark, path = tmp_path / "mark", tmp_path / "evil.pth.tar"
    content = {"arch": Evil(mark), "state_dict": {"conv1.weight": torch.zeros(1)}}
    if layout == "bare pickle":
        path.write_bytes(pickle.dumps(content, protocol=2))
    else:
        torch.save(content, path, _use_new_zipfile_serialization=layout == "zip")
    with pytest.raises(WeightsError, match=r"names posix\.mkdir.*that may run code are not loaded"):
        read_weights(path)
    assert not mark.exists()
    if layout == "bare pickle":
        pickle.loads(path.read_bytes())
    else:
        torch.load(path, weights_only=False)
    assert mark.exists()  # so the file does run code where it is let


@pytest.mark.parametrize("name", ["cut.pth", "cut.safetensors", "text.pth", "empty.pth"])
def test_damaged_files_are_named(tmp_path: Path, name: str):
    path = tmp_path / name
    if name == "cut.pth":
        torch.save(Small().state_dict(), path)
        path.write_bytes(path.read_bytes()[:-200])
    elif name == "cut.safetensors":
        safetensors.torch.save_file(Small().state_dict(), path)
        path.write_bytes(path.read_bytes()[:-8])
    else:
        path.write_text("<html>not found</html>\n" if name == "text.pth" else "")
    with pytest.raises(WeightsError, match=f"{name}: cannot be read as weights") as fault:
        read_weights(path)
    assert "\n" not in str(fault.value)


def test_cut_python_2_file_is_named(tmp_path: Path):
    (tmp_path / "cut.pth.tar").write_bytes(LEGACY.read_bytes()[:-100])
    with pytest.raises(WeightsError, match=r"cut\.pth\.tar: cannot be read as weights"):
        read_weights(tmp_path / "cut.pth.tar")


@pytest.mark.parametrize(
    "content", [{}, [torch.zeros(1)], {"a": 1}, {"state_dict": {}}, {"state_dict": 3}, {1: 2}]
)
def test_files_without_a_state_dict_are_named(tmp_path: Path, content: Any):
    torch.save(content, tmp_path / "other.pt")
    with pytest.raises(WeightsError, match=r"other\.pt: found .*wanted names with tensors"):
        read_weights(tmp_path / "other.pt")


def test_missing_file_lists_the_ways(tmp_path: Path):
    with pytest.raises(WeightsError, match=r"no such file of weights.*'pretrained'.*'random'"):
        visual_encoder(BACKBONE, str(tmp_path / "absent.pth"))
    with pytest.raises(WeightsError, match="imagenet: no such file"):
        visual_encoder(BACKBONE, "imagenet")


def test_differences_are_counted_and_named(tmp_path: Path):
    state = Small().state_dict()
    state["conv9.weight"] = state.pop("conv1.weight")
    state["bn1.bias"] = torch.zeros(4)
    torch.save(state, tmp_path / "other.pth")
    model = Small()
    before = digest(model)
    with pytest.raises(WeightsError) as fault:
        load_file(model, tmp_path / "other.pth")
    told = str(fault.value)
    assert "not weights of this Small, which has 6 tensors" in told
    assert "1 missing: conv1.weight" in told
    assert "1 unexpected: conv9.weight" in told
    assert "1 of another shape or type: bn1.bias (4,) (wanted (2,))" in told
    assert digest(model) == before


def test_a_file_of_another_backbone_is_refused(tmp_path: Path, trained: dict[str, Tensor]):
    torch.save(trained, tmp_path / "resnet.pth")
    with pytest.raises(WeightsError, match="not weights of this EfficientNet"):
        visual_encoder("test_efficientnet", str(tmp_path / "resnet.pth"))
