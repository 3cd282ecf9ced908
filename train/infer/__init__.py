"""A trained model at work on recordings: ``from avsc.train.infer import load``."""

from avsc.train.infer.arrays import Arrays
from avsc.train.infer.loading import load
from avsc.train.infer.model import Model
from avsc.train.infer.prediction import Prediction

__all__ = ["Arrays", "Model", "Prediction", "load"]
