"""Are model files what they were made as? Bundled, pulled and any others, each compared with a digest beside or inside it."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from icnet.base.errors import ModelError
from icnet.hub.address import Address, is_address, parse_address
from icnet.hub.manifest import MANIFEST, digest, parse_manifest
from icnet.hub.pull import pull, pulled_models
from icnet.hub.signing import check_signature
from icnet.network import registry
from icnet.network.stored import find_digest, read_stored

State = Literal["good", "bad", "absent", "unknown"]
"""`absent`: does not come with this installation, which is no fault; `unknown`: there is nothing to compare with."""

_TABLE, _REINSTALL = "icnet's own table", "install icnet again"


@dataclass(frozen=True)
class Check:
    """One file, or the two of an OpenVINO model."""

    model: str
    """Name, address or folder that it belongs to."""
    file: str
    by: str
    """What it was compared with."""
    state: State
    advice: str = ""
    """What is wrong, and what to do."""


def verify_all() -> Iterator[Check]:
    """Every bundled model, and everything that was pulled."""
    for name in (*registry.SHA256, *registry.IR_SHA256):
        yield _bundled(name)
    for address, folder in pulled_models():
        yield from _folder(str(address), folder, advice=f"delete {folder.parents[1]} and pull it again")


def verify(model: str, public_key: Path | None = None) -> Iterator[Check]:
    """Check one model.

    Args:
        model: a bundled name; the address of a model that was pulled; a `.safetensors` or `.xml` file, with its digest inside or
            in `FILE.sha256` as `sha256sum` writes it; or a folder with the manifest of `icnet push`.
        public_key: also check the signature of a folder or of an address, of which everything is pulled for that.

    Raises:
        ModelError: there is no such model, or a file has no signature of its own.
        UsageError: the key cannot be used, or a package is missing.
    """
    path = Path(model)
    if is_address(model):
        address = parse_address(model)
        if public_key is not None:
            address = pull(model, whole=True).address
        yield from _pulled(address, public_key)
    elif path.is_dir():
        yield from _folder(model, path, advice="get it again from where it came", public_key=public_key)
    elif public_key is not None:
        raise ModelError(f"{model} has no signature of its own: give a folder made by `icnet push`, or hf://USER/NAME")
    elif path.suffix in (".safetensors", ".xml"):
        yield _file(path)
    else:
        if model not in registry.IR_SHA256:
            registry.bundled_path(model)  # which says what names there are
        yield _bundled(model)


def _bundled(name: str) -> Check:
    is_ir = name in registry.IR_SHA256
    path = registry.FOLDER / f"{name}{'.xml' if is_ir else '.safetensors'}"
    expected = (registry.IR_SHA256 if is_ir else registry.SHA256)[name]
    if not path.exists():
        return Check(name, path.name, _TABLE, "absent", "does not come with this installation")
    try:
        good = read_stored(path).sha256 == expected
    except ModelError as error:
        return Check(name, path.name, _TABLE, "bad", f"{error}; {_REINSTALL}")
    return Check(name, path.name, _TABLE, "good" if good else "bad", "" if good else _REINSTALL)


def _pulled(address: Address, public_key: Path | None) -> Iterator[Check]:
    found = [
        (each, folder)
        for each, folder in pulled_models()
        if each.repo == address.repo and address.revision in (None, each.revision)
    ]
    if not found:
        raise ModelError(f"{address} was not pulled to this machine: give its commit as `icnet info` prints it, or use it once")
    for each, folder in found:
        yield from _folder(str(each), folder, advice=f"delete {folder.parents[1]} and pull it again", public_key=public_key)


def _folder(model: str, folder: Path, *, advice: str, public_key: Path | None = None) -> Iterator[Check]:
    """The files of a manifest that are there, and the signature."""
    path = folder / MANIFEST
    if not path.is_file():
        raise ModelError(f"{model} holds no {MANIFEST}: give a folder made by `icnet push`, or a .safetensors or .xml file")
    try:
        manifest = parse_manifest(path.read_bytes(), model)
    except ModelError as error:
        yield Check(model, MANIFEST, "itself", "bad", str(error))
        return
    for name, entry in manifest.files.items():
        if (folder / name).is_file():  # of what was pulled only some
            good = digest(folder / name) == entry.sha256
            yield Check(model, name, MANIFEST, "good" if good else "bad", "" if good else advice)
    if public_key is not None:
        try:
            check_signature(folder, public_key)
        except ModelError as error:
            yield Check(model, "all files", f"signature, {public_key.name}", "bad", f"{error}; do not use it")
        else:
            yield Check(model, "all files", f"signature, {public_key.name}", "good")


def _file(path: Path) -> Check:
    """A file by itself: the digest beside it, the one inside, or that of the bundled model with its name."""
    beside = path.with_name(f"{path.name}.sha256")
    if beside.is_file():
        words = beside.read_text(encoding="utf-8", errors="replace").split()
        good = path.is_file() and bool(words) and digest(path) == words[0].lower()
        return Check(str(path), path.name, beside.name, "good" if good else "bad", "" if good else "get it again")
    try:
        stored = read_stored(path)
    except ModelError as error:
        if not path.is_file():
            raise
        return Check(str(path), path.name, "the digest inside", "bad", str(error))
    if find_digest(stored.data):
        return Check(str(path), path.name, "the digest inside", "good")
    known = {**registry.SHA256, **registry.IR_SHA256}
    if path.stem in known:
        good = stored.sha256 == known[path.stem]
        advice = "" if good else f"it is not {path.stem} of this version: get it again"
        return Check(str(path), path.name, _TABLE, "good" if good else "bad", advice)
    advice = "it holds no digest: it is foreign, or older than 0.6; compare it with what its maker states"
    return Check(str(path), path.name, "nothing", "unknown", advice)
