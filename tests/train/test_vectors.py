"""Files of vectors from elsewhere: what fits a store, how it is paired, what is refused."""

from pathlib import Path

import h5py
import numpy as np
import pytest
from stores import small_clips, small_store

from avsc.features.store.reader import Store
from avsc.manifests.errors import AvscError
from avsc.train.data.source import Source
from avsc.train.data.vector_file import VectorFile, ends

CLIPS = small_clips()
SECONDS = 3


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    folder = tmp_path_factory.mktemp("stores") / "small"
    return Store.open(small_store(folder, products=("images",), seconds=SECONDS))


def rows(step=0.1, clips=CLIPS):
    """Clip, time and vector of each, in a shuffled order; a vector tells its clip and time."""
    order = np.random.default_rng(3)
    made = [
        (clip.id, time, [CLIPS.index(clip), time, 7])
        for clip in clips
        for time in np.arange(0, SECONDS - step / 2, step).round(6).tolist()
    ]
    order.shuffle(made)
    return [list(column) for column in zip(*made, strict=True)]


def write(path, clip, time, vector, window=None):
    with h5py.File(path, "w") as file:
        file["clip"] = clip
        file["time"] = np.array(time)
        file["vector"] = np.array(vector, np.float32)
        if window is not None:
            file["time"].attrs["window"] = window
    return path


def test_sound_belongs_to_the_second_of_its_centre(store, tmp_path):
    vectors = VectorFile.open(write(tmp_path / "v.h5", *rows(), window=0.4), store)
    sound = vectors.frames(store)
    samples = sound.samples
    clip, time, _ = sound.data.T.astype(float).round(5)
    np.testing.assert_array_equal(clip, samples.clip)
    np.testing.assert_array_equal(np.floor(time), samples.second)
    assert np.array_equal(np.lexsort((time, clip)), np.arange(len(time)))
    inside = [(10 * t).round() % 10 in (2, 3, 4, 5, 6, 7, 8) for t in time]
    np.testing.assert_array_equal(samples.strict, inside)
    scenes = [store.classes.index(CLIPS[int(c)].scene) for c in clip]
    np.testing.assert_array_equal(samples.scene, scenes)


def test_a_device_is_no_file_of_vectors(store):
    with pytest.raises(
        AvscError, match=r"^/dev/zero: .* \(no file, but a device or a pipe\)\. Name"
    ):
        VectorFile.open(Path("/dev/zero"), store)


def test_without_a_window_every_vector_is_strict(store, tmp_path):
    assert (
        VectorFile.open(write(tmp_path / "v.h5", *rows()), store).frames(store).samples.strict.all()
    )


@pytest.mark.parametrize(
    ("times", "kept"),
    [
        ([0.5, 1.5, 2.5], [0.5, 1.5, 2.5]),
        ([0.0, 0.4, 0.6, 0.9], [0.4]),  # the earlier of two that are as near
        ([0.3, 0.6, 1.0, 1.99], [0.6, 1.99]),
        ([2.0], [2.0]),
    ],
)
def test_a_second_has_the_image_nearest_to_its_middle(store, tmp_path, times, kept):
    name = CLIPS[4].id
    path = write(tmp_path / "v.h5", [name] * len(times), times, [[t, 1] for t in times])
    sight = VectorFile.open(path, store).images(store)
    np.testing.assert_allclose(sight.data[:, 0], kept)
    np.testing.assert_array_equal(sight.samples.second, np.floor(kept))
    assert set(sight.samples.clip) == {4}


def test_sound_and_images_pair_by_second(store, tmp_path):
    heard = VectorFile.open(write(tmp_path / "a.h5", *rows(0.25)), store)
    seen = VectorFile.open(write(tmp_path / "v.h5", *rows(0.5)), store)
    source = Source.of(heard.frames(store), seen.images(store))
    pairs = source.samples(range(len(CLIPS)))
    assert len(pairs) == len(CLIPS) * SECONDS * 4
    sound, sight = source.acoustic[pairs.frame], source.visual[pairs.image]
    np.testing.assert_array_equal(sound[:, 0], sight[:, 0])
    np.testing.assert_array_equal(np.floor(sound[:, 1]) + 0.5, sight[:, 1])


def test_only_the_clips_asked_for_are_looked_at(store, tmp_path):
    clip, time, vector = rows()
    vector = np.array(vector, np.float32)
    vector[[name == CLIPS[3].id for name in clip]] = np.nan
    vectors = VectorFile.open(write(tmp_path / "v.h5", clip, time, vector), store)
    others = [row for row in range(len(CLIPS)) if row != 3]
    assert set(vectors.frames(store, others).samples.clip) == set(others)
    with pytest.raises(AvscError, match=f"30 vectors hold .* not finite.*{CLIPS[3].id!r} at 0 s"):
        vectors.frames(store, [3])


def test_missing_clips_are_named(store, tmp_path):
    vectors = VectorFile.open(write(tmp_path / "v.h5", *rows(clips=CLIPS[2:])), store)
    assert vectors.missing == tuple(clip.id for clip in CLIPS[:2])


def spoilt(path, spoil):
    write(path, *rows())
    with h5py.File(path, "r+") as file:
        spoil(file)
    return path


def drop(name):
    return lambda file: file.__delitem__(name)


def put(name, data):
    def change(file):
        del file[name]
        file[name] = data

    return change


def external_link(file):
    del file["vector"]
    file["vector"] = h5py.ExternalLink("/etc/hostname", "/vector")


def soft_link(file):
    file["other"] = file["vector"][()]
    del file["vector"]
    file["vector"] = h5py.SoftLink("/other")


def external_storage(file):
    del file["vector"]
    shape = (len(file["clip"]), 3)
    file.create_dataset("vector", shape, "f4", external=[("raw", 0, h5py.h5f.UNLIMITED)])


def virtual(file):
    del file["vector"]
    layout = h5py.VirtualLayout((len(file["clip"]), 3), "f4")
    file.create_virtual_dataset("vector", layout)


N = len(rows()[0])


@pytest.mark.parametrize(
    ("spoil", "told"),
    [
        (drop("time"), "it has no dataset 'time'"),
        (put("time", np.zeros(N - 1)), "found shapes"),
        (put("vector", np.zeros((N, 3, 2), "f4")), "found shapes"),
        (put("vector", np.zeros((N, 0), "f4")), "found shapes"),
        (put("clip", np.zeros((N, 2), "S4")), "found shapes"),
        (put("clip", np.arange(N)), "not a file of vectors"),
        (put("vector", np.zeros((N, 3), "i4")), "vector holds int32; wanted float numbers"),
        (put("vector", np.zeros((N, 3), "c8")), "vector holds complex64; wanted float numbers"),
        (put("time", np.array(["0.5"] * N, "S4")), r"time holds \|S4; wanted real numbers"),
        (external_link, "vector is not a dataset that the file holds itself"),
        (soft_link, "vector is not a dataset that the file holds itself"),
        (external_storage, "vector keeps its data in other files"),
        (virtual, "vector keeps its data in other files"),
        (lambda file: file["time"].attrs.__setitem__("window", -1.0), "window is -1.0"),
        (lambda file: file["time"].__setitem__(5, -0.1), "1 times lie outside .* -0.1 s"),
        (lambda file: file["time"].__setitem__(5, 3.6), "3.6 s .* ends before 3.5 s"),
        (lambda file: file["time"].__setitem__(5, np.nan), "1 times lie outside"),
        (lambda file: file["clip"].__setitem__(5, "park-1"), "1 of its clips are none of .*park-1"),
    ],
)
def test_what_does_not_fit_is_named(store, tmp_path, spoil, told):
    path = spoilt(tmp_path / "v.h5", spoil)
    with pytest.raises(AvscError, match=f"v.h5: .*{told}"):
        VectorFile.open(path, store).frames(store)


def test_two_vectors_of_one_time_are_refused(store, tmp_path):
    path = write(tmp_path / "v.h5", [CLIPS[0].id] * 2, [0.5, 0.5], [[1.0], [2.0]])
    with pytest.raises(AvscError, match=f"{CLIPS[0].id!r} has two vectors at 0.5 s"):
        VectorFile.open(path, store)


@pytest.mark.parametrize("content", [None, b"", b"clip,time\n"])
def test_what_is_no_file_of_vectors_is_named(store, tmp_path, content):
    path = tmp_path / "v.h5"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(AvscError, match=r"v\.h5: .*(cannot be read|not a file of vectors)"):
        VectorFile.open(path, store)


def test_a_clip_ends_after_its_frames_or_else_its_images(tmp_path):
    store = Store.open(small_store(tmp_path / "both", products=("scalogram", "images"), seconds=3))
    # 15 windows of 8192 samples, 2736 apart, and less than one more hop.
    np.testing.assert_allclose(ends(store), (14 * 2736 + 8192 + 2736) / 16_000)
    failed = small_store(tmp_path / "failed", products=("images",), seconds=3, failed=(2,))
    end = ends(Store.open(failed))
    assert np.isinf(end[2]) and set(np.delete(end, 2)) == {3.5}


def test_vectors_that_cannot_be_used_are_named(store, tmp_path):
    """Values beyond float32 (warnings are errors here), and a damaged piece."""
    clip, time, vector = rows()
    vector = np.array(vector, np.float64)
    path = tmp_path / "v.h5"

    def make(**how):
        with h5py.File(path, "w") as file:
            file["clip"], file["time"] = clip, time
            file.create_dataset("vector", **how)
        return VectorFile.open(path, store)

    vector[5, 1] = 1e300
    with pytest.raises(AvscError, match=r"v\.h5: 1 vectors hold values that are not finite"):
        make(data=vector).frames(store)
    vectors = make(data=vector, chunks=(8, 3), fletcher32=True)
    with h5py.File(path, "r") as file:
        at = file["vector"].id.get_chunk_info(0).byte_offset
    data = bytearray(path.read_bytes())
    data[at] ^= 1
    path.write_bytes(data)
    with pytest.raises(AvscError, match=r"v\.h5: \d+ vectors of 3 values cannot be read \(Can't"):
        vectors.frames(store)
