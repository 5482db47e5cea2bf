"""Export of a model as SavedModel, TFLite and ONNX, with the checks that the files must pass."""
