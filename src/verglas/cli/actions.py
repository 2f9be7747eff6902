"""One command per action, made from its declaration."""

from __future__ import annotations

import sys
import types
from pathlib import Path
from typing import Any, Literal, Union, get_args, get_origin

import click
from pydantic_core import PydanticUndefined

from verglas.actions.declaration import DEFAULT_SEED, Action, is_expert, unit_of
from verglas.actions.registry import load_action
from verglas.cli.common import json_option, open_project, option_flag, print_json, project_option
from verglas.execution.run_profile import DEFAULT_PROFILE


class ActionCommand(click.Command):
    """A command whose help shows inputs, basic, expert and running options under headings of their own."""

    headings: dict[str, str]

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the options by heading."""
        groups: dict[str, list[tuple[str, str]]] = {}
        for parameter in self.get_params(ctx):
            record = parameter.get_help_record(ctx)
            if record is not None:
                groups.setdefault(self.headings.get(parameter.name or "", "Running"), []).append(record)
        for heading in ("Inputs", "Parameters", "Expert parameters", "Running"):
            if heading in groups:
                with formatter.section(heading):
                    formatter.write_dl(groups[heading])


def action_command(name: str) -> click.Command:
    """Return the command of an action."""
    return command_of(load_action(name))


def command_of(action: type[Action]) -> click.Command:
    """Make the command of an action from its declaration."""
    options: list[click.Parameter] = []
    headings: dict[str, str] = {}
    for declared in action.inputs:
        default = "all" if declared.takes_all else "none"
        options.append(
            click.Option(
                [f"--{declared.name.replace('_', '-')}", f"input_{declared.name}"],
                metavar="NAME|ID,...", help=f"{declared.help} [default: {default}]",
            )
        )  # fmt: skip
        headings[f"input_{declared.name}"] = "Inputs"
    for name in action.Parameters.model_fields:
        options.append(_option(action, name))
        headings[f"parameter_{name}"] = "Expert parameters" if is_expert(action, name) else "Parameters"
    if action.two_profiles:
        options.append(
            click.Option(
                ["--reconstruction-profile"], help="Run profile that adds up parts of maps [default: --profile]."
            )
        )

    def run(**values: Any) -> None:
        _run(action, values)

    command = ActionCommand(
        action.name, params=options, callback=_running_options(run), help=_long_help(action), short_help=action.summary
    )
    command.params = [*options, *getattr(command.callback, "__click_params__", [])[::-1]]
    command.headings = headings
    return command


def _running_options(run: Any) -> Any:
    for add in reversed(
        (
            project_option,
            json_option,
            click.option("--detach", is_flag=True, help="Return at once; the job goes on by itself."),
            click.option("--device", type=click.Choice(["cpu", "cuda"]), default="cpu", show_default=True),
            click.option("--threads", type=click.IntRange(1), help="Threads a worker [default: by cores and memory]."),
            click.option("--workers", type=click.IntRange(1), help="Workers [default: by cores and memory]."),
            click.option("--profile", default=DEFAULT_PROFILE, show_default=True, help="Run profile."),
            click.option("--seed", type=click.IntRange(0), default=DEFAULT_SEED, show_default=True,
                         help="Key of all random numbers."),
            click.option("--dry-run", is_flag=True, help="Only state what the job would need."),
        )
    ):  # fmt: skip
        run = add(run)
    return run


def _option(action: type[Action], name: str) -> click.Option:
    info = action.Parameters.model_fields[name]
    unit = unit_of(action, name)
    limits = [
        f"{sign} {getattr(bound, attribute)}"
        for bound in info.metadata
        for attribute, sign in (("ge", ">="), ("gt", ">"), ("le", "<="), ("lt", "<"))
        if getattr(bound, attribute, None) is not None
    ]
    required = info.default is PydanticUndefined
    notes = [
        "required"
        if required
        else f"default: {_words(info.default)}{f' {unit}' if unit and info.default is not None else ''}",
        *limits,
    ]
    if unit and (required or info.default is None):
        notes.insert(1, unit)
    flag = option_flag(name)
    kind, arguments = _click_type(info.annotation)
    declaration = f"{flag}/--no-{flag.removeprefix('--')}" if kind is click.BOOL else flag
    return click.Option(
        [declaration, f"parameter_{name}"], type=None if kind is click.BOOL else kind, default=None, nargs=arguments,
        required=required, help=f"{info.description} [{'; '.join(notes)}]",
    )  # fmt: skip


def _click_type(annotation: Any) -> tuple[click.ParamType[Any], int]:
    """Return click's type for a field's annotation, and how many values the option takes."""
    origin, parts = get_origin(annotation), get_args(annotation)
    if origin in {Union, types.UnionType}:
        (inner,) = (part for part in parts if part is not type(None))
        return _click_type(inner)
    if origin is Literal:
        return click.Choice([str(part) for part in parts]), 1
    if origin is tuple:
        return _click_type(parts[0])[0], len(parts)
    simple: dict[Any, click.ParamType[Any]] = {bool: click.BOOL, int: click.INT, float: click.FLOAT}
    return simple.get(annotation, click.STRING), 1


def _words(value: Any) -> str:
    if value is None:
        return "none"
    if isinstance(value, bool):
        return "yes" if value else "no"
    return " ".join(map(str, value)) if isinstance(value, tuple) else str(value)


def _long_help(action: type[Action]) -> str:
    made = ", ".join(action.outputs)
    return (
        f"{action.summary}\n\nMakes: {made}. Ctrl-C leaves the job running by itself. Exit status: 0 all is done, "
        "1 it failed or could not start, 2 wrong options, 3 done but some items were set aside, 4 cancelled, 5 paused, "
        "6 interrupted, 130 left running."
    )


def _run(action: type[Action], values: dict[str, Any]) -> None:
    from verglas.actions.launch import prepare
    from verglas.actions.selection import select_inputs
    from verglas.cli.following import follow, report
    from verglas.execution.job_folder import ProjectReference

    given = {name.removeprefix("parameter_"): v for name, v in values.items() if name.startswith("parameter_")}
    chosen = {name.removeprefix("input_"): v for name, v in values.items() if name.startswith("input_")}
    folder: Path | None = values["project_folder"]
    as_json: bool = values["as_json"]
    with open_project(folder) as project:
        inputs = select_inputs(project, action, chosen)
        place = project.folder
        reference = ProjectReference(name=project.name, id=project.id)
    prepared = prepare(
        action, {name: value for name, value in given.items() if value is not None}, inputs,
        project_folder=place, project=reference, seed=values["seed"], device=values["device"],
        threads=values["threads"], workers=values["workers"], profile=values["profile"],
        reconstruction_profile=values.get("reconstruction_profile"),
    )  # fmt: skip
    if not as_json:
        sys.stderr.write(f"{action.title}: {prepared.plan.words}\n")
    if values["dry_run"]:
        if as_json:
            print_json(
                {
                    "estimate": prepared.plan.estimate.model_dump(),
                    "resources": prepared.plan.resources.model_dump(),
                    "parameters": prepared.parameters.model_dump(mode="json"),
                }
            )
        return
    job, process = prepared.start()
    if values["detach"]:
        if as_json:
            print_json({"job": job.number, "action": action.name, "state": "starting", "folder": str(job.path)})
        else:
            sys.stderr.write(f"Job {job.number} runs; `verglas jobs log {job.number} -f` follows it.\n")
        return
    follow(job, process, quiet=as_json)
    sys.exit(report(job, as_json=as_json))
