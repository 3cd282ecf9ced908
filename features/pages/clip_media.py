"""What a page shows of a store's clips: their images, made smaller, and their acoustic frames."""

import base64
from functools import cached_property
from typing import Any

import cv2
import numpy as np

from avsc.features.pages.scalogram_image import draw
from avsc.features.specs import AcousticSpec
from avsc.features.store.reader import Records, Store
from avsc.manifests.errors import StoreError

SHORT_SIDE = 144
"""Shorter side of an image on a page, pixels."""
QUALITY = 75


class ClipMedia:
    """Images and scalograms of a store's clips, for pages.

    Args:
        store: where they are read from.
    """

    def __init__(self, store: Store) -> None:
        self.store = store

    def shown(self, row: int) -> dict[str, Any]:
        """Return the images and acoustic frames of a clip, in JSON's types.

        Args:
            row: of the clip in the store's clip table.
        """
        return {"images": self._images(row), "spectra": self._spectra(row)}

    @cached_property
    def _records(self) -> dict[str, Records]:
        return {name: self.store.records(name) for name in self.store.products}

    def _rows(self, product: str, row: int) -> list[int]:
        records = self._records.get(product)
        if records is None:
            return []
        first, end = np.searchsorted(records.clip, [row, row + 1])
        return list(range(int(first), int(end)))

    def _images(self, row: int) -> list[dict[str, Any]]:
        shown = []
        for number in self._rows("images", row):
            records = self._records["images"]
            image: dict[str, Any] = {"second": int(records.key[number])}
            try:
                image["webp"] = _smaller(records.read(number).tobytes())
            except (StoreError, cv2.error) as fault:
                image["damaged"] = str(fault)
            shown.append(image)
        return shown

    def _spectra(self, row: int) -> list[dict[str, Any]]:
        shown: list[dict[str, Any]] = []
        for product in self.store.products:
            spec = self.store.spec(product)
            if not isinstance(spec, AcousticSpec):
                continue
            for number in self._rows(product, row):
                try:
                    drawing = draw(self._records[product].read(number), spec)
                except StoreError as fault:
                    shown.append({"product": product, "damaged": str(fault)})
                    continue
                shown.append(
                    {
                        "product": product,
                        "seconds": drawing.seconds,
                        "ticks": drawing.ticks,
                        "png": [_base64(png) for png in drawing.png],
                    }
                )
        return shown


def _smaller(jpeg: bytes) -> str:
    """Return an image as it is shown, WebP in base64."""
    image = cv2.imdecode(np.frombuffer(jpeg, np.uint8), cv2.IMREAD_COLOR)
    if image is None:
        raise cv2.error("not an image that can be decoded")
    height, width = image.shape[:2]
    scale = SHORT_SIDE / min(height, width)
    if scale < 1:
        size = (max(1, round(width * scale)), max(1, round(height * scale)))
        image = cv2.resize(image, size, interpolation=cv2.INTER_AREA)
    return _base64(cv2.imencode(".webp", image, [cv2.IMWRITE_WEBP_QUALITY, QUALITY])[1].tobytes())


def _base64(data: bytes) -> str:
    return base64.b64encode(data).decode()
