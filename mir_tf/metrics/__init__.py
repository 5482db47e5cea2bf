"""Metrics on NumPy arrays: counts, ranking, intervals, thresholds, calibration, dominance and events."""
