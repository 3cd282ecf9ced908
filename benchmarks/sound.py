"""Time of a clip's sound on one core, stage by stage, and its error, beside the plain way.

    read        a WAV file of 24 bits, 48 kHz, stereo, to float32 samples of two channels
    resample    to 16 kHz; average and difference
    magnitude   |STFT| of 56 frames of two channels
    scalogram   290 wavelets and the logarithm
    fbank       256 mel filters and the logarithm

The plain way is what one writes at first: `soundfile.read`, `scipy.signal.resample_poly`,
`scipy.fft.rfft` of all frames at once, float32 products with dense matrices. The error is the
largest difference of the scalogram's logarithms under 7 kHz when this stage alone is not computed
in float64 (fbank: of its own logarithms); resampling is compared with the STFT of the recording at
48 kHz, whose window of 24,576 samples has the same bins. Both ways run in turn, over and over, so
that what else the machine does falls on both; the figures are medians of the processor's time.

    python benchmarks/sound.py [--rounds 31] [WAV ...]
"""

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import soundfile
import soxr
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray
from scipy import fft
from scipy.signal import resample_poly
from threadpoolctl import threadpool_limits

from avsc.features.filterbank import FilterBank
from avsc.features.framing import magnitude
from avsc.features.mel import mel_filters
from avsc.features.sound import read_sound
from avsc.features.specs import FbankSpec, ScalogramSpec
from avsc.features.wavelets import centre_frequencies, scalogram_filters

SPEC = ScalogramSpec()
RATE, TIMES = 48_000, 3
UNDER_7_KHZ = centre_frequencies(SPEC) < 7000
WAVELETS, MEL = scalogram_filters(SPEC), mel_filters(FbankSpec())
WAVELET_BANK, MEL_BANK = FilterBank(WAVELETS), FilterBank(MEL)
DENSE_WAVELETS, DENSE_MEL = WAVELETS.astype(np.float32), MEL.astype(np.float32)
Array = NDArray[Any]


@dataclass(frozen=True)
class Inputs:
    """What goes into each stage."""

    path: Path
    source: Array
    samples: NDArray[np.float32]
    spectra: NDArray[np.float32]


def write_noise(path: Path) -> Path:
    """Write 10 s of quiet stereo noise whose power falls as 1 / f, half of it in both channels."""
    rng = np.random.default_rng(7)
    frequency = np.maximum(np.fft.rfftfreq(10 * RATE, 1 / RATE), 20)
    noise = np.fft.irfft(np.fft.rfft(rng.normal(size=(3, 10 * RATE))) / np.sqrt(frequency))
    stereo = noise[0] + noise[1:]
    soundfile.write(path, (0.01 * stereo / stereo.std()).T, RATE, subtype="PCM_24")
    return path


def mixed(left: Array, right: Array) -> Array:
    return np.stack([left + right, left - right]) / 2


def our_read(path: Path) -> Array:
    return np.ascontiguousarray(soundfile.read(path, dtype="float32", always_2d=True)[0].T)


def our_resample(source: Array) -> Array:
    return mixed(*(soxr.resample(side, RATE, SPEC.sample_rate, "HQ") for side in source))


def plain_resample(source: Array) -> Array:
    return mixed(*resample_poly(source, 1, TIMES, axis=1))


def framed(samples: Array, times: int) -> Array:
    windows = sliding_window_view(samples, times * SPEC.window, axis=1)
    return windows[:, :: times * SPEC.hop].swapaxes(0, 1)


def hann(window: int) -> NDArray[np.float64]:
    return 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(window) / window)


def plain_magnitude(samples: Array) -> Array:
    window = hann(SPEC.window).astype(np.float32)
    return np.abs(fft.rfft(framed(samples, 1) * window)) / window.sum()


def plain_filters(spectra: Array, dense: NDArray[np.float32]) -> Array:
    rows = spectra.reshape(-1, spectra.shape[-1])
    return np.log(np.maximum(rows @ dense.T, SPEC.floor)).reshape(*spectra.shape[:2], -1)


def exact(spectra: Array, filters: Array = WAVELETS) -> Array:
    return np.log(np.maximum(spectra.astype(np.float64) @ filters.T, SPEC.floor))


def exact_magnitude(samples: Array, times: int = 1) -> Array:
    """Return float64 spectra of samples at `times` the spec's rate, up to its Nyquist frequency."""
    window = hann(times * SPEC.window)
    spectra = np.fft.rfft(framed(samples.astype(np.float64), times) * window)
    return abs(spectra[..., : SPEC.window // 2 + 1]) / window.sum()


def our_stages(x: Inputs) -> dict[str, Callable[[], Array]]:
    return {
        "read": lambda: our_read(x.path),
        "resample": lambda: our_resample(x.source),
        "magnitude": lambda: magnitude(x.samples, SPEC),
        "scalogram": lambda: WAVELET_BANK.log(x.spectra, SPEC.floor),
        "fbank": lambda: MEL_BANK.log(x.spectra, SPEC.floor),
        "scalogram, whole": lambda: WAVELET_BANK.log(
            magnitude(read_sound(x.path, SPEC.sample_rate).samples, SPEC), SPEC.floor
        ),
    }


def plain_stages(x: Inputs) -> dict[str, Callable[[], Array]]:
    return {
        "read": lambda: soundfile.read(x.path, dtype="float32")[0].T,
        "resample": lambda: plain_resample(x.source),
        "magnitude": lambda: plain_magnitude(x.samples),
        "scalogram": lambda: plain_filters(x.spectra, DENSE_WAVELETS),
        "fbank": lambda: plain_filters(x.spectra, DENSE_MEL),
        "scalogram, whole": lambda: plain_filters(
            plain_magnitude(plain_resample(soundfile.read(x.path, dtype="float32")[0].T)),
            DENSE_WAVELETS,
        ),
    }


def errors(x: Inputs, stages: dict[str, Callable[[], Array]]) -> dict[str, float]:
    """Return the largest difference of logarithms that each stage makes."""
    source = soundfile.read(x.path, always_2d=True)[0].T
    without_resampling = exact(exact_magnitude(mixed(*source), TIMES))
    made = {name: stage() for name, stage in stages.items()}
    differences = {
        "read": exact(exact_magnitude(mixed(*made["read"]), TIMES)) - without_resampling,
        "resample": exact(exact_magnitude(made["resample"])) - without_resampling,
        "magnitude": exact(made["magnitude"]) - exact(exact_magnitude(x.samples)),
        "scalogram": made["scalogram"] - exact(x.spectra),
        "scalogram, whole": made["scalogram, whole"] - without_resampling,
    }
    found = {name: abs(each[..., UNDER_7_KHZ]).max() for name, each in differences.items()}
    return found | {"fbank": abs(made["fbank"] - exact(x.spectra, MEL)).max()}


def milliseconds(ways: list[dict[str, Callable[[], Array]]], rounds: int) -> list[dict[str, float]]:
    """Return the median time of each stage of each way, which run in turn."""
    spent: list[dict[str, list[float]]] = [{name: [] for name in way} for way in ways]
    for _ in range(rounds):
        for name in ways[0]:
            for way, times in zip(ways, spent, strict=True):
                begin = time.process_time()
                way[name]()
                times[name].append(1e3 * (time.process_time() - begin))
    return [{name: statistics.median(each) for name, each in times.items()} for times in spent]


def report(path: Path, rounds: int) -> None:
    source = our_read(path)
    samples = read_sound(path, SPEC.sample_rate).samples
    x = Inputs(path, source, samples, magnitude(samples, SPEC))
    ours, plain = our_stages(x), plain_stages(x)
    our_ms, plain_ms = milliseconds([ours, plain], rounds)
    our_errors, plain_errors = errors(x, ours), errors(x, plain)
    print(f"{path.name[:27]:28}{'ms':>8}{'plain':>8}{'error':>10}{'plain':>10}")
    for name in ours:
        print(
            f"  {name:26}{our_ms[name]:8.2f}{plain_ms[name]:8.2f}"
            f"{our_errors[name]:10.1e}{plain_errors[name]:10.1e}",
            flush=True,
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("sounds", nargs="*", type=Path, help="measure these, 48 kHz and 10 s long")
    parser.add_argument("--rounds", type=int, default=31)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder, threadpool_limits(1):
        for path in options.sounds or [write_noise(Path(folder) / "noise.wav")]:
            report(path, options.rounds)


if __name__ == "__main__":
    main()
