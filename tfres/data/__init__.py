"""Reading pictures, whatever they are for: decoding, cuts, TFRecord files, downloads, batches. No labels, no task."""
