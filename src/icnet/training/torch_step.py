"""The optimizer step as plain PyTorch: no Keras layer runs, and the state lies as PyTorch's CPU kernels want it."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
import torch

from icnet.network.graph import logits
from icnet.network.keras_weights import masks, variables
from icnet.network.torch_ops import TorchOps, from_torch, nchw, to_torch
from icnet.training.average import WeightAverage
from icnet.training.objective import Objective
from icnet.training.steps import Losses


class TorchStep:
    """The arithmetic of `KerasStep`, but for rounding, Adam's epsilon (added behind the bias correction) and moving variances
    (unbiased).

    Between `run` and `sync` the state lives here; the Keras variables are read at the first `run` after a `sync`.
    """

    def __init__(self, objective: Objective, average: WeightAverage):
        """Train `objective`, whose Keras models give the variables only."""
        self._objective, self._average = objective, average
        # Names and layouts of the weight file, so that depthwise kernels are no special case.
        self._variables = variables(objective.network, objective.spec)
        names = {id(part.variable): name for name, part in self._variables.items()}
        self._learnt = [names[id(variable)] for variable in objective.models[0].trainable_variables]
        self._teacher = None if objective.teacher is None else {n: to_torch(n, a) for n, a in objective.teacher.tensors.items()}
        self._tensors: dict[str, torch.Tensor] | None = None

    def place(self, batch: Any) -> Any:
        return batch

    def run(self, step: int, images: np.ndarray, targets: np.ndarray, learning_rate: float) -> Losses:
        if self._tensors is None:
            self._read()
        assert self._tensors is not None
        self._rate = learning_rate
        for group in self._optimizer.param_groups:
            group["lr"] = learning_rate * group["rate"]
        loss = self._loss(step, nchw(images), torch.from_numpy(np.ascontiguousarray(targets)), images.shape[1:3])
        self._optimizer.zero_grad(set_to_none=True)
        torch.autograd.backward(loss)
        clip = self._objective.recipe.clip_norm
        if clip:
            torch.nn.utils.clip_grad_norm_(self._parameters, clip)
        self._optimizer.step()
        share = self._average.share(step)
        if share:
            torch._foreach_lerp_(self._averaged, [parameter.detach() for parameter in self._parameters], share)
        return [(step, float(loss.detach()))]

    def _loss(self, step: int, images: torch.Tensor, targets: torch.Tensor, size_hw: tuple[int, int]) -> torch.Tensor:
        """Of one batch, all heads together; `images` are (N, 3, H, W), `targets` (N, H/4, W/4, C)."""
        assert self._tensors is not None
        objective = self._objective
        shown = {name: self._tensors[name] * mask for name, mask in self._masks.items()}
        generator = torch.Generator().manual_seed((objective.recipe.seed << 32) + step)  # a resumed run draws the same
        precision = objective.recipe.precision
        ops = TorchOps(self._tensors | shown, precision=precision, training=True, generator=generator)
        heads = logits(ops, images, objective.spec, size_hw, auxiliary=True)
        outputs = heads.built
        if self._teacher is not None and objective.teacher is not None:
            with torch.no_grad():
                answer = logits(TorchOps(self._teacher, precision=precision), images, objective.teacher.spec, size_hw).full
            outputs[0] = torch.cat([heads.full, answer], dim=1)
        weighed = zip(objective.losses, objective.recipe.cascade, outputs, strict=True)
        terms = (weight * loss.call(targets, output.permute(0, 2, 3, 1)) for loss, weight, output in weighed)
        return sum(terms, start=torch.zeros(()))

    def drain(self) -> Losses:
        return []

    def _read(self) -> None:
        """Take the state from the Keras variables."""
        objective, optimizer = self._objective, self._objective.optimizer
        self._tensors = {name: to_torch(name, part.read()) for name, part in self._variables.items()}
        self._masks = {name: to_torch(name, mask) for name, mask in masks(objective.network, objective.spec).items()}
        self._parameters = [self._tensors[name].requires_grad_() for name in self._learnt]
        self._averaged = self._like_weights(self._average.values)
        groups: dict[tuple[float, float], list[torch.Tensor]] = {}
        for parameter, name, rate in zip(self._parameters, self._learnt, objective.rates, strict=True):
            # Keras takes the same share of every kernel away, whatever its rate.
            share = objective.recipe.weight_decay / rate if name.endswith("/kernel") and rate else 0.0
            groups.setdefault((float(rate), share), []).append(parameter)
        self._optimizer = torch.optim.AdamW(
            [{"params": params, "rate": rate, "weight_decay": share} for (rate, share), params in groups.items()],
            betas=(optimizer.beta_1, optimizer.beta_2),
            eps=optimizer.epsilon,
            fused=True,
        )
        done = float(keras.ops.convert_to_numpy(optimizer.iterations))
        # Keras tells these by private names only; the optimizer's own list of variables gives no roles.
        moments = zip(*(self._like_weights(values) for values in (optimizer._momentums, optimizer._velocities)), strict=True)
        for parameter, (first, second) in zip(self._parameters, moments, strict=True):
            self._optimizer.state[parameter] = {"step": torch.tensor(done), "exp_avg": first, "exp_avg_sq": second}

    def _like_weights(self, values: list[keras.Variable]) -> list[torch.Tensor]:
        """Keras variables that belong to the learnt ones, in the same layout."""
        parts = (self._variables[name] for name in self._learnt)
        return [to_torch(name, part.read(value)) for name, part, value in zip(self._learnt, parts, values, strict=True)]

    def sync(self) -> None:
        if self._tensors is None:
            return
        for name, part in self._variables.items():
            part.write(from_torch(name, self._tensors[name]))
        optimizer = self._objective.optimizer
        states = [self._optimizer.state[parameter] for parameter in self._parameters]
        copies = [
            (optimizer._momentums, [state["exp_avg"] for state in states]),
            (optimizer._velocities, [state["exp_avg_sq"] for state in states]),
            (self._average.values, self._averaged),
        ]
        for values, tensors in copies:
            for value, name, tensor in zip(values, self._learnt, tensors, strict=True):
                self._variables[name].write(from_torch(name, tensor), value)
        optimizer.iterations.assign(int(states[0]["step"]))
        optimizer.learning_rate = self._rate
        self._tensors = None
