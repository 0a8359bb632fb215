"""Early exit judged and calibrated on stored scores: outcomes, thresholds, temperatures, quality. No TensorFlow."""
