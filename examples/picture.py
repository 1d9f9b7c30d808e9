"""What is in a picture of a street? usage: python examples/picture.py street.png"""

import sys

import cv2

from icnet import Segmenter

path = sys.argv[1] if len(sys.argv) > 1 else "icnet-demo/street.png"
frame = cv2.imread(path)
if frame is None:
    sys.exit(f"{path} cannot be read: give a picture, or run `icnet demo` for one")

result = Segmenter()(frame)
for name, share in sorted(result.shares().items(), key=lambda item: -item[1]):
    print(f"{name:<12}{share:7.1%}")
cv2.imwrite("overlay.png", result.overlay())
