"""Kinds of sound: noises of stated spectrum, rhythm and width, steady over a shot.

A sound is two independent Gaussian noises of one spectrum, the average and the difference of the
channels: left = average + difference, right = average - difference. The spectrum is a bell on the
octave scale, with or without a comb of lines; the rhythm a swelling of the level; the width the
difference's amplitude beside the average's. Shots differ in level, tuning, tilt and background;
none of that says anything of the kind.

A kind may have a *ring*: a narrow, faint resonance at a stated frequency, which colours all that
is heard, the background too. `DECOYS` others like it ring at frequencies drawn for each shot, so
that there being a resonance says nothing, only where it is.

Levels are as in TAU2021, whose quietest recordings have an rms of 0.001 of full scale.
"""

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

RATE = 48_000
Floats = NDArray[np.float64]


@dataclass(frozen=True)
class SoundKind:
    """What a kind of sound is made of.

    Attributes:
        centre: centre of the bell, Hz.
        octaves: its standard deviation, octaves.
        width: amplitude of the difference channel beside the average channel's.
        lines: distance of the comb's lines, Hz; 0 for no comb.
        beat: swellings a second; 0 for none.
        sharpness: power that the raised cosine of the swelling is taken to.
        ring: frequency of its resonance, Hz; 0 for none.
    """

    centre: float
    octaves: float
    width: float
    lines: float = 0.0
    beat: float = 0.0
    sharpness: float = 1.0
    ring: float = 0.0


SOUNDS = {
    "air": SoundKind(centre=250, octaves=2.0, width=1.0),
    "engine": SoundKind(centre=110, octaves=1.0, width=0.3, lines=42),
    "voices": SoundKind(centre=700, octaves=0.8, width=0.5, beat=5),
    "steps": SoundKind(centre=1500, octaves=1.4, width=0.15, beat=4, sharpness=12),
    "rails": SoundKind(centre=3000, octaves=0.5, width=0.7),
}

RINGS = {"low": 1130.0, "high": 1380.0}
RING_HEIGHT = 1.5
"""Of a resonance, in nats above what is around it."""
RING_OCTAVES = 0.04
"""Standard deviation of a resonance, octaves."""
DECOYS = 4
DECOY_BANDS = ((200.0, 900.0), (1700.0, 7000.0))
"""Where decoys ring, Hz: below and above `RINGS`."""

RINGING = {
    f"{name} {where}": replace(kind, ring=hertz)
    for name, kind in SOUNDS.items()
    for where, hertz in RINGS.items()
}
"""Each of `SOUNDS` with either resonance."""


def make_sound(kind: SoundKind, generator: np.random.Generator, samples: int) -> Floats:
    """Return a shot's sound at `RATE`, float64 [samples, 2], left and right.

    Args:
        generator: of all else about it.
        samples: length.
    """
    level = 10 ** generator.uniform(-2.7, -1.7)
    tuning = float(2 ** generator.uniform(-0.18, 0.18))
    tilt = generator.uniform(-0.15, 0.15)
    background = 10 ** generator.uniform(-1.0, -0.5)

    length = -(-samples // 4800) * 4800  # a product of small primes, for the transform
    hertz: Floats = np.arange(1, length // 2 + 1, dtype=np.float64) * (RATE / length)
    tilted = (hertz / 1000) ** tilt
    if kind.ring:
        tilted = tilted * _resonances(kind.ring, hertz, generator)
    average, difference = _noise(_spectrum(kind, hertz / tuning) * tilted, generator, length)
    swell = _swell(kind, generator, length)
    hum, around = _noise(hertz**-0.5 * tilted, generator, length)
    average = swell * average + background * hum
    difference = kind.width * (swell * difference) + background * around
    stereo: Floats = level * np.stack([average + difference, average - difference], 1)
    return stereo[:samples]


def _spectrum(kind: SoundKind, hertz: Floats) -> Floats:
    """Return the amplitude at each frequency: pink under the bell, times the comb."""
    bell: Floats = np.exp(-0.5 * (np.log2(hertz / kind.centre) / kind.octaves) ** 2) * hertz**-0.5
    if not kind.lines:
        return bell
    off = (hertz / kind.lines + 0.5) % 1 - 0.5
    comb: Floats = 0.05 + np.exp(-0.5 * (off / 0.04) ** 2)
    return bell * comb


def _resonances(ring: float, hertz: Floats, generator: np.random.Generator) -> Floats:
    """Return the gain at each frequency of a resonance and of its decoys."""
    bands = np.log2(DECOY_BANDS)[generator.integers(len(DECOY_BANDS), size=DECOYS)]
    centres = [np.log2(ring), *generator.uniform(bands[:, 0], bands[:, 1])]
    octave = np.log2(hertz)
    gain = np.zeros_like(hertz)
    for centre in centres:
        near = slice(
            *np.searchsorted(octave, (centre - 6 * RING_OCTAVES, centre + 6 * RING_OCTAVES))
        )
        gain[near] += np.exp(-0.5 * ((octave[near] - centre) / RING_OCTAVES) ** 2)
    return np.exp(RING_HEIGHT * gain)


def _noise(spectrum: Floats, generator: np.random.Generator, length: int) -> Floats:
    """Return two independent noises of rms 1, [2, length].

    `spectrum` is the amplitude at multiples of `RATE / length` above 0 Hz, [length // 2].
    """
    parts = generator.standard_normal((2, 2, len(spectrum)), np.float32)
    bins = np.pad((parts[0] + 1j * parts[1]) * spectrum, ((0, 0), (1, 0)))
    return _normalised(np.fft.irfft(bins, length))


def _swell(kind: SoundKind, generator: np.random.Generator, length: int) -> Floats:
    """Return the level over time, [length], of rms 1."""
    if not kind.beat:
        return np.ones(length)
    phase = 2 * np.pi * (kind.beat / RATE * np.arange(length) + generator.uniform())
    return _normalised((0.5 + 0.5 * np.cos(phase)) ** kind.sharpness)


def _normalised(values: Floats) -> Floats:
    """Return values scaled to rms 1 along the last axis."""
    rms: Floats = np.sqrt((values**2).mean(axis=-1, keepdims=True))
    return values / rms
