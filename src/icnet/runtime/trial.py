"""A model from elsewhere runs in a process of its own first: some files make OpenVINO crash, or take all the memory there is.

`python -m icnet.runtime.trial PATH SIZE` reads an `.xml` of so many bytes from its standard input, and the `.bin` behind it.
"""

import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import numpy as np

from icnet.base.child import child
from icnet.base.errors import ModelError
from icnet.network.stored import Stored
from icnet.runtime.cache import mark_of

_REFUSED = 3
"""Exit code of a trial that has printed why the model cannot be used."""

_SECONDS = 300
"""For the whole trial; networks of this project take one or two."""


def try_out(stored: Stored) -> None:
    """Read, compile and run a model once; one that went well is remembered in the cache folder.

    Raises:
        ModelError: it cannot be used, or its trial died.
    """
    mark = mark_of(stored.sha256)
    if mark is not None and mark.is_file():
        return
    command, environment = child("icnet.runtime.trial")
    try:
        done = subprocess.run(
            [*command, str(stored.path), str(len(stored.data))],
            input=stored.data + stored.binary,
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            timeout=_SECONDS,
        )
    except subprocess.TimeoutExpired:
        raise ModelError(f"{stored.path} takes more than {_SECONDS} s for one picture: export it again") from None
    except OSError as error:
        raise ModelError(f"cannot try {stored.path}: no process can be started ({error.strerror or error}); try again") from error
    if done.returncode:
        text = done.stdout.decode("utf-8", "replace") if done.returncode == _REFUSED else ""
        raise ModelError(text or f"{stored.path} makes OpenVINO crash, or takes too much memory: export it again")
    if mark is not None:
        with suppress(OSError):  # it is tried once more next time
            mark.touch()


def main() -> None:
    """Try the model that comes through standard input."""
    from icnet.runtime.core import core
    from icnet.runtime.engine import with_bytes
    from icnet.runtime.ir import check_contract, parsed_ir

    path, size = Path(sys.argv[1]), int(sys.argv[2])
    content = sys.stdin.buffer.read()
    try:
        network = parsed_ir(Stored(path, content[:size], content[size:]))
        _, size_hw = check_contract(network, path)
        compiled = core().compile_model(with_bytes(network), "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
        compiled(np.zeros((1, *size_hw, 3), np.uint8))
    except ModelError as error:
        text = str(error)
    except (RuntimeError, MemoryError) as error:
        text = f"{path} cannot be run by OpenVINO ({last_line(error)}): export it again"
    else:
        return
    sys.stdout.buffer.write(text.encode("utf-8", "replace"))
    sys.stdout.flush()
    sys.exit(_REFUSED)


def last_line(error: BaseException) -> str:
    """What OpenVINO says at the end of a long text, or what the error is."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[-1] if lines else type(error).__name__


if __name__ == "__main__":
    main()
