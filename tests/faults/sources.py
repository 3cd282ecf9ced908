"""Recordings that vanish, change, are damaged, or are more than a decoder or a machine can take."""

import os
from pathlib import Path

import numpy as np
import soundfile
from digests import timeless
from faults.ground import Records, made_here, records
from faults.trial import Ended, Trial
from recordings import RATE, write_sound
from videos import write_video

PAGE = 4096


def removed(trial: Trial) -> None:
    """A recording is removed when a run has begun, and is back for the next."""
    trial.own_root()
    path = trial.pick()
    run = trial.begin("--workers", 1)
    run.until(trial.begun)
    trial.pause(run, 0.3)
    trial.hit(run)
    path.unlink()
    _failing_once(trial, run.wait(), path, "no such file; wanted a recording")


def crash(trial: Trial) -> None:
    """A segmentation fault when one recording is read, however often."""
    path = trial.pick()
    rule = f"read:{path.parent.name}/{path.name}:crash"
    ended = trial.extract(env={**trial.ground.failing, "FAILING": rule})
    trial.expect(ended, 3)
    _failing_once(trial, ended, path, "was ended by SIGSEGV")


def endless(trial: Trial) -> None:
    """Reading one recording never ends."""
    path = trial.pick()
    rule = f"read:{path.parent.name}/{path.name}:hang"
    env = {**trial.ground.failing, "FAILING": rule}
    ended = trial.extract("--clip-timeout", 200, env=env)
    trial.expect(ended, 3)
    _failing_once(trial, ended, path, "did not end within 200 s")


def absurd(trial: Trial) -> None:
    """A recording too large in one of four ways; then as it was."""
    trial.own_root()
    says, make = [
        ("1200000000 bytes; at most 1000 MB", _sparse),
        ("s of sound; at most 900", _long),
        ("8 channels; wanted 2", _wide),
        ("at most 16777216 pixels", _large),
    ][trial.draw.integers(4)]
    kind = "video" if make is _large else "audio"
    files = [path for path in trial.recordings() if path.parent.name == kind]
    path = files[trial.draw.integers(len(files))]
    path.unlink()
    make(path)
    ended = trial.extract()
    trial.expect(ended, 3)
    path.unlink()
    _failing_once(trial, ended, path, says)


def _failing_once(trial: Trial, ended: Ended, path: Path, says: str) -> None:
    """Check a run that one recording failed in, unless it was done with it; put it back; go on."""
    trial.expect(ended, 0, 3)
    if ended.status == 3:
        trial.says(ended, says)
    trial.compare({path.stem} if ended.status == 3 else ())
    if not path.exists():
        os.link(trial.ground.root / path.relative_to(trial.root), path)
    trial.goes_on()


def _sparse(path: Path) -> None:
    path.touch()
    os.truncate(path, 1_200_000_000)


def _long(path: Path) -> None:
    soundfile.write(path, np.zeros((901 * 8000, 2), np.int16), 8000, subtype="PCM_16")


def _wide(path: Path) -> None:
    soundfile.write(path, np.zeros((RATE, 8), np.int16), RATE, subtype="PCM_16")


def _large(path: Path) -> None:
    image = np.zeros((4112, 4112, 3), np.uint8)
    write_video(path, [image], rate=1, options={"preset": "ultrafast"})


def changed(trial: Trial) -> None:
    """Another recording stands in the place of one of a whole store's."""
    trial.own_root()
    trial.given()
    path = trial.pick()
    path.unlink()
    if path.suffix == ".wav":
        write_sound(path, 1.0, int(trial.draw.integers(1000, 2000)))
    else:
        images = trial.draw.integers(0, 255, (10, 48, 64, 3), np.uint8)
        write_video(path, images, rate=10)
    ended = trial.extract()
    trial.expect(ended, 0)
    trial.says(ended, "to do: 1 clips in 1 blocks")
    trial.says(ended, r"source changed: 3 \(clip, product\)")
    _as_made_here(trial)


def byte(trial: Trial) -> None:
    """One byte of a sound differs; size and time are as they were."""
    trial.own_root()
    trial.given()
    files = [path for path in trial.recordings() if path.suffix == ".wav"]
    path = files[trial.draw.integers(len(files))]
    data = bytearray(path.read_bytes())
    data[trial.draw.integers(100, len(data))] ^= 1 << trial.draw.integers(8)
    _replace(path, bytes(data), keep_time=True)
    ended = trial.extract("--check", "content")
    trial.expect(ended, 0)
    trial.says(ended, "to do: 1 clips in 1 blocks")
    _as_made_here(trial)


def corrupted(trial: Trial) -> None:
    """A tenth of all recordings is damaged, in any way; then all are as they were."""
    trial.own_root()
    trial.given()
    files = trial.recordings()
    count = round(len(files) / 10)
    check = ("--check", "content") if trial.draw.random() < 0.5 else ()
    damaged = [files[number] for number in trial.draw.choice(len(files), count, replace=False)]
    for path in damaged:
        _replace(path, corrupt(path.read_bytes(), trial.draw), keep_time=bool(check))
    names = {path.stem for path in damaged}
    ended = trial.extract(*check)
    trial.expect(ended, 0, 3)
    trial.says(ended, rf"source changed: {3 * len(names)} \(clip, product\)")
    trial.says(ended, rf"to do: {len(names)} clips in")
    wanted = _as_made_here(trial)
    others = {place: data for place, data in trial.ground.records.items() if place[1] not in names}
    trial.wrong += sum(wanted.get(place) != data for place, data in others.items())
    for path in damaged:
        path.unlink()
        os.link(trial.ground.root / path.relative_to(trial.root), path)
    again = trial.extract(*check)
    trial.expect(again, 0)
    trial.compare()


def corrupt(data: bytes, draw: np.random.Generator) -> bytes:
    """Return other bytes: cut, overwritten, or with some bits flipped."""
    found = bytearray(data)
    place = int(draw.integers(len(data)))
    match draw.integers(5):
        case 0:
            return data[:place]
        case 1:
            found[place : place + PAGE] = bytes(min(PAGE, len(data) - place))
        case 2:
            found[:PAGE] = draw.bytes(min(PAGE, len(data)))
        case 3:
            length = min(int(draw.integers(1, 1000)), len(data) - place)
            found[place : place + length] = draw.bytes(length)
        case _:
            for at in draw.integers(len(data), size=8):
                found[at] ^= 1 << draw.integers(8)
    return bytes(found)


def _replace(path: Path, data: bytes, keep_time: bool) -> None:
    """Write other bytes in the place of a file that others may share."""
    times = path.stat()
    path.unlink()
    path.write_bytes(data)
    if keep_time:
        os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))


def _as_made_here(trial: Trial) -> Records:
    """Compare with a store that was made of the same recordings without any fault."""
    wanted = made_here(trial.root, trial.folder / "wanted")
    kept = records(wanted)
    trial.compare((), timeless(wanted), kept)
    return kept
