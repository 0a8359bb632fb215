"""Pose estimation; the parts are imported by their modules, so that options load without TensorFlow."""
