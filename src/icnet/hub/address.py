"""The address of a model on a hub: `hf://USER/NAME[@REVISION][/FILE]`."""

import re
from dataclasses import dataclass, replace

from icnet.base.errors import ModelError

SCHEME = "hf://"
FORM = f"{SCHEME}USER/NAME[@REVISION]"

_NAME = r"[A-Za-z0-9][A-Za-z0-9._-]{0,95}"
_ADDRESS = re.compile(rf"{SCHEME}({_NAME}/{_NAME})(?:@({_NAME}))?(?:/({_NAME}))?")

_COMMIT = re.compile(r"[0-9a-f]{40}")


@dataclass(frozen=True)
class Address:
    """Where a model lies."""

    repo: str
    """`USER/NAME`."""
    revision: str | None = None
    """A branch, a tag or a whole commit hash; the main branch if not given."""
    file: str | None = None
    """One of its model files; the best fitting one if not given."""

    def __str__(self) -> str:
        revision = f"@{self.revision}" if self.revision else ""
        return f"{SCHEME}{self.repo}{revision}" + (f"/{self.file}" if self.file else "")

    @property
    def is_pinned(self) -> bool:
        """Whether it names a commit, which never changes."""
        return self.revision is not None and _COMMIT.fullmatch(self.revision) is not None

    def at(self, commit: str) -> "Address":
        """The same, pinned."""
        return replace(self, revision=commit)


def is_address(model: str) -> bool:
    """Whether it is meant as an address, and neither as a name nor as a path."""
    return "://" in model


def parse_address(model: str) -> Address:
    """Read an address.

    Raises:
        ModelError: it is none that models can come from.
    """
    if not model.startswith(SCHEME):
        raise ModelError(f"models do not come from {model.split('://')[0]}://: give a name, a path or {FORM}")
    found = _ADDRESS.fullmatch(model)
    if not found or ".." in model or "--" in found[1]:
        raise ModelError(f"{model} is no address of a model: expected {FORM}, such as {SCHEME}someone/street or @v1 behind it")
    return Address(*found.groups())
