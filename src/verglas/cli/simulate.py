"""``verglas simulate``: stacks, micrographs and movies from atoms, with options made from the parameter models."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal, get_args, get_origin

import click
from pydantic import BaseModel, ValidationError

from verglas.cli.common import console, json_option, option_flag, print_json
from verglas.errors import InputError
from verglas.stages.simulation.parameters import MicrographParameters, MovieParameters, StackParameters


class ParameterOption(click.Option):
    """An option that was made from a field of a parameter model."""


def option_of(name: str, model: type[BaseModel]) -> click.Option:
    """Return the command-line option of one field: its type, default and help come from the model."""
    field = model.model_fields[name]
    kinds = [kind for kind in get_args(field.annotation) if kind is not type(None)]
    annotation: Any = field.annotation
    if get_origin(annotation) is not Literal and type(None) in get_args(annotation):
        annotation = kinds[0]
    flag = option_flag(name)
    text = field.description or ""
    if annotation is bool:
        return ParameterOption(
            [f"{flag}/--no-{flag[2:]}", name], default=None, help=f"{text} [default: {field.default}]"
        )
    if get_origin(annotation) is Literal:
        kind: Any = click.Choice(get_args(annotation))
    elif annotation in (int, float, str):
        kind = {int: click.INT, float: click.FLOAT, str: click.STRING}[annotation]
    else:
        return ParameterOption([flag, name], default=None, metavar="JSON", help=f"{text} (JSON text or a .json file)")
    default = "" if field.default in ("", None) else f" [default: {field.default}]"
    return ParameterOption([flag, name], type=kind, default=None, help=text + default)


def from_json(name: str, value: str) -> Any:
    """Return what a JSON option says, itself or in the file that it names."""
    try:
        content = Path(value).read_text() if value.endswith(".json") else value
        return json.loads(content)
    except (OSError, json.JSONDecodeError) as error:
        raise InputError(
            f"{option_flag(name)}: {value} is neither JSON nor a readable .json file ({error})."
        ) from error


def parameters_from(model: type[BaseModel], given: dict[str, Any]) -> BaseModel:
    """Return the checked parameters of a command; whatever was not given keeps its default."""
    values = {name: value for name, value in given.items() if value is not None}
    for name, value in values.items():
        if isinstance(value, str) and get_origin(model.model_fields[name].annotation) in (list, tuple):
            values[name] = from_json(name, value)
    if "snr" in values and values["snr"] <= 0:
        values["snr"] = None
    try:
        return model.model_validate(values)
    except ValidationError as error:
        problems = "; ".join(
            f"--{'.'.join(str(part) for part in item['loc']).replace('_', '-')}: {item['msg']}"
            for item in error.errors()
        )
        raise InputError(f"{problems}.") from error


def make_command(name: str, model: type[BaseModel], runner: str, summary: str, noun: str) -> click.Command:
    """Return the command that simulates one kind of images."""

    @json_option
    def run(folder: Path, threads: int, as_json: bool, page: bool, **given: Any) -> None:
        import importlib

        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

        parameters = parameters_from(model, given)
        simulate: Callable[..., Any] = getattr(importlib.import_module("verglas.stages.simulation"), runner)
        terminal = console()
        columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
        with Progress(*columns, console=terminal, disable=as_json) as shown:
            task = shown.add_task(f"Simulating {noun}", total=None)
            result = simulate(
                parameters,
                folder,
                threads=threads,
                progress=lambda done, total: shown.update(task, completed=done, total=total),
            )
        if page:
            from verglas.stages.simulation import write_page

            write_page(folder)
        report = json.loads(Path(result.report).read_text())
        if as_json:
            print_json({"folder": str(folder), **report})
        else:
            terminal.print(
                f"{report['particles']} particles in {folder} ({report['seconds']:.1f} s). Truth: {result.star}"
            )

    command = click.command(name, help=summary)(run)
    command.params[:0] = [click.Argument(["folder"], type=click.Path(file_okay=False, path_type=Path))]
    command.params += [option_of(field, model) for field in model.model_fields]
    command.params.append(
        click.Option(
            ["--threads"], type=click.IntRange(1), default=1, show_default=True, help="images computed at once"
        )
    )
    command.params.append(
        click.Option(["--page/--no-page"], default=True, help="write report.html with pictures [default: page]")
    )
    return command


@click.group()
def simulate() -> None:
    """Simulate images from atoms, with known truth."""


simulate.add_command(
    make_command(
        "stack",
        StackParameters,
        "simulate_stack",
        "Simulate a stack of particles into FOLDER. --snr 0 leaves the noise out.",
        "particles",
    )
)
simulate.add_command(
    make_command(
        "micrographs",
        MicrographParameters,
        "simulate_micrographs",
        "Simulate summed, gain-corrected micrographs into FOLDER.",
        "micrographs",
    )
)
simulate.add_command(
    make_command(
        "movies", MovieParameters, "simulate_movies", "Simulate movies and their gain reference into FOLDER.", "movies"
    )
)
