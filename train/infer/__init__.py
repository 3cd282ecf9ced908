"""A trained model at work on recordings: ``from avsc.train.infer import load``."""

from avsc.train.infer.model import Model, load

__all__ = ["Model", "load"]
