"""Asking every backend for the same bits from the same input."""

import os

import keras


def make_deterministic() -> None:
    """From now on this process computes the same bits from the same input, which may be slower.

    Call it before anything is computed, that is before a `Trainer` is made: JAX reads its options only once. It holds for
    the same versions on the same kind of machine with the same number of threads; in another place sums are formed in
    another order.
    """
    match keras.backend.backend():
        case "tensorflow":
            import tensorflow

            tensorflow.config.experimental.enable_op_determinism()
        case "jax":
            # Also turns off autotuning, which would choose other kernels in the next process.
            _append("XLA_FLAGS", "--xla_gpu_deterministic_ops=true")
        case "torch":
            import torch

            os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # else cuBLAS refuses
            torch.backends.cudnn.benchmark = False
            torch.use_deterministic_algorithms(True)


def _append(variable: str, option: str) -> None:
    given = os.environ.get(variable, "").split()
    if option not in given:
        os.environ[variable] = " ".join([*given, option])
