"""Train icnet-lite on the synthetic street, from its bundled weights. usage: python examples/train_street.py [FOLDER [SCENES]]

Needs `pip install 'icnet[torch]'`. The weights that come of it are in FOLDER/best.safetensors.
"""

import sys
from dataclasses import replace
from pathlib import Path

from icnet.evaluation.reference import require_keras

require_keras("train", training=True)  # chooses the backend, before anything loads Keras

from icnet.network.registry import find_weights  # noqa: E402
from icnet.network.spec import LITE  # noqa: E402
from icnet.street.drive import StreetSet  # noqa: E402
from icnet.training.learner import Learner  # noqa: E402
from icnet.training.recipe import RECIPES  # noqa: E402
from icnet.training.trainer import Trainer  # noqa: E402

folder = Path(sys.argv[1] if len(sys.argv) > 1 else "runs/street")
scenes = int(sys.argv[2]) if len(sys.argv) > 2 else 64

recipe = replace(RECIPES[LITE.name], epochs=4, crop_hw=(192, 256), batch_size=4, final=None, learning_rate=3e-4)
streets = StreetSet(scenes, seed=1, size_hw=(240, 320)), StreetSet(max(1, scenes // 4), seed=2, size_hw=(240, 320))
learner = Learner(LITE, recipe, *streets, initial=find_weights(LITE.name))
outcome = Trainer(learner, folder).run(on_epoch=print)
print(f"{outcome.best_miou:.1%} strict mIoU on streets that it has not seen: {folder / 'best.safetensors'}")
