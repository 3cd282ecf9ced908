"""Evaluation as the official task does it: predictions, metrics, reports, figures."""
