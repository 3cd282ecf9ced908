"""Every folder with an __init__.py in the four rooms is a package; all else is in setup.cfg."""

from pathlib import Path

from setuptools import setup

ROOMS = ("manifests", "features", "preprocess", "train")

setup(
    packages=sorted(
        ".".join(("avsc", *init.parent.parts))
        for room in ROOMS
        for init in Path(room).rglob("__init__.py")
    )
)
