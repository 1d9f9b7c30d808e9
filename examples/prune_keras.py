"""Make a Keras model of your own smaller. usage: python examples/prune_keras.py

Half of the kernel weights of an untrained MobileNetV2 are removed as whole channels. Train between the steps with a model that is
to be used: `icnet.pruning.PruningCallback` does both at once.
"""

import keras
import numpy as np

from icnet.pruning import ChannelPruner, compact, maskable, report

model = keras.applications.MobileNetV2(weights=None, input_shape=(64, 64, 3), classes=10, classifier_activation=None)

masked = maskable(model)
ChannelPruner(masked).prune(0.5)
narrow, kept = compact(masked)

pictures = np.random.default_rng(0).uniform(-1, 1, (2, 64, 64, 3)).astype("float32")
before, after = masked.predict(pictures, verbose=0), narrow.predict(pictures, verbose=0)
print(report(model, narrow))
difference = np.abs(after - before).max() / np.abs(before).max()
print(f"{model.count_params():,} parameters before, {narrow.count_params():,} after;", end=" ")
print(f"outputs differ by {difference:.0e} of the largest")
