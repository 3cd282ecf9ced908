"""Pixels against torchvision v2, step by step and whole."""

import numpy as np
import pytest
import torch
from torchvision.transforms.v2 import functional as tv

from avsc.train.data import render_cpu
from avsc.train.data.augment import UNCHANGED, Augment, ImageInput, crop_window

IMAGE = ImageInput(96, mean=(0.485, 0.456, 0.406), std=(0.229, 0.224, 0.225))
SIZES = ((120, 213), (213, 120), (96, 96), (70, 90), (311, 180))
# Greatest difference allowed to float references, in steps of 255 (float32 rounding).
ROUNDING = 0.01


def images(rng, sizes=SIZES):
    """Smooth shapes with noise on them: edges, flat parts, all hues, black, white and grey."""
    made = []
    for height, width in sizes:
        y, x = np.mgrid[:height, :width]
        waves = [
            np.sin(x / a + c) * np.cos(y / b)
            for c, (a, b) in enumerate(((9, 20), (14, 7), (30, 11)))
        ]
        image = 127 + 160 * np.stack(waves, axis=2) + rng.normal(0, 12, (height, width, 3))
        image[: height // 4, : width // 4] = rng.integers(0, 256)
        made.append(np.clip(image, 0, 255).astype(np.uint8))
    return made


def planes(image):
    return torch.from_numpy(image.transpose(2, 0, 1).copy())


def torchvision_view(source, augment, drawn, image):
    """The same parameters through torchvision; float or uint8, as `source` is; in [0, 255]."""
    if "crop" in augment.transforms:
        rows, columns = augment.window(drawn, *source.shape[1:], image)
        box = (rows.start, columns.start, rows.length, columns.length)
        seen = tv.resized_crop(source, *box, [image.size] * 2, antialias=True)
    elif image.view == "crop":
        seen = tv.center_crop(tv.resize(source, [image.size], antialias=True), [image.size])
    else:
        seen = tv.resize(source, [image.size] * 2, antialias=True)
    if drawn["flip"]:
        seen = tv.horizontal_flip(seen)
    if seen.is_floating_point():
        seen = (seen / 255).clamp(0, 1)
    adjust = (tv.adjust_brightness, tv.adjust_contrast, tv.adjust_saturation, tv.adjust_hue)
    if "jitter" in augment.transforms:
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
        render_cpu.render(source, window, one, image, place)
    return torch.from_numpy(out)


@pytest.mark.parametrize("names", ["crop", "flip", "jitter", "crop,flip,jitter"])
def test_agrees_with_torchvision_on_float_images(names):
    rng = np.random.default_rng(1)
    augment = Augment.named(names)
    sources = images(rng, SIZES * 4)
    drawn = augment.draw(rng, len(sources))
    seen = unnormalised(by_cpu(sources, augment, drawn, IMAGE), IMAGE)
    for source, one, image in zip(sources, drawn, seen, strict=True):
        reference = torchvision_view(planes(source).float(), augment, one, IMAGE)
        torch.testing.assert_close(image, reference, rtol=0, atol=ROUNDING)


@pytest.mark.parametrize(
    ("names", "apart", "darker"), [("crop,flip", 0.5, 0.05), ("crop,flip,jitter", 1.5, 1.5)]
)
def test_torchvisions_uint8_images_differ_by_its_own_rounding(names, apart, darker):
    # Resized and rounded twice: at most 1 of 255, unbiased. Each jitter then cuts off 0.5 on
    # average, which is why torchvision's own two answers are as far from each other.
    rng = np.random.default_rng(2)
    augment = Augment.named(names)
    sources = images(rng, SIZES * 4)
    drawn = augment.draw(rng, len(sources))
    seen = unnormalised(by_cpu(sources, augment, drawn, IMAGE), IMAGE)
    uint8, float32 = (
        torch.stack(
            [
                torchvision_view(planes(source).to(kind), augment, one, IMAGE)
                for source, one in zip(sources, drawn, strict=True)
            ]
        ).float()
        for kind in (torch.uint8, torch.float32)
    )
    assert (uint8 - seen).abs().mean() < apart
    assert abs((uint8 - seen).mean()) < darker
    torch.testing.assert_close(
        (uint8 - seen).mean(), (uint8 - float32).mean(), rtol=0, atol=ROUNDING
    )


@pytest.mark.parametrize("view", ["crop", "squash"])
@pytest.mark.parametrize("size", [95, 96, 288])
def test_evaluation_view_is_torchvisions(view, size):
    image = ImageInput(size, mean=(0.5, 0.4, 0.3), std=(0.5, 0.5, 0.25), view=view)
    sources = images(np.random.default_rng(3))
    drawn = UNCHANGED.draw(np.random.default_rng(4), len(sources))
    seen = unnormalised(by_cpu(sources, UNCHANGED, drawn, image), image)
    for source, one, shown in zip(sources, drawn, seen, strict=True):
        reference = torchvision_view(planes(source).float(), UNCHANGED, one, image)
        torch.testing.assert_close(shown, reference, rtol=0, atol=ROUNDING)


def test_known_images():
    image = ImageInput(2, mean=(0.5, 0.5, 0.5), std=(0.25, 0.25, 0.25))
    corners = np.array([[[255, 0, 0], [0, 255, 0]], [[0, 0, 255], [255, 255, 255]]], np.uint8)
    drawn = UNCHANGED.draw(np.random.default_rng(0), 1)

    def seen():
        return by_cpu([corners], UNCHANGED, drawn, image)[0] * 0.25 + 0.5

    red, green, blue, white = ([1, 0, 0], [0, 1, 0], [0, 0, 1], [1, 1, 1])

    def shows(*pixels):
        expected = torch.tensor(pixels, dtype=torch.float32).T.view(3, 2, 2)
        torch.testing.assert_close(seen(), expected, rtol=0, atol=1e-4)

    shows(red, green, blue, white)
    drawn["flip"] = True
    shows(green, red, white, blue)
    drawn["flip"] = False
    drawn["factor"] = (1, 1, 1, 1 / 3)
    shows(green, blue, red, white)
    drawn["factor"] = (1, 1, 1, -1 / 3)
    shows(blue, red, green, white)
    drawn["factor"] = (0.5, 1, 1, 0)
    shows([0.5, 0, 0], [0, 0.5, 0], [0, 0, 0.5], [0.5] * 3)
    drawn["factor"] = (1, 1, 0, 0)
    shows([0.2989] * 3, [0.587] * 3, [0.114] * 3, [0.9999] * 3)
    drawn["factor"] = (1, 0, 1, 0)
    shows(*[[(0.2989 + 0.587 + 0.114 + 0.9999) / 4] * 3] * 4)


def test_order_of_the_jitters_matters_and_is_kept():
    rng = np.random.default_rng(5)
    source = images(rng)[0]
    drawn = Augment.named("jitter").draw(rng, 2)
    drawn["factor"] = (1.4, 0.6, 1.4, 0.1)
    drawn["order"] = [[0, 1, 2, 3], [3, 2, 1, 0]]
    first, second = by_cpu([source, source], Augment.named("jitter"), drawn, IMAGE)
    assert (first - second).abs().mean() > 0.01


def test_windows_and_outputs_that_do_not_fit_are_refused():
    image = images(np.random.default_rng(9))[0]
    drawn = UNCHANGED.draw(np.random.default_rng(0), 1)[0]
    out = np.empty((3, 96, 96), np.float32)
    with pytest.raises(ValueError, match="leaves an image of 120 pixels"):
        render_cpu.render(image, crop_window((30, 0, 91, 90), IMAGE), drawn, IMAGE, out)
    with pytest.raises(ValueError, match="out is"):
        inside = crop_window((30, 0, 90, 90), IMAGE)
        render_cpu.render(image, inside, drawn, IMAGE, out[:, :, ::2])
