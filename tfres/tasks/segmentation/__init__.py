"""Segmentation: a class for every pixel; the parts are imported by their modules, so that options load without TensorFlow."""
