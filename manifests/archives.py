"""The archives that a known data set is released in, with their sizes and MD5 digests.

TAU Urban Audio-Visual Scenes 2021, development set: Zenodo record 4477542, 27 ZIP archives, whose
names, sizes and digests are those that the record states. Unpacked in one folder they give
``<release>.meta/meta.csv``, ``<release>.meta/evaluation_setup/``, ``audio/`` and ``video/``.
"""

from dataclasses import dataclass


@dataclass(frozen=True)
class Archive:
    """One archive of a release.

    Attributes:
        name: short name, unique in the release, such as ``audio.1``.
        file: name of the file.
        size: its length, bytes.
        md5: digest of its content, 32 hexadecimal digits.
    """

    name: str
    file: str
    size: int
    md5: str

    @property
    def kind(self) -> str:
        """What the archive holds: the name without its number."""
        return self.name.partition(".")[0]


@dataclass(frozen=True)
class Release:
    """A data set as it is published.

    Attributes:
        url: address of an archive, in which ``{file}`` stands for its file name.
        archives: all that belong to it.
    """

    url: str
    archives: tuple[Archive, ...]


TAU2021_NAME = "TAU-urban-audio-visual-scenes-2021-development"
_TAU2021 = """
    doc         12466 26960140f453d31bbd315ed7e35675f8
    meta       235316 76e3d7ed5291b118372e06379cb2b490
    examples 128196071 27aca1ec51f856f59604cf22e93ebf80
    audio.1  4349202707 186f6273f8f69ed9dbdc18ad65ac234f
    audio.2  4490960726 7fd6bb63127f5785874a55aba4e77aa5
    audio.3  4223486056 61396bede29d7c8c89729a01a6f6b2e2
    audio.4  4172854493 6ddac89717fcf9c92c451868eed77fe1
    audio.5  4185568337 af4820756cdf1a7d4bd6037dc034d384
    audio.6  4215402064 ebd11ec24411f2a17a64723bd4aa7fff
    audio.7  4407222915 2be39a76aeed704d5929d020a2909efd
    audio.8   345864456 972d8afe0874720fc2f28086e7cb22a9
    video.1  4996891312 f89b88f6ff44b109e842bff063612bf1
    video.2  4997056221 433053f76ae028f6c4a86094b91af69c
    video.3  4995965420 974c8e4f3741e065e5c2775f4b9e3ffc
    video.4  4991033216 b558fe62fb8fd9b1864d256ead8a24d1
    video.5  4997081324 fb3036c31e66be1caddb48834e0ea304
    video.6  4991170406 140f331750406eaa16756b5cfdf0a336
    video.7  4996594150 bac47d3da9bffb89318e662c6af68539
    video.8  4992534816 95c231ee549c6e74ab8b57a27047ff71
    video.9  4998329385 294daf6f7de15adcae3a97a8d176eb3a
    video.10 4993017199 c6778f4ddbab163394f7cd26011f1452
    video.11 4993425875 856ecd8fb1df96adcd2cc6928441bbe6
    video.12 4994719640 57b898b19d991fde6df595fda85eb28d
    video.13 4996976020 920562ed29a63abeabfb11b6c0a17a2c
    video.14 4999888160 1febab0738a622dea95926e70d2fc7c4
    video.15 4995885583 d6d57cc85f65b1a589a1d628ca936fc9
    video.16 2286205594 4e1ab47f0d180b818491ef3c3f45ebc6
"""

RELEASES = {
    "TAU2021": Release(
        "https://zenodo.org/records/4477542/files/{file}?download=1",
        tuple(
            Archive(name, f"{TAU2021_NAME}.{name}.zip", int(size), md5)
            for name, size, md5 in (line.split() for line in _TAU2021.strip().splitlines())
        ),
    )
}
