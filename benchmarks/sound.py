"""Time of a clip's sound on one core, whole and stage by stage, and its error.

A WAV file of 24 bits, 48 kHz, stereo, 10 s, becomes two acoustic features. The first table has the
whole way from the file to both,

    avsc         as extraction does it: file read and digested, checked, one STFT for both features
    librosa      load, stft, and products with dense filters, as one writes it with librosa
    scipy        soundfile, resample_poly, rfft, products with dense filters

of which only avsc makes a digest and checks the file. The error is the largest difference of the
scalogram's logarithms under 7.3 kHz to the same in float64 from soxr's float64 samples. The second
table has the stages,

    read         to float32 samples of two channels (avsc: digested too)
    resample     to 16 kHz; average and difference
    magnitude    |STFT| of 56 frames of two channels
    scalogram    290 wavelets and the logarithm
    fbank        256 mel filters and the logarithm

beside those of scipy. Its error is the largest difference under 7 kHz when this stage alone is not
computed in float64 (fbank: of its own logarithms); resampling is compared with the STFT of the
recording at 48 kHz, whose window of 24,576 samples has the same bins.

    python benchmarks/sound.py [--rounds 31] [WAV ...]
"""

import argparse
import os
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
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
from turns import in_turn, table

from avsc.features.clip import make_clip
from avsc.features.filterbank import FilterBank
from avsc.features.framing import magnitude
from avsc.features.mel import mel_filters
from avsc.features.recording import recorded
from avsc.features.sound import read_sound
from avsc.features.sound_chunks import WAV, sound_chunk
from avsc.features.sound_file import opened_file
from avsc.features.specs import FbankSpec, ScalogramSpec
from avsc.features.wavelets import centre_frequencies, scalogram_filters

SPEC = ScalogramSpec()
RATE, TIMES = 48_000, 3
UNDER_7_KHZ, UNDER_7300_HZ = (centre_frequencies(SPEC) < hertz for hertz in (7000, 7300))
WAVELETS, MEL = scalogram_filters(SPEC), mel_filters(FbankSpec())
WAVELET_BANK, MEL_BANK = FilterBank(WAVELETS), FilterBank(MEL)
DENSE_WAVELETS, DENSE_MEL = WAVELETS.astype(np.float32), MEL.astype(np.float32)
Array = NDArray[Any]
Way = Callable[[Path], tuple[Array, Array]]


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
    recording = recorded(path)
    with opened_file(recording, sound_chunk(recording, WAV)) as file:
        (samples,) = file.parts()
    return np.ascontiguousarray(samples)


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
    }


def plain_stages(x: Inputs) -> dict[str, Callable[[], Array]]:
    return {
        "read": lambda: soundfile.read(x.path, dtype="float32")[0].T,
        "resample": lambda: plain_resample(x.source),
        "magnitude": lambda: plain_magnitude(x.samples),
        "scalogram": lambda: plain_filters(x.spectra, DENSE_WAVELETS),
        "fbank": lambda: plain_filters(x.spectra, DENSE_MEL),
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
    }
    found = {name: abs(each[..., UNDER_7_KHZ]).max() for name, each in differences.items()}
    return found | {"fbank": abs(made["fbank"] - exact(x.spectra, MEL)).max()}


def avsc_way(path: Path) -> tuple[Array, Array]:
    made = make_clip("clip", path, None, {"scalogram": SPEC, "fbank": FbankSpec()})
    return made.records["scalogram"][0][1], made.records["fbank"][0][1]


def librosa_way() -> Way | None:
    try:
        import librosa
    except ImportError:
        return None

    def way(path: Path) -> tuple[Array, Array]:
        left, right = librosa.load(path, sr=SPEC.sample_rate, mono=False)[0]
        spectra = librosa.stft(
            np.stack([left + right, left - right]) / 2,
            n_fft=SPEC.window,
            hop_length=SPEC.hop,
            center=False,
        )
        return both(np.abs(spectra).transpose(2, 0, 1) / (SPEC.window / 2))

    return way


def scipy_way(path: Path) -> tuple[Array, Array]:
    source = soundfile.read(path, dtype="float32")[0].T
    return both(plain_magnitude(plain_resample(source)))


def both(spectra: Array) -> tuple[Array, Array]:
    return plain_filters(spectra, DENSE_WAVELETS), plain_filters(spectra, DENSE_MEL)


WAYS: dict[str, Way | None] = {
    "avsc": avsc_way,
    "librosa": librosa_way(),
    "scipy": scipy_way,
}


def report_whole(path: Path, rounds: int) -> None:
    ways = {name: way for name, way in WAYS.items() if way is not None}
    ms = in_turn({name: partial(way, path) for name, way in ways.items()}, rounds)
    reference = exact(exact_magnitude(our_resample(soundfile.read(path)[0].T)))
    rows = []
    for name, way in WAYS.items():
        if way is None:
            rows.append(f"{name} | not installed | | ")
            continue
        error = abs(way(path)[0] - reference)[..., UNDER_7300_HZ].max()
        rows.append(f"{name} | {ms[name]:.1f} | {ms['avsc'] / ms[name]:.2f} | {error:.1e}")
    table("way | ms per clip | avsc's share of it | error", *rows)


def report_stages(path: Path, rounds: int) -> None:
    source = our_read(path)
    samples = read_sound(path, SPEC.sample_rate).samples
    x = Inputs(path, source, samples, magnitude(samples, SPEC))
    ours, plain = our_stages(x), plain_stages(x)
    named = {("avsc", k): v for k, v in ours.items()} | {("scipy", k): v for k, v in plain.items()}
    ms = in_turn(named, rounds)
    our_errors, plain_errors = errors(x, ours), errors(x, plain)
    table(
        "stage | avsc, ms | scipy, ms | avsc, error | scipy, error",
        *(
            f"{k} | {ms['avsc', k]:.2f} | {ms['scipy', k]:.2f} | {our_errors[k]:.1e} | "
            f"{plain_errors[k]:.1e}"
            for k in ours
        ),
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("sounds", nargs="*", type=Path, help="measure these, 48 kHz and 10 s long")
    parser.add_argument("--rounds", type=int, default=31)
    options = parser.parse_args()
    os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    with tempfile.TemporaryDirectory() as folder, threadpool_limits(1):
        for path in options.sounds or [write_noise(Path(folder) / "noise.wav")]:
            print(f"{path.name}:\n")
            report_whole(path, options.rounds)
            print()
            report_stages(path, options.rounds)
            print()


if __name__ == "__main__":
    main()
