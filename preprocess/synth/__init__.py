"""Synthetic data sets in the layout of TAU2021, for demonstrations and tests."""
