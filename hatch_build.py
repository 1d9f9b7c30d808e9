"""Builds the C kernels of `icnet.runtime` with the package where there is a C compiler; without one, NumPy does their work."""

import hashlib
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

SOURCE = "src/icnet/runtime/kernels.c"
FLAGS = ("-O3", "-fno-math-errno", "-fno-trapping-math", "-shared", "-fPIC")


class KernelHook(BuildHookInterface):
    """Compiles `SOURCE` beside itself and adds the library to the wheel."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Called by Hatchling before it builds; `version` is `editable` or `standard`."""
        compiler = os.environ.get("CC") or next(filter(shutil.which, ("cc", "gcc", "clang")), None)
        if self.target_name != "wheel" or not compiler:
            return
        source = Path(self.root, SOURCE)
        library = source.with_name("_kernels.dll" if sys.platform == "win32" else "_kernels.so")
        temporary = library.with_name(f"{library.stem}.{os.getpid()}.part")
        digest = hashlib.sha256(source.read_bytes()).hexdigest()
        command = [*compiler.split(), *FLAGS, f'-DSOURCE_SHA256="{digest}"', "-o", str(temporary), str(source), "-lm"]
        try:
            subprocess.run(command, check=True)
            temporary.replace(library)  # a process that has the old one open keeps it
        except (OSError, subprocess.CalledProcessError) as error:
            self.app.display_warning(f"the kernels are not compiled, decoding will be slower: {error}")
            return
        finally:
            temporary.unlink(missing_ok=True)
        build_data["pure_python"], build_data["infer_tag"] = False, True
        build_data["artifacts"].append(f"/{library.relative_to(self.root).as_posix()}")
