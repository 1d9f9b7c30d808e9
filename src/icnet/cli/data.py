"""`icnet data`: labelled pictures of other tools, taken over and checked."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from icnet.network.spec import DEFAULT_MODEL

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from icnet.data.checks.check import Checked
    from icnet.data.formats.source import Fault
    from icnet.data.intake.importing import Imported

data = typer.Typer(help="Take over labelled pictures of other tools, and check them.", no_args_is_help=True)

Classes = Annotated[
    Path | None, typer.Option(help="A classes.yaml that says which classes are wanted: renamed, merged, ordered, left out.")
]
Images = Annotated[Path | None, typer.Option(help="A folder in which the pictures lie, for exports that come without them.")]
Format = Annotated[
    str | None, typer.Option(help="folders, lists, coco, cityscapes, voc, yolo or label-studio; found by looking if not given.")
]

_LABELLED = "labelled, of all pixels"


def _share(text: str) -> float:
    match = re.fullmatch(r"\s*(\d+(?:\.\d*)?|\.\d+)\s*(%?)\s*", text)
    if not match:
        raise typer.BadParameter(f"{text!r} is no share of the pictures: write such as 20%")
    return float(match[1]) / (100 if match[2] else 1)


@data.command("import")
def import_(
    source: Annotated[Path, typer.Argument(help="A folder, a zip or tar archive, or a JSON document of labelled pictures.")],
    output: Annotated[Path, typer.Option("-o", "--output", help="The folder to make; it must be empty or missing.")],
    classes: Classes = None,
    images: Images = None,
    format: Format = None,
    val: Annotated[
        str | None,
        typer.Option(help="Make a validation split of this share, such as 20%, of whole sequences; else that of the source."),
    ] = None,
    seed: Annotated[int | None, typer.Option(min=0, help="Of the sequences that are drawn for validation; 0 by default.")] = None,
    copy: Annotated[bool, typer.Option("--copy", help="Copy the pictures; else they are links where the disk allows.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document on stdout and nothing else there.")] = False,
) -> None:
    """Take over labelled pictures as a folder that train, evaluate and check read.

    Knows folders of pictures and masks, CamVid, COCO, Cityscapes, CVAT's segmentation mask 1.1, Label Studio, YOLO and VOC.
    Pixels without a label are ignored. A picture that cannot be read is left out and named at the end.
    """
    from icnet.cli.terminal import emit, given, say, steps
    from icnet.data.intake.importing import ImportOptions, import_data
    from icnet.data.intake.opening import SourceOptions

    share = None if val is None else _share(val)
    options = ImportOptions(SourceOptions(classes, images, format), **given(val=share, seed=seed, copy=copy))
    with steps("importing") as step:
        result = import_data(source, output, options, step=step)
    if as_json:
        emit(result.to_dict())
    else:
        _tell(result, output)
    for line in _lines(result.faults):
        say(line)
    if result.faults:
        raise typer.Exit(1)


def _tell(result: Imported, output: Path) -> None:
    from icnet.cli.terminal import say, show

    counts = ", ".join(f"{len(names)} {split}" for split, names in result.splits.items() if names)
    show(f"{output}: {counts}; {len(result.classes)} classes, from {result.format}")
    if result.left_out:
        say(f"ignored: {', '.join(result.left_out)}; --classes takes what is wanted of them")
    if result.drawn is not None:
        sequences = result.drawn["sequences"]
        what = "the end of the sequence" if result.drawn["cut"] else f"{len(sequences)} sequences, such as"
        say(f"for validation, drawn with seed {result.drawn['seed']}: {what} {sequences[0]}")
    say(f"next: icnet data check {output}")


def _lines(faults: Sequence[Fault], most: int = 5) -> Iterator[str]:
    """What is wrong, by kind, with the first names of each."""
    from icnet.data.checks.faults import by_kind

    for kind, found in by_kind(faults):
        yield f"{kind.title} ({len(found)}): {kind.advice}"
        yield from (f"  {fault.name} {fault.text}" for fault in found[:most])
        if len(found) > most:
            yield f"  and {len(found) - most} more"


@data.command()
def check(
    source: Annotated[Path, typer.Argument(help="A folder that was imported, or anything that can be.")],
    classes: Classes = None,
    images: Images = None,
    format: Format = None,
    page: Annotated[Path | None, typer.Option(help="Also write a page with pictures of what is wrong.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document on stdout and nothing else there.")] = False,
) -> None:
    """Tell what is wrong with labelled pictures, before hours are spent on them.

    Exit codes: 0 nothing is wrong, 1 there are faults, 2 nothing can be used.
    """
    from icnet.cli.terminal import emit, say, show, steps
    from icnet.data.checks.check import check_data
    from icnet.data.checks.page import write_page
    from icnet.data.intake.opening import SourceOptions

    with steps("checking") as step:
        draw = (lambda checked: None) if page is None else (lambda checked: write_page(checked, page))
        checked = check_data(source, SourceOptions(classes, images, format), step=step, draw=draw)
    if as_json:
        emit(checked.to_dict())
    else:
        for line in _figures(checked):
            show(line)
        for line in _lines(checked.faults):
            show(line)
        show(checked.verdict)
    if page is not None:
        say(f"page: {page}")
    if checked.faults:
        raise typer.Exit(1)


def _figures(checked: Checked) -> Iterator[str]:
    counts = ", ".join(f"{count} {split or 'in no split'}" for split, count in checked.pictures.items())
    (height, width), usual = checked.sizes[0]
    sizes = f"{width}x{height}" if len(checked.sizes) == 1 else f"{len(checked.sizes)} sizes, {usual} of {width}x{height}"
    yield f"{checked.source}: {counts}; {checked.format}; {sizes}"
    longest = max(len(name) for name in (*checked.classes.names, _LABELLED))
    yield f"{'of the labelled pixels, %':<{longest}}" + "".join(f"{split or 'all':>8}" for split in checked.shares)
    for name in checked.classes.names:
        yield f"{name:<{longest}}" + "".join(_percent(shares[name]) for shares in checked.shares.values())
    yield f"{_LABELLED:<{longest}}" + "".join(_percent(share) for share in checked.labelled.values())


def _percent(share: float) -> str:
    return f"{100 * share:8.2f}" if share else f"{'none':>8}"


@data.command()
def rank(
    folder: Annotated[Path, typer.Argument(help="A folder of pictures without labels, at any depth.")],
    model: Annotated[
        str, typer.Option(help="Published name, .safetensors weights or .xml IR; it must give logits, as weights do.")
    ] = DEFAULT_MODEL,
    most: Annotated[int | None, typer.Option(min=1, help="Tell only so many pictures, the least sure ones.")] = None,
    csv: Annotated[Path | None, typer.Option(help="Also write the order as a table.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document on stdout and nothing else there.")] = False,
) -> None:
    """Order pictures for labelling: first those of which a model is least sure.

    Doubt is 1 less the margin between the two most probable classes, as a mean over the picture. Of pictures that show nearly the
    same, such as neighbouring frames, only the least sure one is told.
    """
    from icnet.base.errors import UsageError
    from icnet.base.files import write_bytes
    from icnet.cli.terminal import emit, say, show, steps
    from icnet.data.ranking import rank as run
    from icnet.evaluation.accuracy import probabilities
    from icnet.runtime.engine import Engine

    engine = Engine(model)
    if engine.output != "logits":
        raise UsageError(f"{model} tells classes and not how sure it is of them: give .safetensors weights or a published name")
    with steps("looking") as step:
        ranking = run(folder, lambda picture: probabilities(engine, picture), step=step)
    rows = [(f"{one.doubt:.4f}", str(Path(folder, one.name))) for one in ranking.pictures[:most]]
    if csv is not None:
        write_bytes(csv, _table([("doubt", "picture"), *rows]))
    if as_json:
        pictures = [{"picture": name, "doubt": float(value)} for value, name in rows]
        alike = [{"picture": name, "like": other} for name, other in ranking.alike]
        emit({"model": model, "pictures": pictures, "alike": alike, "unreadable": dict(ranking.unreadable)})
    else:
        for value, name in rows:
            show(f"{value}  {name}")
    if ranking.alike:
        say(f"left out, because they look like others: {len(ranking.alike)} pictures")
    for _, text in ranking.unreadable:
        say(text)
    if ranking.unreadable:
        raise typer.Exit(1)


def _table(rows: Sequence[Sequence[str]]) -> bytes:
    import csv
    from io import StringIO

    text = StringIO()
    csv.writer(text, lineterminator="\n").writerows(rows)
    return text.getvalue().encode("utf-8", "backslashreplace")
