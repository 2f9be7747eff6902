"""The text of ``docs/scaling.md``, filled from ``docs/measured/scaling.json``: where more workers stop paying."""

from __future__ import annotations

from typing import Any

from tools.measured import REPOSITORY
from tools.performance.page import measured

PATH = REPOSITORY / "docs" / "scaling.md"

OPENING = """# Scaling

What running a job on many workers costs beside the work itself, and where more of them stop paying.
`python -m prove.scaling` measures `docs/measured/scaling.json`; `python -m tools.make_docs` writes this page from it.

## What the engine adds

Items that only wait, each with a result file; the workers are all there before the clock is started. All begin at the
same moment, which is the worst case: the last of them waits until the controller has served all others.

| workers | items of 1 s: added | by the model | items of 5 s: added | by the model |
|---|---|---|---|---|"""

WAITING = """
The model: a worker that has ended an item waits {trip:.0f} ms for the next one (from one worker), and the controller
handles {rate:.0f} items a second ({empty_ms:.1f} ms each, {cpu_ms:.1f} ms of them computing; from items that wait for
nothing, on {empty_workers} workers: hand out, fetch, write the result's line and flush it to disk). So *W* workers on
items of *t* seconds pay while *W* < {rate:.0f} *t*: beyond that the controller is the limit. Items of 5 s keep about
{most_5:.0f} workers busy; an Align Movies of 9 s a movie about {most_9:.0f}, if the disks deliver {rate:.0f} movies a
second, which they will not: the file server is the limit first. Workers shared interpreters here ({shared}).

## A real job

{action}. Seconds of a round:

| | align and insert | add up | maps, filters, mask | round |
|---|---|---|---|---|"""

REAL = """
The round took {ratio:.2f} of what the model says of two workers. Each image is read once a round, by the worker that
aligns and inserts it; partial sums go through Scratch and are added pairwise, neighbours first, so that the answer does
not depend on who computed what.

## 1,000 workers, {particles:,} particles

The same parts, from a box of {box} to one of {far_box}: aligning by the pixels of an image, adding up and maps by the
voxels. **This is arithmetic, not a measurement**: threads are taken to share a chunk without loss, and not to help with
adding up or with the maps; all disks are taken to be as quick, for their share, as the one measured on.

| cores | workers x threads | align, s | add up, s | maps, s | {rounds} rounds | of the cores' time used |
|---|---|---|---|---|---|---|"""

END = """
Where it stops paying, and why:

- A refinement is cut into at most {chunks} chunks, because each leaves a partial map on disk: more than {chunks}
  workers have nothing to do in it. Cores beyond that go into threads: `--workers {chunks} --threads 64` rather than
  1,000 workers of one thread.
- Adding up and the making of the maps do not shrink with workers. With {cores_half} cores they are already
  {serial_half:.0f} % of the round: the cores used well fall to {efficiency_half:.0f} %.
- Align Movies, Find CTF, Find Particles and packages have no such part: they go on paying until the controller (above)
  or the file server is busy.
- A second run profile (`--reconstruction-profile`) adds up on few workers with much memory, as cisTEM's does.
"""


def page() -> str:
    """Return the whole page."""
    content = measured("scaling")
    figures, machine = content["figures"], content["machine"]
    empty, real, far = figures["empty_items"], figures["real_job"], figures["far"]
    rate = empty["items_a_second"]
    lines = [OPENING]
    lines += [
        f"| {row['workers']} | {_percent(row, 'overhead', '1_s')} | {_percent(row, 'model', '1_s')} | "
        f"{_percent(row, 'overhead', '5_s')} | {_percent(row, 'model', '5_s')} |"
        for row in figures["waiting"]
    ]
    lines.append(
        WAITING.format(
            trip=1e3 * figures["round_trip_s"], rate=rate, empty_ms=empty["wall_ms_each"],
            cpu_ms=empty["controller_cpu_ms_each"], empty_workers=empty["workers"], most_5=5 * rate, most_9=9 * rate,
            shared=figures["workers_a_process"], action=real["action"][0].upper() + real["action"][1:],
        )
    )  # fmt: skip
    rows = [(f"{one['workers']} worker(s), measured", one) for one in real["measured"]]
    rows.append(("2 workers, by the model from one", real["model_of_two"]))
    lines += [
        f"| {name} | {one['chunks_s']:.1f} | {one['adding_s']:.2f} | {one['finish_s']:.1f} | {one['round_s']:.1f} |"
        for name, one in rows
    ]
    lines.append(
        REAL.format(
            ratio=real["round_s_two_over_model"], particles=far["particles"], box=far["box_measured"],
            far_box=far["box_px"], rounds=9,
        )
    )  # fmt: skip
    lines += [
        f"| {one['cores']} | {one['workers']} x {one['threads']} | {one['chunks_s']:.0f} | {one['adding_s']:.0f} | "
        f"{one['finish_s']:.0f} | {one['hours_of_9_rounds']:.1f} h | {100 * one['efficiency']:.0f} % |"
        for one in far["rows"]
    ]
    half = next((one for one in far["rows"] if one["efficiency"] < 0.7), far["rows"][-1])
    serial = 100 * (half["adding_s"] + half["finish_s"]) / half["round_s"]
    lines.append(
        END.format(
            chunks=far["most_chunks"], cores_half=half["cores"], serial_half=serial,
            efficiency_half=100 * half["efficiency"],
        )
    )  # fmt: skip
    lines.append(
        f"[scaling.json](measured/scaling.json): commit {content['commit']}, {content['date'][:10]}, "
        f"{machine['cores']} cores of {machine['processor']}, load {machine['load_1min']}.\n"
    )
    return "\n".join(lines)


def _percent(row: dict[str, Any], what: str, label: str) -> str:
    value = row.get(f"{what}_percent_{label}")
    return "" if value is None else f"{value:.1f} %"
