"""Metrics on NumPy arrays: counts, threshold sweeps, confidence intervals, calibration, dominance and events."""
