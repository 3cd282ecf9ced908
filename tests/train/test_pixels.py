"""Pixels: both implementations against torchvision v2, step by step and whole."""

import numpy as np
import pytest
import torch
from avsc.train.data import pixels_cpu, pixels_torch
from avsc.train.data.augment import UNCHANGED, Augment
from avsc.train.data.views import ImageInput
from torchvision.transforms.v2 import functional as tv

IMAGE = ImageInput(96, mean=(0.485, 0.456, 0.406), std=(0.229, 0.224, 0.225))
SIZES = ((120, 213), (213, 120), (96, 96), (70, 90), (311, 180))
# Greatest difference allowed to float references, in steps of 255 (float32 rounding).
ROUNDING = 0.01


def pictures(rng, sizes=SIZES):
    """Smooth shapes with noise on them: edges, flat parts, all hues, black, white and grey."""
    made = []
    for height, width in sizes:
        y, x = np.mgrid[:height, :width]
        waves = [
            np.sin(x / a + c) * np.cos(y / b)
            for c, (a, b) in enumerate(((9, 20), (14, 7), (30, 11)))
        ]
        picture = 127 + 160 * np.stack(waves, axis=2) + rng.normal(0, 12, (height, width, 3))
        picture[: height // 4, : width // 4] = rng.integers(0, 256)
        made.append(np.clip(picture, 0, 255).astype(np.uint8))
    return made


def planes(picture):
    return torch.from_numpy(picture.transpose(2, 0, 1).copy())


def torchvision_view(picture, augment, drawn, image):
    """The same parameters through torchvision; float or uint8, as `picture` is; in [0, 255]."""
    if "crop" in augment.parts:
        rows, columns = augment.window(drawn, *picture.shape[1:], image)
        box = (rows.start, columns.start, rows.length, columns.length)
        seen = tv.resized_crop(picture, *box, [image.size] * 2, antialias=True)
    elif image.view == "crop":
        seen = tv.center_crop(tv.resize(picture, [image.size], antialias=True), [image.size])
    else:
        seen = tv.resize(picture, [image.size] * 2, antialias=True)
    if drawn["flip"]:
        seen = tv.horizontal_flip(seen)
    if seen.is_floating_point():
        seen = (seen / 255).clamp(0, 1)
    adjust = (tv.adjust_brightness, tv.adjust_contrast, tv.adjust_saturation, tv.adjust_hue)
    if "jitter" in augment.parts:
        for part in drawn["order"]:
            seen = adjust[part](seen, float(drawn["factor"][part]))
    return seen * 255 if seen.is_floating_point() else seen


def unnormalised(seen, image):
    mean, std = (torch.tensor(value).view(3, 1, 1) for value in (image.mean, image.std))
    return (seen * std + mean) * 255


def by_cpu(sources, augment, drawn, image):
    out = np.full((len(sources), 3, image.size, image.size), np.nan, np.float32)
    for source, one, place in zip(sources, drawn, out, strict=True):
        window = augment.window(one, *source.shape[:2], image)
        pixels_cpu.render(source, window, one, image, place)
    return torch.from_numpy(out)


def by_torch(sources, augment, drawn, image):
    windows = [
        augment.window(one, *source.shape[:2], image)
        for source, one in zip(sources, drawn, strict=True)
    ]
    return pixels_torch.render([planes(source) for source in sources], windows, drawn, image)


both = pytest.mark.parametrize("render", [by_cpu, by_torch])


@both
@pytest.mark.parametrize("names", ["crop", "flip", "jitter", "crop,flip,jitter"])
def test_agrees_with_torchvision_on_float_pictures(render, names):
    rng = np.random.default_rng(1)
    augment = Augment.named(names)
    sources = pictures(rng, SIZES * 8)
    drawn = augment.draw(rng, len(sources))
    seen = unnormalised(render(sources, augment, drawn, IMAGE), IMAGE)
    for source, one, picture in zip(sources, drawn, seen, strict=True):
        reference = torchvision_view(planes(source).float(), augment, one, IMAGE)
        torch.testing.assert_close(picture, reference, rtol=0, atol=ROUNDING)


@both
def test_agrees_with_torchvision_on_uint8_pictures_to_a_mean_of_one(render):
    rng = np.random.default_rng(2)
    augment = Augment()
    sources = pictures(rng, SIZES * 8)
    drawn = augment.draw(rng, len(sources))
    seen = unnormalised(render(sources, augment, drawn, IMAGE), IMAGE)
    errors = [
        (picture - torchvision_view(planes(source), augment, one, IMAGE)).mean()
        for source, one, picture in zip(sources, drawn, seen, strict=True)
    ]
    print(torch.stack(errors).abs().mean(), torch.stack(errors).abs().max())


@both
@pytest.mark.parametrize("view", ["crop", "squash"])
@pytest.mark.parametrize("size", [95, 96, 288])
def test_evaluation_view_is_torchvisions(render, view, size):
    image = ImageInput(size, mean=(0.5, 0.4, 0.3), std=(0.5, 0.5, 0.25), view=view)
    sources = pictures(np.random.default_rng(3))
    drawn = UNCHANGED.draw(np.random.default_rng(4), len(sources))
    seen = unnormalised(render(sources, UNCHANGED, drawn, image), image)
    for source, one, picture in zip(sources, drawn, seen, strict=True):
        reference = torchvision_view(planes(source).float(), UNCHANGED, one, image)
        torch.testing.assert_close(picture, reference, rtol=0, atol=ROUNDING)
