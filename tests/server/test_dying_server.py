"""A server that dies while a job runs: the job goes on, and reappears live on the next one."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

from tests.cli.slow_action import SlowAction
from tests.server.pages import SIZE, shell
from tests.support.browser import tab
from verglas.actions.launch import prepare
from verglas.execution.job_folder import ProjectReference
from verglas.project import Project
from verglas.server.connections import listen


def serve(project: Path, port: int) -> tuple[subprocess.Popen[str], str]:
    """Start the command; return its process and the address that it prints."""
    command = [sys.executable, "-m", "verglas", "serve", "--json", "--port", str(port), "--project", str(project)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    return process, json.loads(process.stdout.readline())["url"]


def test_jobs_go_on_when_the_server_dies_and_reappear_live(
    browser: Any, tmp_path: Path, monkeypatch: Any
) -> None:  # fmt: skip
    for name in ("XDG_CONFIG_HOME", "XDG_STATE_HOME"):
        monkeypatch.setenv(name, str(tmp_path / name))
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parents[2]))  # where the job's controller finds its action
    with Project.create(tmp_path / "p") as project:
        records = [{"name": f"m{number}", "path": f"/nowhere/m{number}.tif", "n_frames": 3} for number in range(100)]
        project.edit({"edit": "asset.import", "kind": "movie", "records": records})
        job, process = prepare(
            SlowAction, {}, {"movies": project.assets("movie")}, project_folder=project.folder,
            project=ProjectReference(name="p", id=project.id), workers=1, threads=1,
        ).start()  # fmt: skip
        key = project.id[:12]
    with listen(0) as free:
        port = free.getsockname()[1]
    server, address = serve(tmp_path / "p", port)
    context = browser.new_context(viewport=SIZE)
    page = context.new_page()
    page.set_default_timeout(60_000)
    page.goto(address)
    page.evaluate(shell(key, "job", str(job.number)))
    page.locator(".page-head .pill", has_text="running").wait_for()
    page.locator("[role=progressbar]:not([aria-valuenow='0'])").first.wait_for()
    server.send_signal(signal.SIGKILL)
    server.wait()
    page.get_by_text("reconnecting").wait_for()
    assert process.poll() is None, "the job ended before the server could die"
    server, address = serve(tmp_path / "p", port)
    try:
        page.get_by_role("heading", name="A new address is needed").wait_for()
        with tab(context, address) as again:
            again.evaluate(shell(key, "job", str(job.number)))
            again.locator(".page-head .pill", has_text="running").wait_for()
            again.locator(".page-head .pill", has_text="done").wait_for()
            again.get_by_text("100 results").wait_for()
        assert process.wait(20) == 0
    finally:
        os.kill(server.pid, signal.SIGTERM)
        server.wait(20)
    context.close()
    with Project.open(tmp_path / "p") as project:
        project.take_in()  # what the second server had not yet when it was stopped
        assert project.count("image") == 100
