"""What is done when a run has ended: its temperature, its report and its model card."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

from icnet.base.files import sole_writer, write_bytes
from icnet.evaluation.accuracy import Evaluation, evaluate
from icnet.evaluation.interval import miou_interval
from icnet.evaluation.report import Contents, model_rows, write_report
from icnet.evaluation.temperature import recalibrated
from icnet.evaluation.worst import worst
from icnet.network.weights import Weights, load_weights, save_weights
from icnet.training.learner import Learner
from icnet.training.log import CSV
from icnet.training.trainer import BEST

REPORT, CARD = "report.html", "README.md"
"""Names of the files in a run's folder."""


def finish(learner: Learner, folder: Path, *, data: str, terms: str) -> Evaluation:
    """Calibrate the best weights of a run on val, score them once more, and write report and model card.

    Args:
        learner: of the run.
        folder: of the run; it has best weights.
        data: what it learnt from, in words.
        terms: on which the weights may be passed on, in words.

    Raises:
        OutputError: a file cannot be written.
        UsageError: another process is at work in the folder.
    """
    names = [f"compact-{BEST}", BEST]
    with sole_writer(folder, [REPORT, CARD, *names]):
        best = load_weights(folder / BEST)
        weights = recalibrated(best, learner.val, learner.network(best))
        for name in names:
            if (folder / name).exists():
                save_weights(folder / name, replace(load_weights(folder / name), about=weights.about))
        network = learner.network(weights)
        result = evaluate((learner.val[index] for index in range(len(learner.val))), network)
        title = f"{learner.spec.name} on {data}"
        pictures = worst(learner.val, network, result)
        write_report(folder / REPORT, result, Contents(title, model_rows(str(folder / BEST)), pictures, folder / CSV))
        write_bytes(folder / CARD, model_card(learner, weights, result, data=data, terms=terms).encode())
    return result


def model_card(learner: Learner, weights: Weights, result: Evaluation, *, data: str, terms: str) -> str:
    """Text in Markdown: what the model is, what it learnt from, how good it is and on which terms it may be passed on."""
    about, scores, interval = weights.about, result.scores, miou_interval(result.tally)
    height, width = learner.spec.size_hw
    counts, tally = learner.counts, result.tally
    lines = [
        f"# {learner.spec.name}, trained on {_plain(data)}",
        "",
        f"Semantic segmentation at {height}x{width} (height x width), by `icnet train`. [report.html](report.html) has more.",
        "",
        "## Data",
        "",
        f"{len(learner.train)} pictures to learn from, {len(learner.val)} to validate on, of {_plain(data)}. The validation "
        "pictures chose the best weights and their temperature, so expect a little less of new ones.",
        "",
        "| class | share of the pixels learnt from | IoU | pictures of val that have it |",
        "|---|---|---|---|",
    ]
    for place, index in enumerate(result.classes.scored):
        name = result.classes.names[index]
        seen = int((tally.truth[:, place] > 0).sum())
        iou = "not there" if name in scores.absent else f"{100 * scores.iou[name]:.2f} %"
        lines.append(f"| {_plain(name)} | {100 * counts[index] / max(1, counts.sum()):.3f} % | {iou} | {seen} |")
    ends = f"{100 * interval.low:.2f} to {100 * interval.high:.2f} % over {interval.units} {interval.over}"
    lines += ["", "## Accuracy on val", "", "| | |", "|---|---|"]
    lines += [f"| mIoU, strict | {100 * scores.miou_strict:.2f} % (95 % interval {ends}) |"]
    lines += [f"| mIoU, Open Model Zoo's rule | {100 * scores.miou_omz:.2f} % |"] if scores.miou_omz is not None else []
    lines += [
        f"| boundary mIoU | {100 * result.boundary_miou:.2f} % |",
        f"| pixel accuracy | {100 * scores.pixel_accuracy:.2f} % |",
    ]
    lines += [f"| calibration error (ECE) | {100 * result.reliability.error:.2f} % |"] if result.reliability else []
    lines += [f"| temperature | {about['temperature']} |", f"| after | {about['step']} steps, {about['minutes']} minutes |"]
    recipe = json.dumps(_told(about), indent=1, sort_keys=True)
    return "\n".join([*lines, "", "## Terms", "", terms, "", "## Recipe", "", "```json", recipe, "```", ""])


def _told(about: dict[str, Any]) -> dict[str, Any]:
    return {key: about[key] for key in ("recipe", "history") if about.get(key)}


def _plain(text: str) -> str:
    """Without what means something in Markdown."""
    return "".join(f"\\{sign}" if sign in "\\`*_[]<>|#" else sign for sign in text)
