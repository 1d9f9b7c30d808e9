"""Judging a reader by many damaged files, in processes of its own, so that a crash or a hang is noticed and names the file."""

import json
import queue
import random
import subprocess
import sys
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

HANG_S = 10.0


@dataclass(frozen=True)
class Verdict:
    """What a reader made of one file: `read`, `refused` with a typed error, or a fault."""

    path: str
    outcome: str
    said: str
    seconds: float


LOOP = """
import json, os, sys, time
from icnet.base.errors import InputError
real = os.dup(1)
os.dup2(2, 1)
for line in sys.stdin:
    path, start = line.rstrip("\\n"), time.perf_counter()
    try:
        outcome, said = "read", str(attempt(path))
    except InputError as error:
        outcome, said = "refused", str(error)
    except BaseException as error:
        outcome, said = "fault", f"{type(error).__name__}: {error}"
    if outcome == "refused" and "\\n" in said:
        outcome = "fault"
    os.write(real, (json.dumps([path, outcome, said, time.perf_counter() - start]) + "\\n").encode())
"""


def judge(paths: Sequence[Path], code: str, *, hang_s: float = HANG_S) -> list[Verdict]:
    """Let `code`, which defines `attempt(path)`, read every file; a new process follows one that crashed or hung."""
    verdicts: list[Verdict] = []
    left = [str(path) for path in paths]
    while left:
        command = [sys.executable, "-X", "faulthandler", "-c", code + LOOP]
        with subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
        ) as child:
            answers: queue.Queue[str] = queue.Queue()
            reader = threading.Thread(target=_forward, args=(child.stdout, answers), daemon=True)
            reader.start()
            first = True
            while left:
                try:
                    child.stdin.write(left[0] + "\n")
                    child.stdin.flush()
                    answer = answers.get(timeout=hang_s + (30 if first else 0))  # the first one waits for the imports, too
                except (queue.Empty, BrokenPipeError):
                    answer = None
                first = False
                if not answer:
                    said = "no answer" if answer is None and child.poll() is None else f"exit {child.wait(5)}"
                    verdicts.append(Verdict(left.pop(0), "hang" if said == "no answer" else "crash", said, hang_s))
                    child.kill()
                    break
                verdicts.append(Verdict(*json.loads(answer)))
                left.pop(0)
            child.stdin.close()
    return verdicts


def _forward(lines, answers: queue.Queue) -> None:
    for line in lines:
        answers.put(line)
    answers.put("")


def mutated(data: bytes, seed: int) -> bytes:
    """A damaged copy; the same for the same seed."""
    generator, bad = random.Random(seed), bytearray(data)
    kind = generator.choice(["cut", "flip", "flip", "flip", "blank", "swap", "repeat", "head", "tail", "empty"])
    place = generator.randrange(len(bad))
    size = generator.randint(1, max(1, len(bad) // 10))
    if kind == "cut":
        del bad[place:]
    elif kind == "flip":
        for _ in range(2 ** generator.randint(0, 8)):
            # half of the hits go to the head, where sizes and counts are
            where = generator.randrange(min(len(bad), 400)) if generator.random() < 0.5 else generator.randrange(len(bad))
            bad[where] ^= 1 << generator.randrange(8)
    elif kind == "blank":
        bad[place : place + size] = bytes([generator.choice([0, 255])]) * min(size, len(bad) - place)
    elif kind == "swap":
        other = generator.randrange(len(bad))
        bad[place : place + size], bad[other : other + size] = bad[other : other + size], bad[place : place + size]
    elif kind == "repeat":
        bad[place:place] = bad[place : place + size]
    elif kind == "head":
        bad[: generator.randint(1, 64)] = generator.randbytes(generator.randint(1, 64))
    elif kind == "tail":
        bad += generator.randbytes(size)
    else:
        bad.clear()
    return bytes(bad)
