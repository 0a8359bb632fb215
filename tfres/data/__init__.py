"""Sources of pictures and the one pipeline that all engines eat.

A source has `classes` (names), `mean` and `std` (RGB in [0, 1]) and two splits, `train` and `validation`. A split has
`size` and `examples(indices, ...)`; see `tfres.data.sources`.
"""
