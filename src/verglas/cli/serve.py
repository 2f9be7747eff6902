"""``verglas serve``: open the browser page."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from verglas.cli.common import json_option, print_json, project_option

if TYPE_CHECKING:
    from verglas.server.running import RunningServer


@click.command()
@project_option
@click.option("--port", type=click.IntRange(0, 65535), help="Port of 127.0.0.1 [default: first free one from 8484].")
@click.option("--socket", "unix_socket", type=click.Path(path_type=Path), help="Listen on this Unix socket instead.")
@click.option(
    "--browse", multiple=True, type=click.Path(exists=True, file_okay=False, path_type=Path), metavar="DIR",
    help="Folder below which the page may look for files; may be repeated [default: all you may read].",
)  # fmt: skip
@click.option("--open", "open_browser", is_flag=True, help="Open this machine's browser.")
@click.option("--url", "only_url", is_flag=True, help="Print a new address of the server that runs, and end.")
@json_option
def serve(
    project_folder: Path | None, port: int | None, unix_socket: Path | None, browse: tuple[Path, ...],
    open_browser: bool, only_url: bool, as_json: bool,
) -> None:  # fmt: skip
    """Open a project, or the list of recent ones, in the browser.

    The page may be closed and opened again, the server ended and started again: jobs go on by themselves. The server
    listens on this machine alone; the address it prints works once and is the key, so give it to nobody.
    """
    from verglas.errors import InputError, NotFoundError
    from verglas.project import find_project
    from verglas.server.running import running_servers

    if only_url:
        servers = running_servers()
        if not servers:
            raise InputError("no server of yours runs on this machine; start one by `verglas serve`.")
        _say(servers[0], as_json, False)
        return
    from verglas.server.serving import serve as run

    folder = project_folder
    if folder is None:
        try:
            folder = find_project(Path.cwd())
        except NotFoundError:
            folder = None
    run(
        folder, port=port, unix_socket=unix_socket, browse=browse or (Path("/"),),
        ready=lambda record: _say(record, as_json, open_browser),
    )  # fmt: skip


def _say(record: RunningServer, as_json: bool, open_browser: bool) -> None:
    address = record.new_address()
    if as_json:
        print_json({"url": address, "port": record.port, "socket": record.socket})
    else:
        sys.stdout.write(f"{record.words(address)}\n")
    sys.stdout.flush()
    if open_browser:
        import webbrowser

        webbrowser.open(address)
