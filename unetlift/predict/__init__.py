"""Runs a network on pictures: array in, Prediction out; `unetlift.predict(model, picture)` is the shortest way."""

from unetlift.predict.predictor import Prediction, Predictor, answer, class_logits, load_predictor

__all__ = ["Prediction", "Predictor", "answer", "class_logits", "load_predictor"]
