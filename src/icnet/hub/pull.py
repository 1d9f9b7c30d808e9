"""Pulling a model: into the cache folder, only the files that are needed, pinned to a commit, each compared with its digest."""

import logging
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from icnet.base.errors import ModelError, UsageError
from icnet.base.places import CACHE, cache_folder
from icnet.hub.address import Address, parse_address
from icnet.hub.client import Unreachable, endpoint, hub, talking
from icnet.hub.manifest import KINDS, LARGEST_TEXT, MANIFEST, SIGNATURE, Manifest, digest, parse_manifest, parts

_SECONDS = 10
"""How long the hub may take to answer."""


@dataclass(frozen=True)
class Pulled:
    """A model of a hub, on this machine."""

    address: Address
    """Pinned to the commit."""
    folder: Path
    """Where its files lie."""
    manifest: Manifest
    path: Path
    """The model file that was asked for."""


def pull(model: str, kinds: Iterable[str] = KINDS, *, whole: bool = False) -> Pulled:
    """Get a model, or what the cache holds of it if the hub cannot be reached.

    Args:
        model: its address.
        kinds: what it may be, the best first.
        whole: get every file, and the signature if there is one.

    Raises:
        ModelError: there is no such model, its files are not those of its manifest, or there is neither network nor cache.
        UsageError: huggingface_hub is missing, or there is no cache folder.
        OutputError: the cache cannot be written.
    """
    address = parse_address(model)
    source = _Source(address)
    data = source.get(MANIFEST, LARGEST_TEXT)
    manifest = parse_manifest(data.read_bytes(), address)
    name = manifest.choose(kinds, address.file, address)
    for each in manifest.files if whole else parts(name):
        entry = manifest.files[each]
        _check(source.get(each, entry.bytes), entry.sha256, source.address)
    if whole:
        with suppress(ModelError):  # it is not signed
            source.get(SIGNATURE, LARGEST_TEXT)
    return Pulled(source.address, data.parent, manifest, data.parent / name)


def _check(path: Path, expected: str, address: Address) -> None:
    found = digest(path)
    if found != expected:
        raise ModelError(
            f"{path.name} of {address} is not what its manifest says (SHA-256 {found[:12]}..., expected {expected[:12]}...): "
            f"delete {path.parents[2]} and try again; if it stays so, do not use this model"
        )


class _Source:
    """Files of one commit, from the cache or through it.

    Attributes:
        address: pinned as soon as a file has been got.
    """

    def __init__(self, address: Address) -> None:
        self.address, self._why = address, ""
        self._library, self._folder = hub(), models_folder()

    def get(self, name: str, most: int) -> Path:
        """A file, of `most` bytes at most."""
        try:
            with talking(self.address):
                path = Path(self._download(name, local_files_only=True)) if self._why else self._fetched(name, most)
        except Unreachable as error:
            if self._why:
                raise ModelError(
                    f"{self.address} cannot be reached ({self._why}), and {name} of it was not pulled before: try again online"
                ) from error
            self._why = str(error)
            path = self.get(name, most)
            logging.getLogger(__name__).warning(
                "icnet: using %s, pulled before: the hub cannot be reached (%s)", self.address, self._why
            )
            return path
        self.address = self.address.at(path.parent.name)  # all further files are of this commit
        return path

    def _fetched(self, name: str, most: int) -> Path:
        if self.address.is_pinned:  # what is there of a commit is as it was
            found = self._library.try_to_load_from_cache(
                self.address.repo, name, cache_dir=self._folder, revision=self.address.revision
            )
            if isinstance(found, str):
                return Path(found)
        url = self._library.hf_hub_url(self.address.repo, name, revision=self.address.revision, endpoint=endpoint())
        size = self._library.get_hf_file_metadata(url, timeout=_SECONDS, endpoint=endpoint()).size
        if size is None or size > most:
            raise ModelError(
                f"{name} of {self.address} has {size or 'untold'} bytes, and {most:,} are expected at most: not pulled"
            )
        return Path(self._download(name))

    def _download(self, name: str, *, local_files_only: bool = False) -> str:
        path: str = self._library.hf_hub_download(
            self.address.repo,
            name,
            revision=self.address.revision,
            cache_dir=self._folder,
            endpoint=endpoint(),
            etag_timeout=_SECONDS,
            local_files_only=local_files_only,
            library_name="icnet",
        )
        return path


def models_folder() -> Path:
    """Where pulled models lie.

    Raises:
        UsageError: nothing is kept on this machine.
    """
    folder = cache_folder()
    if folder is None:
        raise UsageError(f"models at hf:// are kept in the cache folder, and there is none: set {CACHE} to a folder, or unset it")
    return folder / "hub"


def pulled_models() -> Iterator[tuple[Address, Path]]:
    """Every model that was pulled: its address, pinned, and the folder of its files."""
    folder = cache_folder()
    for path in sorted((folder / "hub").glob(f"models--*--*/snapshots/*/{MANIFEST}")) if folder else ():
        _, user, name = path.parts[-4].split("--")
        yield Address(f"{user}/{name}", path.parent.name), path.parent
