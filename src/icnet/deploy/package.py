"""A model as a folder that can be passed on: weights, OpenVINO models, classes, card, manifest, and a signature if asked for."""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from icnet.base.errors import ModelError, UsageError
from icnet.base.files import write_bytes
from icnet.deploy import omz
from icnet.deploy.card import model_card
from icnet.deploy.licence import LICENCES, decide
from icnet.deploy.openvino import MAX_CHANGED, changed_share, described, save_ir
from icnet.deploy.quantize import Quantized
from icnet.evaluation.accuracy import predict
from icnet.hub.address import Address, is_address
from icnet.hub.manifest import MANIFEST, describe
from icnet.hub.signing import sign
from icnet.network.openvino_model import OUTPUTS, openvino_model
from icnet.network.registry import bundled_path, is_ir, read_model
from icnet.network.stored import read_stored
from icnet.network.weights import Weights, load_weights, save_weights
from icnet.runtime.engine import Engine
from icnet.runtime.facts import model_facts

BEST = "best.safetensors"

MAX_CHANGED_INT8 = 0.1
"""Share of the pixels whose class eight bits may change: more is another network's model."""


@dataclass(frozen=True)
class Source:
    """What is passed on."""

    path: Path
    """The weight file."""
    weights: Weights
    int8: Path | None
    """The `.xml` of the same network in eight bits, if there is one."""


def find_source(run: str) -> Source:
    """Find a run's weights, and its model in eight bits: `<weights>-int8.xml` beside them, or what an export left in the run.

    Args:
        run: its folder, a `.safetensors` file or a published name.

    Raises:
        ModelError: there are none, or they are damaged.
        UsageError: they were not trained, or come from a hub.
    """
    if is_address(run) or is_ir(run):
        raise UsageError(f"{run} cannot be pushed: give the folder of a run, a .safetensors file or a published name")
    path, exported = Path(run), list[Path]()
    if path.is_dir():
        exported = sorted(path.rglob("FP16-INT8/*-logits.xml"))
        path = path / BEST
        if not path.is_file():
            raise ModelError(f"{run} holds no {BEST}: give the folder of a run of `icnet train`, or a .safetensors file")
    elif path.suffix != ".safetensors":
        path = bundled_path(run)
        read_model(run)  # which compares its digest
    weights = load_weights(path)
    if not weights.about.get("trained", True):
        raise UsageError(f"{path} was not trained: give the weights of a run, such as runs/NAME/{BEST}")
    omz.check_name(weights.spec.name)
    int8 = [xml for xml in (path.with_name(f"{path.stem}-int8.xml"), *exported) if xml.is_file()]
    return Source(path, weights, int8[0] if int8 else None)


def package(
    source: Source,
    folder: Path,
    address: Address,
    frames: Sequence[np.ndarray],
    *,
    licence: str | None = None,
    quantized: Quantized | None = None,
    key: Path | None = None,
    report: Callable[[str], None] = lambda text: None,
) -> None:
    """Fill a folder.

    Args:
        source: what to pass on.
        folder: empty.
        address: where it goes, for the card.
        frames: (H, W, 3) uint8 BGR images, on which every OpenVINO model is compared with the weights.
        licence: identifier of the terms, where the weights do not tell them.
        quantized: the network in eight bits, in place of the source's.
        key: private key to sign with.
        report: told in a few words what is being done.

    Raises:
        UsageError: the terms are unknown or contradict the weights', or a package is missing.
        ModelError: an OpenVINO model gives other classes than the weights.
        OutputError: a file cannot be written.
    """
    terms = decide(source.weights.about, licence)
    name = source.weights.spec.name
    weights, models = _write_weights(source, folder / f"{name}.safetensors", terms), {"weights": f"{name}.safetensors"}
    reference = Engine(folder / models["weights"])
    expected = [predict(reference, frame, reference.size_hw) for frame in frames]

    def compared(kind: str, allowed: float) -> None:
        changed = changed_share(Engine(folder / models[kind]), frames, expected)
        if not changed <= allowed:
            advice = "; export it anew from these weights" if kind == "int8" else ""
            raise ModelError(
                f"the {kind} model changes the class of {changed:.2%} of the pixels, at most {allowed:.1%} is allowed: "
                f"nothing was pushed{advice}"
            )

    if quantized is not None or source.int8 is not None:
        report("comparing int8")
        models["int8"] = f"{name}-int8.xml"
        _write_int8(source, weights, quantized, folder / models["int8"])
        compared("int8", MAX_CHANGED_INT8)
    for output in OUTPUTS:
        report(f"writing and comparing {output}")
        models[output] = f"{name}-{output}.xml"
        model = openvino_model(weights, output=output, half=True)
        save_ir(model, folder / models[output], described(weights), weights.spec.classes)
        compared(output, MAX_CHANGED)
    _write_text(folder / "classes.json", json.dumps(weights.spec.classes.to_dict(), indent=2) + "\n")
    facts = model_facts(str(folder / models["weights"]))
    card = model_card(weights, facts, describe(folder, name, models), terms, address)
    _write_text(folder / "README.md", card)
    _write_text(folder / MANIFEST, describe(folder, name, models).to_json())
    if key is not None:
        sign(folder, key)


def _write_weights(source: Source, path: Path, licence: str) -> Weights:
    """The source's own bytes if they tell their terms, else with these added."""
    about = source.weights.about
    if "licence" in about:
        write_bytes(path, read_stored(source.path).data)
        return source.weights
    text, url = LICENCES.get(licence, (licence, None))
    weights = replace(source.weights, about=about | {"licence": text} | ({"licence_url": url} if url else {}))
    save_weights(path, weights)
    return weights


def _write_int8(source: Source, weights: Weights, quantized: Quantized | None, path: Path) -> None:
    if quantized is not None:
        save_ir(quantized.model, path, described(weights, quantized), weights.spec.classes)
    elif source.int8 is not None:
        stored = read_stored(source.int8)
        write_bytes(path, stored.data)
        write_bytes(path.with_suffix(".bin"), stored.binary)


def _write_text(path: Path, text: str) -> None:
    write_bytes(path, text.encode())
