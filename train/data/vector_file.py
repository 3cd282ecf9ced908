"""Vector files: what another model made of the clips' audio or images.

An HDF5 file with three datasets of equal length n and, on ``time``, one attribute:

    clip     text [n]                ids of the clips, as the store has them
    time     number [n]              centre of the audio or image that the vector is of, s
    vector   float [n, features]
    window   number                  length of the audio around it, s; 0 if omitted

in any order. Times are read as those of our own frames and images: second k of a clip is
[k, k + 1); an acoustic vector belongs to the second of its centre, and is *strict* where its window
lies wholly inside it (always, where the window is 0); of visual vectors, second k has the
one nearest to k + 0.5 s, the earlier of two, also where the store has several images a second.

The file is somebody else's: it is read only where it holds its data itself, and whatever in it does
not fit the store is named. Values are looked at only for the clips that are asked for.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from avsc.features.specs import AcousticSpec
from avsc.features.store.labels import seconds_by_images, store_labels
from avsc.features.store.reader import Store
from avsc.manifests.errors import AvscError
from avsc.train.data.samples import Bools, Ints, Samples, image_samples
from avsc.train.data.source import Stream

VECTORS = "vectors"
"""What a vector file's reference has in the place of a spec's digest."""
NAMED = 3
"""Clips that a message names."""
TICKS = 1_000_000
"""Of a second: what times are rounded down to when an image is looked for."""
PORTION = 65_536
"""Vectors read at a time."""


@dataclass(frozen=True)
class VectorFile:
    """A file of vectors that fits a store, ordered by (clip, time).

    Attributes:
        sha256: of its bytes.
        features: values of a vector.
        clip: row of the clip in the store's clip table [n].
        time: centre, s, float64 [n].
        window: length of the audio around it, s.
        row: row of the vector in the file [n].
        missing: ids of the store's clips that have none.
    """

    path: Path
    sha256: str
    features: int
    clip: Ints
    time: NDArray[np.float64]
    window: float
    row: Ints
    missing: tuple[str, ...]

    @classmethod
    def open(cls, path: Path, store: Store) -> "VectorFile":
        """Read clips and times, and check that they fit a store.

        Raises:
            AvscError: the file cannot be read, or something in it does not fit.
        """
        sha256 = _content(path)
        ids, time, window, shape = _read(path)
        row_of = {clip.id: row for row, clip in enumerate(store.clips)}
        unknown = sorted(set(ids) - set(row_of))
        if unknown:
            raise AvscError(
                f"{path}: {len(unknown)} of its clips are none of {store.path}: {_some(unknown)}. "
                "Name a file of this set's clips, by their ids in the store's clips.csv."
            )
        clip = np.array([row_of[name] for name in ids], np.int64)
        _check_times(path, ids, time, ends(store)[clip])
        order = np.lexsort((time, clip))
        clip, time = clip[order], time[order]
        twice = np.flatnonzero((clip[1:] == clip[:-1]) & (time[1:] == time[:-1]))
        if len(twice):
            raise AvscError(
                f"{path}: clip {store.clips[clip[twice[0]]].id!r} has two vectors at "
                f"{time[twice[0]]:g} s. Keep one of each time."
            )
        there = set(clip.tolist())
        missing = tuple(one.id for row, one in enumerate(store.clips) if row not in there)
        return cls(path, sha256, shape[1], clip, time, window, order.astype(np.int64), missing)

    @property
    def spec(self) -> str:
        """What stands in the place of a spec's digest (see `StoredVectors`)."""
        return VECTORS

    @property
    def content(self) -> str:
        """SHA-256 of the file."""
        return self.sha256

    def frames(self, store: Store, rows: Sequence[int] | None = None) -> Stream:
        """Return the vectors of some clips in the place of acoustic frames."""
        which = self._of(rows)
        clip, time = self.clip[which], self.time[which]
        second = np.floor(time).astype(np.int64)
        half = self.window / 2
        strict: Bools = (time - half >= second) & (time + half <= second + 1)
        ticks = second * TICKS + ((time - second) * TICKS).astype(np.int64)
        scene = store_labels(store).at(clip, second)
        samples = Samples(np.arange(len(which)), None, scene, clip, ticks, strict, TICKS)
        return Stream(self._values(which, store), samples)

    def images(self, store: Store, rows: Sequence[int] | None = None) -> Stream:
        """Return a vector of each second of some clips in the place of images."""
        which = self._of(rows)
        second = np.floor(self.time[which]).astype(np.int64)
        distance = np.abs(self.time[which] - second - 0.5)
        order = np.lexsort((self.time[which], distance, second, self.clip[which]))
        place = np.stack([self.clip[which], second])[:, order]
        first = np.ones(len(order), bool)
        first[1:] = (place[:, 1:] != place[:, :-1]).any(axis=0)
        nearest = which[order[first]]
        clip, second = place[:, first]
        samples = image_samples(clip, second, store_labels(store))
        return Stream(self._values(nearest, store), samples)

    def _of(self, rows: Sequence[int] | None) -> Ints:
        if rows is None:
            return np.arange(len(self.clip))
        return np.flatnonzero(np.isin(self.clip, np.asarray(rows, np.int64)))

    def _values(self, which: Ints, store: Store) -> NDArray[np.float32]:
        """Return vectors, float32 [which, features]; other rows are passed over unseen."""
        place = np.full(len(self.row), -1)
        place[self.row[which]] = np.arange(len(which))
        try:
            values = np.empty((len(which), self.features), np.float32)
            with h5py.File(self.path, "r", locking=False) as file, np.errstate(over="ignore"):
                for start in range(0, len(place), PORTION):
                    wanted = place[start : start + PORTION]
                    if (wanted >= 0).any():
                        portion = file["vector"][start : start + PORTION]
                        values[wanted[wanted >= 0]] = portion[wanted >= 0]
        except (OSError, RuntimeError, MemoryError) as fault:
            raise AvscError(
                f"{self.path}: {len(which)} vectors of {self.features} values cannot be read "
                f"({fault or type(fault).__name__}). Copy or make the file again."
            ) from fault
        unusable = np.flatnonzero(~np.isfinite(values).all(axis=1))
        if len(unusable):
            at = which[unusable[0]]
            raise AvscError(
                f"{self.path}: {len(unusable)} vectors hold values that are not finite (in "
                f"float32), the first of clip {store.clips[self.clip[at]].id!r} at "
                f"{self.time[at]:g} s. Make them again, or leave them out."
            )
        return values


def _content(path: Path) -> str:
    """Return the SHA-256 of a file's bytes.

    Raises:
        AvscError: it cannot be read.
    """
    try:
        if path.exists() and not (path.is_file() or path.is_dir()):
            raise OSError(0, "no file, but a device or a pipe")  # which may have no end
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as fault:
        raise AvscError(
            f"{path}: vectors from elsewhere cannot be read ({fault.strerror}). Name an HDF5 file "
            "with clip, time and vector; docs/systems.md says what it holds."
        ) from fault


def ends(store: Store) -> NDArray[np.float64]:
    """Return times by which each clip of a store has ended, s; infinite where nothing tells.

    A last acoustic frame is followed by less than a hop. Where a clip has none, its last second k
    tells, that it has an image of, or is said to lack one of: it ends before k + 1.5 s.
    """
    end = np.full(len(store.clips), np.inf)
    for product in store.products:
        spec, records = store.spec(product), store.records(product)
        if isinstance(spec, AcousticSpec):
            samples = records.rows * spec.hop + spec.window
            np.minimum.at(end, records.clip, samples / spec.sample_rate)
    seconds = seconds_by_images(store)
    inferred = np.isinf(end) & (seconds > 0)
    end[inferred] = seconds[inferred] + 0.5
    return end


def _read(path: Path) -> tuple[list[str], NDArray[np.float64], float, tuple[int, int]]:
    """Return clips, times, window and the vectors' shape.

    Raises:
        AvscError: the file cannot be read, or is not of this form.
    """
    try:
        with h5py.File(path, "r", locking=False) as file:
            sets = {name: _dataset(file, name) for name in ("clip", "time", "vector")}
            shapes = {name: tuple(values.shape) for name, values in sets.items()}
            n = shapes["clip"][0] if shapes["clip"] else 0
            wanted = shapes["clip"] == shapes["time"] == (n,) and shapes["vector"][:1] == (n,)
            if not (wanted and n and len(shapes["vector"]) == 2 and shapes["vector"][1]):
                raise ValueError(
                    f"found shapes {shapes}; wanted clip [n], time [n] and vector [n, features]"
                )
            for name, kinds, wanted_kind in (("time", "fiu", "real"), ("vector", "f", "float")):
                if sets[name].dtype.kind not in kinds:
                    dtype = sets[name].dtype
                    raise ValueError(f"{name} holds {dtype}; wanted {wanted_kind} numbers")
            ids = list(sets["clip"].asstr()[()])
            time = sets["time"][()].astype(np.float64)
            window = float(sets["time"].attrs.get("window", 0.0))
            if not 0 <= window < np.inf:
                raise ValueError(f"time's window is {window}; 0 s or more")
            return ids, time, window, shapes["vector"]
    except (OSError, KeyError, ValueError, RuntimeError, TypeError, AttributeError) as fault:
        raise AvscError(
            f"{path}: not a file of vectors ({fault}). Wanted is HDF5 with clip, time and vector; "
            "docs/systems.md says what they hold."
        ) from fault


def _dataset(file: h5py.File, name: str) -> Any:
    link = file.get(name, getlink=True)
    if link is None:
        raise ValueError(f"it has no dataset {name!r}")
    if not isinstance(link, h5py.HardLink) or not isinstance(file[name], h5py.Dataset):
        raise ValueError(f"{name} is not a dataset that the file holds itself")
    if file[name].is_virtual or file[name].external:
        raise ValueError(f"{name} keeps its data in other files")
    return file[name]


def _check_times(
    path: Path, ids: Sequence[str], time: NDArray[np.float64], end: NDArray[np.float64]
) -> None:
    outside = np.flatnonzero(~((time >= 0) & (time < end)))
    if len(outside):
        at = outside[0]
        raise AvscError(
            f"{path}: {len(outside)} times lie outside their clips, the first {time[at]:g} s in "
            f"{ids[at]!r}, which ends before {end[at]:g} s. Times are in seconds from the clip's "
            "beginning."
        )


def _some(names: Sequence[str]) -> str:
    return ", ".join(names[:NAMED]) + (", ..." if len(names) > NAMED else "")
