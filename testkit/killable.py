"""A service that can be killed. It submits the given files, each once, and ends when all jobs have ended.

python -m testkit.killable DATA_DIR fake|speakers|real FILE...

"speakers" are fake actors as well, and every job has its speakers told apart. The variable `CHAOS_SEATS` says how many
fake speech actors there are.
"""

from __future__ import annotations

import sys
from pathlib import Path

import anyio

from testkit.chaos.seats import devices
from testkit.service import configuration, entries, placeholder_networks
from whisper_service.app.service import Service
from whisper_service.config.schema import Config
from whisper_service.core.domain import Options
from whisper_service.core.job_states import TERMINAL


async def main(data_dir: Path, actors: str, files: list[Path]) -> None:
    fake = actors != "real"
    config = configuration(data_dir.parent, speech={"device": devices()}) if fake else Config(data_dir=data_dir)
    options = Options()
    if actors == "speakers":
        placeholder_networks(data_dir.parent)
        options = Options(speakers="auto")
    async with Service.open(config, **(entries() if fake else {})) as service:
        for path in files:
            async with service.uploads.receive(path.name) as receiver:
                await receiver.write(path.read_bytes())
                received = await receiver.finish()
            await service.jobs.submit(received, options, reuse=True)
        print("submitted", flush=True)
        cursor = service.events.cursor(service.events.head)
        while any(job.status not in TERMINAL for job in await service.parts.store.jobs(limit=1000)):
            await cursor.read()
    print("ended", flush=True)


if __name__ == "__main__":
    anyio.run(main, Path(sys.argv[1]), sys.argv[2], [Path(name) for name in sys.argv[3:]])
