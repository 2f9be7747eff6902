"""``verglas curate``: choose assets by figures, keep both parts as groups, draw how the figures are distributed."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from verglas.cli.common import console, json_option, open_project, print_json, project_option, table
from verglas.cli.project_commands import KINDS, kind_argument

if TYPE_CHECKING:
    from verglas.project.curation import Condition, Figures


@click.command()
@kind_argument
@click.option("--group", default="0", help="Name or number of a group to choose from [default: all].")
@click.option("--where", multiple=True, help="A condition, such as 'ctf_fit_resolution_A < 5'; all given must hold.")
@click.option("--sort", help="Figure to sort by.")
@click.option("--descending", is_flag=True, help="Largest first.")
@click.option("--figures", help="Further figures to show, with commas.")
@click.option("--save-filter", metavar="NAME", help="Save conditions and sorting under a name.")
@click.option("--filter", "filter_name", metavar="NAME", help="Use a saved filter; further conditions hold too.")
@click.option("--filters", "list_filters", is_flag=True, help="List the saved filters.")
@click.option("--forget-filter", metavar="NAME", help="Forget a saved filter.")
@click.option("--keep", metavar="ID,...|FILE", help="Assets to choose whatever their figures are.")
@click.option("--drop", metavar="ID,...|FILE", help="Assets to leave whatever their figures are.")
@click.option("--accept", metavar="NAME", help="Make (or bring up to date) a group of what is chosen.")
@click.option("--reject", metavar="NAME", help="Make (or bring up to date) a group of the rest.")
@click.option("--plot", type=click.Path(dir_okay=False, path_type=Path), help="Draw the distributions into this PNG.")
@project_option
@json_option
def curate(
    kind: str, group: str, where: tuple[str, ...], sort: str | None, descending: bool, figures: str | None,
    accept: str | None, reject: str | None, plot: Path | None, save_filter: str | None, filter_name: str | None,
    list_filters: bool, forget_filter: str | None, keep: str | None, drop: str | None, project_folder: Path | None,
    as_json: bool,
) -> None:  # fmt: skip
    """Choose assets by any of their figures, and keep the choice as groups."""
    from verglas.errors import InputError
    from verglas.project.curation import Condition, choose, figures_of, keep_as_group, listed

    asset_kind, texts = KINDS[kind], list(where)
    writes = bool(accept or reject or save_filter or forget_filter)
    with open_project(project_folder, write=writes) as project:
        saved = project.filters(asset_kind)
        if list_filters:
            show_filters(saved, as_json)
            return
        if forget_filter:
            project.edit({"edit": "filter.remove", "kind": asset_kind, "name": forget_filter})
            return
        if filter_name is not None:
            if filter_name not in saved:
                raise InputError(f"there is no filter {filter_name!r}; saved are: {', '.join(saved) or 'none'}.")
            texts = [*saved[filter_name]["conditions"], *texts]
            sort, descending = sort or saved[filter_name]["sort"], descending or saved[filter_name]["descending"]
        conditions = [Condition.parse(text) for text in texts]
        known = figures_of(project, asset_kind, group)
        taken, left = choose(known, conditions, sort, descending=descending)
        kept = listed(project, asset_kind, keep) if keep else set()
        dropped = listed(project, asset_kind, drop) if drop else set()
        if kept & dropped:
            raise InputError(f"{asset_kind} {min(kept & dropped)} is named in both --keep and --drop: name it once.")
        taken, left = (
            [one for one in taken if one[0]["id"] not in dropped] + [one for one in left if one[0]["id"] in kept],
            [one for one in left if one[0]["id"] not in kept] + [one for one in taken if one[0]["id"] in dropped],
        )
        names = list(dict.fromkeys([*(c.name for c in conditions), *([sort] if sort else [])]))
        names += [name for name in (figures or "").split(",") if name and name not in names]
        for name in names:
            if known and name not in known[0][1]:
                raise InputError(f"no figure is called {name!r}; there are {', '.join(known[0][1])}.")
        for title, part in ((accept, taken), (reject, left)):
            if title:
                keep_as_group(project, asset_kind, title, [asset["id"] for asset, _ in part])
        if save_filter:
            request = {"edit": "filter.save", "kind": asset_kind, "name": save_filter, "conditions": texts}
            project.edit(request | {"sort": sort, "descending": descending})
    if plot is not None:
        if not names:
            raise InputError("there is nothing to draw: name figures by --figures, --where or --sort.")
        draw(plot, names, [one for _, one in known], conditions)
    if as_json:
        rows = [{"id": a["id"], "name": a["name"], **{n: f[n] for n in names}} for a, f in taken]
        print_json({"kind": asset_kind, "chosen": len(taken), "left": len(left), "assets": rows})
        return
    made = table(">ID", "name", *(f">{name}" for name in names), title=f"{len(taken)} of {len(known)} {kind}")
    for asset, one in taken:
        made.add_row(str(asset["id"]), asset["name"], *("-" if (v := one[n]) is None else f"{v:.5g}" for n in names))
    console().print(made)
    if not names and known:
        console().print(f"Figures: {', '.join(known[0][1])}")


def show_filters(saved: dict[str, dict[str, Any]], as_json: bool) -> None:
    """List saved filters."""
    if as_json:
        print_json({"filters": saved})
        return
    made = table("filter", "conditions", "sorted by")
    for name, one in saved.items():
        made.add_row(name, "; ".join(one["conditions"]), (one["sort"] or "") + (" (down)" if one["descending"] else ""))
    console().print(made)


def draw(path: Path, names: list[str], known: list[Figures], conditions: list[Condition]) -> None:
    """Draw a histogram of each figure into a PNG, with a line where a condition cuts it."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    across = min(3, len(names))
    down = -(-len(names) // across)
    figure = Figure(figsize=(4.2 * across, 3.0 * down), dpi=90, layout="constrained")
    axes = figure.subplots(down, across, squeeze=False).ravel()
    for name, axis in zip(names, axes, strict=False):
        axis.hist([value for one in known if (value := one[name]) is not None], bins=40, color="C0")
        for condition in conditions:
            if condition.name == name:
                axis.axvline(condition.number, color="C3", label=f"{condition.comparison} {condition.number:g}")
                axis.legend(fontsize=8)
        axis.set(xlabel=name, ylabel="assets")
    for axis in axes[len(names) :]:
        axis.set_axis_off()
    FigureCanvasAgg(figure).print_figure(path, format="png")
