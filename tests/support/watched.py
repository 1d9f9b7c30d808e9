"""`python watched.py LOG DATA VERB...`: runs commands as users do, on tiny networks, and notes whom the process talks to.

What the interpreter does is seen by an audit hook, also in processes that are forked off.
"""

import os
import signal
import sys
from contextlib import nullcontext
from pathlib import Path
from unittest.mock import patch

HUB = "hf://me/tiny"
LOG = Path(sys.argv[1])
TALK = {"socket.getaddrinfo", "socket.gethostbyname", "socket.gethostbyaddr", "socket.connect", "socket.sendto", "socket.sendmsg"}


def note(event: str, arguments: tuple) -> None:
    if event in TALK and not str(arguments[-1]).startswith("/"):
        with LOG.open("a") as file:
            file.write(f"{event} {arguments}\n")


sys.addaudithook(note)


def commands(data: str) -> dict[str, list[str]]:
    """A short run of each verb."""
    train = ["--model", "tiny", "--batch-size", "2", "--crop", "64x96", "--epochs", "1", "--out", "run"]
    return {
        "info": ["info", "tiny.safetensors"],
        "segment": ["segment", f"{data}/val/0.png", "-o", "out", "--model", "tiny.safetensors", "--stats", "shares.parquet"],
        "demo": ["demo", "-o", "demo", "--model", "tiny.safetensors", "--seconds", "0.2"],
        "serve": ["serve", "--model", "tiny.safetensors", "--port", "0", "--grpc-port", "0"],
        "evaluate": ["evaluate", "--data", data, "--model", "tiny.safetensors", "--engine", "keras"],
        "train": ["train", "--data", data, *train],
        "export": ["export", "tiny.safetensors", "-o", "models", "--data", data, "--precision", "int8", "--max-drop", "100"],
        "verify": ["verify"],
        "doctor": ["doctor"],
        "push": ["push", "run", HUB, "--licence", "mit"],
        "benchmark": ["benchmark", "--rounds", "1"],
    }


def short(frame, options, report):
    """The entries of the benchmark that need other libraries, on a tiny network."""
    from tiny_network import SMALL

    from icnet.measure import benchmark
    from icnet.network.weights import random_weights

    weights, data = random_weights(SMALL), frame[None, :64, :96].astype("float32")
    benchmark._int8(weights, data)
    call = benchmark._onnx_request(weights, data, 1)
    return [benchmark.Entry("dense fp32", "", call, SMALL)], {}


def end(addresses) -> None:
    os.kill(os.getpid(), signal.SIGTERM)


def main() -> None:
    """Every verb in turn."""
    from hub_server import hub_server
    from tiny_network import TINY

    from icnet import cli
    from icnet.measure import benchmark
    from icnet.network import spec
    from icnet.training import recipe

    for verb in sys.argv[3:]:
        presets = patch.dict(spec.PRESETS, tiny=TINY), patch.dict(recipe.RECIPES, tiny=recipe.Recipe())
        with (
            presets[0],
            presets[1],
            patch.object(benchmark, "_entries", short),
            patch.object(sys.modules["icnet.cli.serve"], "_tell", end),
            hub_server() if verb == "push" else nullcontext(),
        ):
            code = cli.run(commands(sys.argv[2])[verb]) or (cli.run(["info", HUB]) if verb == "push" else 0)
        assert code == 0, (verb, code)


if __name__ == "__main__":
    main()
