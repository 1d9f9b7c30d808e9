"""The files of a source, looked through once."""

import os
import re
from collections.abc import Iterator
from functools import cached_property
from pathlib import Path, PurePosixPath

from icnet.base.errors import DataError
from icnet.base.folders import walk

PICTURES = frozenset({".png", ".jpg", ".jpeg", ".webp", ".bmp", ".tif", ".tiff", ".avif", ".heic", ".heif"})
"""Suffixes of pictures; what a file holds is seen when it is read."""

IMAGES = ("images", "image", "imgs", "img", "pictures", "photos", "rgb")
"""Names of folders of pictures; the first one is ours."""

_SPLITS = {
    "train": "train",
    "training": "train",
    "trn": "train",
    "val": "val",
    "valid": "val",
    "validation": "val",
    "dev": "val",
    "test": "test",
    "testing": "test",
}

_MOST_FILES = 2_000_000


def split_of(text: str) -> str | None:
    """The split that a file or folder name tells, such as `instances_val2017`; None if it tells none."""
    words = (word.rstrip("0123456789") for word in re.split(r"[^a-z0-9]+", text.casefold()))
    return next((_SPLITS[word] for word in words if word in _SPLITS), None)


class Tree:
    """A folder, or a single file in one, and another folder in which pictures may lie."""

    def __init__(self, root: Path, pictures: Path | None = None) -> None:
        """Look through it; a folder that holds nothing but another one stands for that one.

        Raises:
            DataError: it cannot be read, is empty, or has millions of files.
        """
        single = root.is_file()
        self.root = root.parent if single else _inner(root)
        self.files: tuple[str, ...] = (root.name,) if single else tuple(_files(self.root))
        """Names below the root, with `/`, sorted by folder."""
        if not self.files:
            raise DataError(f"{root} holds no files that can be read: expected labelled pictures")
        self._extra = pictures
        self.folders = frozenset(parent.as_posix() for name in self.files for parent in PurePosixPath(name).parents)

    def path(self, name: str) -> Path:
        """The place of a file of `files`."""
        return self.root / name

    def matching(self, pattern: str) -> list[str]:
        """The files whose whole name matches a regular expression, in any case."""
        compiled = re.compile(pattern, re.IGNORECASE)
        return [name for name in self.files if compiled.fullmatch(name)]

    def pictures(self, folder: str = "") -> Iterator[str]:
        """Names of the files below a folder that have a picture's suffix."""
        start = f"{folder}/" if folder not in ("", ".") else ""
        return (name for name in self.files if name.startswith(start) and is_picture(name))

    @cached_property
    def _places(self) -> dict[str, list[tuple[PurePosixPath, Path]]]:
        """All pictures by their last name without suffix: where they lie, below the root or the other folder."""
        places: dict[str, list[tuple[PurePosixPath, Path]]] = {}
        roots = [(self.root, self.pictures())]
        if self._extra is not None:
            roots.insert(0, (self._extra, (name for name in _files(self._extra) if is_picture(name))))
        for root, names in roots:
            for path in map(PurePosixPath, names):
                places.setdefault(path.stem, []).append((path, root / path))
        return places

    def find(self, name: str, *near: str, but_not: str = "") -> Path | None:
        """The picture that a list or a document names.

        Args:
            name: a path with `/`, of whatever machine, with a suffix or not; the longest part of its end that fits decides.
            near: words of which the path should have some, such as its split, if several pictures fit as well.
            but_not: a folder below the root in which it is not, such as that of the masks.
        """
        wanted = PurePosixPath(name.replace("\\", "/"))
        stem = wanted.stem if is_picture(name) else wanted.name
        places = self._places.get(stem, [])
        if but_not:
            places = [each for each in places if not each[1].is_relative_to(self.root / but_not)]

        def fit(place: PurePosixPath) -> tuple[int, bool, int]:
            pairs = zip(reversed(place.parts[:-1]), reversed(wanted.parts[:-1]), strict=False)
            same = next((count for count, (one, other) in enumerate(pairs) if one != other), 99)
            return same, place.name == wanted.name, sum(word in (split_of(part) for part in place.parts[:-1]) for word in near)

        best = max(places, key=lambda each: fit(each[0]), default=None)
        return None if best is None else best[1]

    def name_of(self, picture: Path) -> str:
        """A picture's path below the root, or below the other folder, without suffix and folders called images."""
        root = next(root for root in (self._extra, self.root) if root is not None and picture.is_relative_to(root))
        parts = picture.relative_to(root).parts
        return without_suffix("/".join([part for part in parts[:-1] if part.lower() not in IMAGES] + [parts[-1]]))

    def find_stem(self, folder: str, stem: str) -> Path | None:
        """The picture of a folder below the root by its name without suffix."""
        return self._stems.get(f"{folder}/{stem}")

    @cached_property
    def _stems(self) -> dict[str, Path]:
        return {without_suffix(name): self.path(name) for name in self.pictures()}


def is_picture(name: str) -> bool:
    """Whether a file's name is that of a picture."""
    return PurePosixPath(name).suffix.lower() in PICTURES


def without_suffix(name: str) -> str:
    """A file's name without the suffix, with its folders."""
    return PurePosixPath(name).with_suffix("").as_posix()


def _inner(root: Path) -> Path:
    """The folder itself, or what it holds if that is one folder and nothing else, as archives have it."""
    for _ in range(8):
        try:
            entries = [entry for entry in os.scandir(root) if not entry.name.startswith((".", "__MACOSX"))]
        except OSError as error:
            raise DataError(
                f"cannot read {root}: {error.strerror or error}; expected a folder or an archive of labelled pictures"
            ) from error
        if len(entries) != 1 or not entries[0].is_dir():
            break
        root = Path(entries[0].path)
    return root


def _files(root: Path) -> Iterator[str]:
    count = 0
    for folder, names in walk(str(root)):
        start = PurePosixPath(Path(folder).relative_to(root).as_posix())
        if "__MACOSX" in start.parts:
            continue
        for name in names:
            count += 1
            if count > _MOST_FILES:
                raise DataError(f"{root} has more than {_MOST_FILES:,} files: give the folder of one set of labelled pictures")
            yield (start / name).as_posix()
