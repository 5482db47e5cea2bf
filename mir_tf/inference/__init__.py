"""Predictions and the formats, files and batches around them. No TensorFlow in the whole package."""
