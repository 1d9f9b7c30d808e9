"""A folder in CamVid's layout, of coloured rectangles."""

from pathlib import Path

import cv2
from tiny_network import Blocks


def camvid_folder(folder: Path, **counts: int) -> Path:
    """Write as many pictures of each split as `counts` says, such as `train=3, val=2`."""
    for split, count in counts.items():
        lines = []
        for index in range(count):
            sample = Blocks(count, seed=len(split))[index]
            for kind, array in ((split, sample.image), (f"{split}annot", sample.labels)):
                (folder / kind).mkdir(parents=True, exist_ok=True)
                cv2.imwrite(str(folder / kind / f"{index}.png"), array)
            lines.append(f"{split}/{index}.png {split}annot/{index}.png")
        (folder / f"{split}.txt").write_text("\n".join(lines))
    return folder
