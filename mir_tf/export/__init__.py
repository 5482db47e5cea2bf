"""Export of a model to SavedModel, TFLite and ONNX, with checks of the files."""
