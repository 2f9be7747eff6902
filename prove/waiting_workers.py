"""Many workers in one process, for items that only wait: ``python -m prove.waiting_workers COUNT ... FILE``.

They join the job's scheduler just as workers of a process each do, with a connection and a thread of their own, but 64
of them fit into the memory of a small machine.
"""

from __future__ import annotations

import asyncio
import json
import os
import platform
import sys
from pathlib import Path

from verglas.execution import worker
from verglas.execution.quoting import from_word


async def serve(settings: dict[str, object], count: int) -> None:
    names = [f"{settings['name']}-{platform.node()}-{os.getpid()}-{number}" for number in range(count)]
    await asyncio.gather(*(worker._serve(settings, name) for name in names))


def main() -> None:
    file = sys.argv[-1]
    path = Path(file) if Path(file).exists() else from_word(file)
    asyncio.run(serve(json.loads(path.read_text()), int(sys.argv[1])))
    os._exit(0)


if __name__ == "__main__":
    main()
