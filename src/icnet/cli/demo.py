"""`icnet demo`: a synthetic street drive, segmented."""

from __future__ import annotations

import time
from collections.abc import Sequence
from contextlib import closing
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from icnet.base.spec import DEFAULT_MODEL

if TYPE_CHECKING:
    from icnet.data.sample import Dataset
    from icnet.media.stats import Tally
    from icnet.runtime.segmenter import Segmenter
