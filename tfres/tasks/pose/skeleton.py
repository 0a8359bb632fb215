"""COCO's person: 17 keypoints, which of them are mirror images of each other, and how far each may be off."""

from __future__ import annotations

KEYPOINTS = (
    "nose", "left_eye", "right_eye", "left_ear", "right_ear", "left_shoulder", "right_shoulder", "left_elbow", "right_elbow",
    "left_wrist", "right_wrist", "left_hip", "right_hip", "left_knee", "right_knee", "left_ankle", "right_ankle",
)  # fmt: skip
COUNT = len(KEYPOINTS)
# Number of the keypoint that each becomes in a mirror.
MIRRORED = tuple(
    KEYPOINTS.index(name.replace("left", "?").replace("right", "left").replace("?", "right")) for name in KEYPOINTS
)
UPPER_BODY = tuple(range(KEYPOINTS.index("left_hip")))
# Deviation of annotators per keypoint, as a share of the square root of a person's area.
SIGMAS = tuple(
    value / 10 for value in
    (.26, .25, .25, .35, .35, .79, .79, .72, .72, .62, .62, 1.07, 1.07, .87, .87, .89, .89)
)  # fmt: skip
LIMBS = tuple(
    (KEYPOINTS.index(a), KEYPOINTS.index(b))
    for a, b in (
        ("nose", "left_eye"), ("nose", "right_eye"), ("left_eye", "left_ear"), ("right_eye", "right_ear"),
        ("left_shoulder", "right_shoulder"), ("left_shoulder", "left_elbow"), ("left_elbow", "left_wrist"),
        ("right_shoulder", "right_elbow"), ("right_elbow", "right_wrist"), ("left_shoulder", "left_hip"),
        ("right_shoulder", "right_hip"), ("left_hip", "right_hip"), ("left_hip", "left_knee"), ("left_knee", "left_ankle"),
        ("right_hip", "right_knee"), ("right_knee", "right_ankle"),
    )
)  # fmt: skip
