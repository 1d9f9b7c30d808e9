"""Pushing a folder made by `icnet.deploy.package`: one commit that holds the whole model, or none."""

from pathlib import Path

from icnet.base.errors import OutputError, UsageError
from icnet.hub.address import FORM, Address, parse_address
from icnet.hub.client import Unreachable, endpoint, hub, talking
from icnet.hub.manifest import MANIFEST, SIGNATURE

_OURS = (".safetensors", ".xml", ".bin")


def target(model: str) -> Address:
    """Where a model can be pushed to.

    Raises:
        ModelError: it is no address.
        UsageError: it names a revision or a file, or huggingface_hub is missing.
    """
    address = parse_address(model)
    if address.revision or address.file:
        raise UsageError(f"{model} says more than where to push to: give {FORM.split('[')[0]}; the commit is told afterwards")
    hub()
    return address


def push(folder: Path, address: Address, *, private: bool = False) -> Address:
    """Upload a folder; the repository is made if there is none.

    What an earlier push left that this one does not have is removed.

    Args:
        folder: with a manifest.
        address: see `target`.
        private: make a new repository that others cannot see.

    Returns:
        The address, pinned to the new commit.

    Raises:
        OutputError: the hub cannot be reached.
        ModelError: it refuses.
        UsageError: the repository holds something else than a model of this project.
    """
    library = hub()
    api = library.HfApi(endpoint=endpoint(), library_name="icnet")
    names = {path.name for path in folder.iterdir()}
    try:
        with talking(address):
            api.create_repo(address.repo, exist_ok=True, private=private)
            info = api.model_info(address.repo)
            there = {sibling.rfilename for sibling in info.siblings or ()}
            if MANIFEST not in there and there - {".gitattributes", "README.md"}:
                raise UsageError(f"{address} holds something else than a model of icnet: choose another name")
            stale = {name for name in there - names if name.endswith(_OURS) or name == SIGNATURE}
            operations = [library.CommitOperationAdd(name, str(folder / name)) for name in sorted(names)]
            operations += [library.CommitOperationDelete(name) for name in sorted(stale)]
            done = api.create_commit(
                address.repo, operations, commit_message=f"Push {folder.name}", parent_commit=info.sha, num_threads=1
            )
    except Unreachable as error:
        raise OutputError(f"cannot push to {address}: {error}; try again when it can be reached") from error
    return address.at(done.oid)
