"""Is there anything on the lane ahead? usage: python examples/video_zones.py drive.mp4

Prints a line for each frame in which vehicles, people or bicycles cover more than a tenth of a zone of the picture.
"""

import sys

import cv2
import numpy as np

from icnet import Segmenter, Smoother

LANE = np.array([(0.25, 1.0), (0.75, 1.0), (0.55, 0.55), (0.45, 0.55)])
"""Corners as fractions of width and height."""
OBSTACLES = ("Vehicle", "Pedestrian", "Bike")

if len(sys.argv) != 2:
    sys.exit("usage: python examples/video_zones.py VIDEO")
video = cv2.VideoCapture(sys.argv[1])
if not video.isOpened():
    sys.exit(f"{sys.argv[1]} cannot be read")


def read_frames():
    """Number and (H, W, 3) BGR picture of each frame."""
    number = 0
    while True:
        more, frame = video.read()
        if not more:
            return
        yield number, frame
        number += 1


segmenter, zone = Segmenter(), None
obstacles = [segmenter.classes.index(name) for name in OBSTACLES]
for (number, frame), result in segmenter.stream(read_frames(), lambda item: item[1], smoother=Smoother()):
    if zone is None:
        height, width = frame.shape[:2]
        zone = cv2.fillPoly(np.zeros((height, width), np.uint8), [np.int32(LANE * (width, height))], 1) > 0
    share = np.isin(result.classes[zone], obstacles).mean()
    if share > 0.1:
        print(f"frame {number}: {share:.0%} of the lane is taken")
print(f"{number + 1} frames")
