"""A small data set of real WAV and MP4 files, listed as a generic manifest."""

from pathlib import Path

import numpy as np
import soundfile
from videos import drawn, write_video

RATE = 48_000


def write_sound(path: Path, seconds: float = 2.0, seed: int = 0, **how: object) -> Path:
    """Write quiet stereo noise as 24-bit WAV."""
    noise = np.random.default_rng(seed).normal(0, 0.01, (round(seconds * RATE), 2))
    path.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(path, noise, RATE, subtype="PCM_24")
    return path


def write_clips(root: Path, count: int = 5, seconds: float = 2.0) -> Path:
    """Write `count` clips, but for those that are there, and return their manifest."""
    rows = ["id,scene,audio,video"]
    for number in range(count):
        name = f"clip-{number}"
        audio, video = root / "audio" / f"{name}.wav", root / "video" / f"{name}.mp4"
        video.parent.mkdir(parents=True, exist_ok=True)
        if not audio.exists():
            write_sound(audio, seconds, number)
        if not video.exists():
            images = drawn(round(10 * seconds), np.random.default_rng(number), 48, 64)
            write_video(video, images, rate=10)
        rows.append(f"{name},scene{number % 2},audio/{name}.wav,video/{name}.mp4")
    manifest = root / "clips.csv"
    manifest.write_text("\n".join(rows) + "\n")
    return manifest
