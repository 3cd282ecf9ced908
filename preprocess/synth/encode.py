"""Sound and pictures as the bytes of files like TAU2021's.

WAV: PCM, 24 bit. MP4: H.264, yuv420p, without sound, with B-pictures and a key picture every two
seconds and nowhere else, cuts or no cuts. x264 runs with one thread and without macroblock-tree
rate control, so that the same pictures give the same bytes: with it, small pictures gave others now
and then, by its vectorised code alone.
"""

import io
from collections.abc import Iterable

import av
import numpy as np
import soundfile
from numpy.typing import NDArray

X264 = {"preset": "veryfast", "crf": "23", "bf": "2", "x264-params": "mbtree=0:scenecut=0"}


def encode_wav(samples: NDArray[np.float64], rate: int) -> bytes:
    """Return [samples, channels] in [-1, 1) as a WAV file."""
    file = io.BytesIO()
    soundfile.write(file, samples, rate, format="WAV", subtype="PCM_24")
    return file.getvalue()


def encode_mp4(pictures: Iterable[NDArray[np.uint8]], size: tuple[int, int], rate: int) -> bytes:
    """Return pictures, uint8 RGB [height, width, 3], as an MP4 file.

    Args:
        pictures: all of one size.
        size: (width, height), both even.
        rate: pictures a second.
    """
    file = io.BytesIO()
    with av.open(file, "w", format="mp4") as container:
        stream = container.add_stream("libx264", rate=rate, options=X264)
        stream.width, stream.height = size
        stream.pix_fmt = "yuv420p"
        stream.gop_size = 2 * rate
        stream.codec_context.thread_count = 1
        for number, picture in enumerate(pictures):
            frame = av.VideoFrame.from_ndarray(picture, "rgb24")
            frame.pts = number
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return file.getvalue()
