"""The command line of researchers: inspect data sets, train and evaluate models; without Kafka and Redis."""

import json
from pathlib import Path
from typing import Annotated, Literal

import typer
from rich.console import Console

from gaitway.cli import options
from gaitway.cli.options import between
from gaitway.errors import CommandError

app = typer.Typer()
datasets_app = typer.Typer(help="Contents of data sets.", no_args_is_help=True)
app.add_typer(datasets_app, name="datasets")

KIND_HELP = (
    "KIND=DIR; KIND is recordings, wisdm, e4, dsads, dsads_arms, selfback, stress_predict, harage, garmin, uwash, "
    "seglearn, physio, umafall, berkeley_mhad, harlab or nurses."
)
Dataset = Annotated[str, typer.Option(help=KIND_HELP, metavar="KIND=DIR")]
Datasets = Annotated[list[str], typer.Option("--dataset", help=f"{KIND_HELP} May be repeated.", metavar="KIND=DIR")]
People = Annotated[
    str | None, typer.Option(help="Only these people, comma-separated.", metavar="A,B", callback=options.names)
]
LabelSet = Annotated[Literal["har2", "har7", "har10"], typer.Option()]
Seed = Annotated[int, typer.Option(callback=between(0, 2**31 - 1))]
Processes = Annotated[
    int,
    typer.Option(help="Number of networks to train at the same time, with one thread each.", callback=between(1, 1024)),
]


def split_names(text: str | None) -> list[str] | None:
    """Split a comma-separated option; None if it was not given."""
    return None if text is None else [name.strip() for name in text.split(",") if name.strip()]


def _modalities(text: str) -> set[str]:
    from shared.contracts.modality import MODALITY_NAMES

    wanted = set(split_names(text) or [])
    if not wanted or wanted - set(MODALITY_NAMES):
        raise CommandError(f"--modalities: {text!r} is not a list of {', '.join(MODALITY_NAMES)}")
    return wanted


@datasets_app.command("inspect")
def inspect_dataset(
    dataset: Annotated[str, typer.Argument(help=KIND_HELP, metavar="KIND=DIR")],
    people: People = None,
    as_json: Annotated[
        Path | None,
        typer.Option("--json", help="Also write the result as JSON to this file.", callback=options.output_file),
    ] = None,
) -> None:
    """Show people, minutes per activity, modalities, coverage and gaps of a data set."""
    from rich.progress import Progress

    from gaitway.cli.dataset_tables import render
    from training.datasets import find_sources
    from training.inspect import inspect

    sources = find_sources(dataset, split_names(people))
    with Progress(console=Console(stderr=True), transient=True) as progress:
        task = progress.add_task(f"{len(sources)} recordings", total=len(sources))
        inspection = inspect(dataset, sources, on_read=lambda: progress.advance(task))
    console = Console(markup=False, emoji=False, highlight=False)
    for part in render(inspection):
        console.print(part)
    if as_json is not None:
        as_json.write_text(json.dumps(inspection.to_json(), indent=2) + "\n")


@app.command()
def train(
    out: Annotated[Path, typer.Option(help="Folder to write the bundle to.", callback=options.output_folder)],
    datasets: Datasets,
    label_set: LabelSet = "har10",
    modalities: Annotated[str, typer.Option(help="Comma-separated.", metavar="A,B")] = "accelerometer,heart_rate,steps",
    encoder: Annotated[Literal["cnn", "gru", "multi_scale"], typer.Option()] = "multi_scale",
    fusion: Annotated[Literal["concatenation", "outer_product", "low_rank", "gated"], typer.Option()] = "concatenation",
    seed: Seed = 0,
    processes: Processes = 1,
    evaluation_report: Annotated[
        Path | None,
        typer.Option(
            help="Also write an evaluation report to this folder: calibration, damaged input, cold start.",
            metavar="DIR",
            callback=options.output_folder,
        ),
    ] = None,
    checkpoints: Annotated[
        Path | None,
        typer.Option(
            help="Folder of finished folds: an interrupted training that is started again goes on with them.",
            metavar="DIR",
            callback=options.output_folder,
        ),
    ] = None,
    steps: Annotated[int, typer.Option(help="Training steps of each network.", callback=between(10, 10**6))] = 5700,
    name: Annotated[str, typer.Option(help="Name of the model.")] = "gaitway-default",
    version: Annotated[str, typer.Option(help="Version of the model, A.B.C.")] = "0.3.0",
) -> None:
    """Train a model bundle: five folds by person for the model card, then one network on all people."""
    from shared.contracts.modality import MODALITY_NAMES
    from training.train import train_bundle

    wanted = _modalities(modalities)
    train_bundle(
        out,
        datasets,
        label_set=label_set,
        modalities=tuple(modality for modality in MODALITY_NAMES if modality in wanted),
        encoder=encoder,
        fusion=fusion,
        seed=seed,
        processes=processes,
        study=evaluation_report,
        checkpoints=checkpoints,
        steps=steps,
        name=name,
        version=version,
    )


@app.command()
def experiment(
    task: LabelSet,
    dataset: Dataset,
    out: Annotated[
        Path,
        typer.Option(
            help="Folder of the result files; an unfinished run in it is continued.", callback=options.output_folder
        ),
    ],
    encoder: Annotated[Literal["cnn", "gru", "both"], typer.Option()] = "both",
    variants: Annotated[
        list[str] | None, typer.Option(help="May be repeated; all variants by default.", metavar="NAME")
    ] = None,
    outer_folds: Annotated[str, typer.Option(help="loso (leave one subject out) or a number of folds.")] = "loso",
    baseline: Annotated[
        Literal["transductive", "causal"],
        typer.Option(help="Computed from all data of a person, or causally as in the live stream."),
    ] = "transductive",
    minutes_per_activity: Annotated[
        float | None,
        typer.Option(help="Use at most this much of each person's data; all by default.", callback=between(0.1, 1e6)),
    ] = None,
    seed: Seed = 0,
    processes: Processes = 1,
) -> None:
    """Train the paper's networks in 22 variants on one data set with nested folds; a run can be continued."""
    from training.experiment.run import Experiment, run_experiment
    from training.experiment.variants import ENCODERS

    if outer_folds != "loso" and not (outer_folds.isdecimal() and int(outer_folds) > 1):
        raise CommandError(f"--outer-folds: {outer_folds!r} is neither loso nor a number of folds above 1")
    wanted = Experiment(
        task=task,
        dataset=dataset,
        out=out,
        encoders=ENCODERS if encoder == "both" else (encoder,),
        variants=tuple(variants or ()),
        outer=None if outer_folds == "loso" else int(outer_folds),
        baseline=baseline,
        minutes_per_activity=minutes_per_activity,
        seed=seed,
        processes=processes,
    )
    run_experiment(wanted, Console(stderr=True, highlight=False))


@app.command()
def report(
    directory: Annotated[Path, typer.Argument(help="Folder with the result files of an experiment.", metavar="DIR")],
    out: Annotated[
        Path | None,
        typer.Option(help="Page to write; its folder is created [default: README.md in DIR].", metavar="FILE.md"),
    ] = None,
) -> None:
    """Write tables and confusion matrices of an experiment, finished or not, as Markdown with pictures."""
    from training.report.write import write_report

    typer.echo(write_report(directory, out))


@app.command()
def ablation(
    datasets: Datasets,
    out: Annotated[
        Path,
        typer.Option(help="File of JSON lines; an unfinished run in it is continued.", callback=options.output_file),
    ],
    label_set: LabelSet = "har7",
    seeds: Annotated[int, typer.Option(help="Number of seeds, from 0.", callback=between(1, 1000))] = 3,
    steps: Annotated[int, typer.Option(help="Training steps of each network.", callback=between(10, 10**6))] = 600,
    arms: Annotated[
        str | None, typer.Option(help="Only these arms, comma-separated.", metavar="A,B", callback=options.names)
    ] = None,
    processes: Processes = 1,
) -> None:
    """Measure what each step of the default model adds, paired by person; prints the table."""
    from training.corpus import classes_of, read_datasets, split_held_out
    from training.evaluation.ablation import ARMS, WHOLE, read_outcomes, run_ablation, table

    chosen = split_names(arms) or list(ARMS)
    if unknown := [name for name in chosen if name not in ARMS]:
        raise CommandError(f"--arms: {unknown[0]!r} is none of {', '.join(ARMS)}")
    chosen = [WHOLE, *(name for name in chosen if name != WHOLE)]
    known, _ = split_held_out(read_datasets(datasets, label_set))
    console = Console(stderr=True, highlight=False)
    run_ablation(
        out,
        known,
        classes_of(known, label_set),
        seeds=range(seeds),
        steps=steps,
        processes=processes,
        arms=chosen,
        on_outcome=lambda found: console.print(
            f"{found.arm}, seed {found.seed}: pooled {found.pooled:.3f}, {found.seconds} s"
        ),
    )
    typer.echo(table(read_outcomes(out)))


@app.command()
def pretraining(
    datasets: Datasets,
    unlabelled: Annotated[
        list[str], typer.Option(help="Data to pre-train on, without its labels; may be repeated.", metavar="KIND=DIR")
    ],
    unknown: Annotated[
        str | None,
        typer.Option(help="Also test these data sets as unknown devices.", metavar="A,B", callback=options.names),
    ] = None,
    folds: Annotated[int, typer.Option(help="How many of five folds to test.", callback=between(1, 5))] = 5,
    steps: Annotated[int, typer.Option(help="Training steps of each network.", callback=between(10, 10**6))] = 1900,
    seed: Seed = 0,
    processes: Processes = 1,
) -> None:
    """Compare training with and without pre-training on unlabelled data; prints the table."""
    from shared.model.network import NetworkConfig
    from training.corpus import classes_of, read_datasets, split_held_out
    from training.evaluation.pretraining import compare_pretraining, pretraining_table, read_unlabelled
    from training.trainer.pretraining import PretrainingSettings
    from training.trainer.sampling import TrainingSettings

    known, _ = split_held_out(read_datasets(datasets, "har10"))
    console, outcomes = Console(stderr=True, highlight=False), []
    for outcome in compare_pretraining(
        known,
        read_unlabelled(unlabelled),
        NetworkConfig(classes_of(known, "har10"), encoder="multi_scale"),
        TrainingSettings(seed=seed, steps=steps),
        PretrainingSettings(seed=seed, steps=steps),
        folds=folds,
        unknown=split_names(unknown) or (),
        processes=processes,
    ):
        outcomes.append(outcome)
        kind = "with" if outcome.pretrained else "without"
        console.print(f"{outcome.test}, {outcome.share:.0%} of the people, {kind}: pooled {outcome.uar:.3f}")
    typer.echo(pretraining_table(outcomes))


@app.command()
def tree_baseline(
    datasets: Datasets,
    label_set: LabelSet = "har7",
    trees: Annotated[Literal["boosted", "forest"], typer.Option()] = "boosted",
    modalities: Annotated[str, typer.Option(help="Comma-separated.", metavar="A,B")] = "accelerometer",
    seed: Seed = 0,
) -> None:
    """Trees on hand-crafted features, on the folds that `gaitway train` uses: the baseline for a network."""
    from shared.contracts.modality import MODALITY_NAMES
    from training.corpus import classes_of, read_datasets, split_held_out
    from training.evaluation.tree_baseline import evaluate_trees

    wanted = _modalities(modalities)
    known, _ = split_held_out(read_datasets(datasets, label_set))
    for modality in sorted(set(MODALITY_NAMES) - wanted):
        known = known.without(modality)
    for protocol, values in evaluate_trees(known, classes_of(known, label_set), seed=seed, trees=trees).items():
        typer.echo(f"{protocol}: " + ", ".join(f"{name} {value:g}" for name, value in values.items()))
