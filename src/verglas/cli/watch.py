"""``verglas watch``: process movies live, as they arrive in a folder."""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from verglas.cli.common import json_option, open_project, project_option
from verglas.cli.import_commands import cs_option, pixel_option, voltage_option, white_option

if TYPE_CHECKING:
    from verglas.actions.live import WatchOptions

STEP_NAMES = ["align-movies", "find-ctf", "find-particles"]
FIELDS = (
    "pixel_size_A", "voltage_kV", "cs_mm", "dose_per_frame_e_A2", "gain", "dark", "output_pixel_size_A",
    "protein_is_white", "eer_super_resolution", "eer_frames_per_image",
)  # fmt: skip


@click.command()
@click.argument("folder", required=False, type=click.Path(path_type=Path))
@pixel_option
@voltage_option
@cs_option
@click.option("--dose-per-frame", "dose_per_frame_e_A2", type=float, help="Dose per frame in e/A^2.")
@click.option("--gain", type=click.Path(exists=True, dir_okay=False), help="Gain reference (movies not yet corrected).")
@click.option("--dark", type=click.Path(exists=True, dir_okay=False), help="Dark reference.")
@click.option("--output-pixel-size", "output_pixel_size_A", type=float, help="Resample to this pixel size, in A.")
@white_option
@click.option("--eer-super-resolution", type=int, help="EER: 1, 2 or 4.")
@click.option("--eer-frames-per-image", type=click.IntRange(1), help="EER: frames averaged into one image.")
@click.option(
    "--set",
    "changes",
    multiple=True,
    metavar="ACTION.PARAMETER=VALUE",
    help="A parameter of a step, such as find-particles.radius_A=60; may be repeated.",
)
@click.option(
    "--alarm",
    "alarms",
    multiple=True,
    metavar="CONDITION",
    help="Raise an alarm where 'ctf_estimation.iciness > 2' holds; replaces the default for that figure.",
)
@click.option("--last-step", type=click.Choice(STEP_NAMES), help="Stop after this step [default: find-particles].")
@click.option("--recursive/--no-recursive", default=None, help="Look into subfolders too [default: yes].")
@click.option(
    "--settle",
    "settle_seconds",
    type=click.FloatRange(0),
    help="Seconds for which a file must stand still to be complete [default: 15].",
)
@click.option(
    "--patience",
    "patience_seconds",
    type=click.FloatRange(0),
    help="Seconds for which a movie with few frames is waited for [default: 600].",
)
@click.option("--batch", type=click.IntRange(1), help="Movies of one job at most [default: 20].")
@click.option("--threads", type=click.IntRange(1), help="Threads a worker [default: by cores and memory].")
@click.option("--workers", type=click.IntRange(1), help="Workers [default: by cores and memory].")
@click.option("--profile", help="Run profile [default: Default Local].")
@click.option(
    "--every",
    "every_seconds",
    type=click.FloatRange(0.05),
    default=3.0,
    show_default=True,
    help="Seconds between two looks into the folder.",
)
@click.option("--until-idle", is_flag=True, help="End when all that is there is processed.")
@project_option
@json_option
def watch(
    folder: Path | None, changes: tuple[str, ...], every_seconds: float, until_idle: bool,
    project_folder: Path | None, as_json: bool, **given: Any,
) -> None:  # fmt: skip
    """Import, align, CTF-fit and pick movies as they arrive in FOLDER.

    Without FOLDER the last watch of this project goes on, with the options it had. Ctrl-C stops the watch; the job that
    runs goes on by itself. Start it again whenever you like: nothing is lost or done twice.
    """
    from verglas.actions.live import Watcher

    def say(level: str, text: str) -> None:
        if as_json:
            sys.stdout.write(json.dumps({"t": time.time(), "level": level, "text": text}, ensure_ascii=False) + "\n")
            sys.stdout.flush()
        else:
            mark = {"info": "", "alarm": "ALARM ", "error": "error: "}[level]
            click.secho(f"{time.strftime('%H:%M:%S')} {mark}{text}", fg={"alarm": "yellow", "error": "red"}.get(level))

    with open_project(project_folder, write=True) as project:
        options = options_of(project.folder, folder, changes, given)
        with Watcher(project, options, say) as watcher:
            say("info", f"watching {watcher.folder}")
            try:
                while watcher.look() or not until_idle:
                    time.sleep(every_seconds)
            except KeyboardInterrupt:
                numbers = ", ".join(str(job.number) for job in watcher.running())
                say("info", f"stopped; job {numbers} goes on by itself" if numbers else "stopped")


def options_of(project: Path, folder: Path | None, changes: tuple[str, ...], given: dict[str, Any]) -> WatchOptions:
    """Return what the command's options ask for.

    Parameters
    ----------
    project
        The project's folder.
    folder
        To watch; None goes on with the last watch.
    changes
        ``ACTION.PARAMETER=VALUE``.
    given
        All other options by name, None where not given.

    Raises
    ------
    InputError
        There is no last watch, or a change cannot be read.
    """
    from verglas.actions.live import WatchOptions, remembered_options
    from verglas.errors import InputError

    said = {name: value for name, value in given.items() if value is not None and value != ()}
    if not said["protein_is_white"]:
        del said["protein_is_white"]
    if folder is None:
        remembered = remembered_options(project)
        if remembered is None:
            raise InputError("nothing was watched for this project yet: name the folder where movies arrive.")
        if said or changes:
            raise InputError("the last watch goes on with the options it had; to change some, name its folder too.")
        return remembered
    parameters: dict[str, dict[str, Any]] = {}
    for change in changes:
        name, sign, value = change.partition("=")
        action, dot, parameter = name.partition(".")
        if not (sign and dot):
            raise InputError(f"--set {change}: it should look like --set find-particles.radius_A=60.")
        try:
            parameters.setdefault(action, {})[parameter] = json.loads(value)
        except ValueError:
            parameters[action][parameter] = value
    fields = {name: str(Path(said[name]).absolute()) if name in {"gain", "dark"} else said[name]
              for name in FIELDS if name in said}  # fmt: skip
    others = {name: value for name, value in said.items() if name not in FIELDS}
    return WatchOptions(str(folder.absolute()), fields=fields, parameters=parameters, **others)
