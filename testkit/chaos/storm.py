"""A storm over a whole service: many clients, kills, stops, little memory, a full disk. Then a look at what is left.

Every random choice comes from the seed. What the scheduler of the machine makes of it does not: a seed repeats the
weather and the wishes of the users, not the nanosecond in which they meet.
"""

from __future__ import annotations

import json
import random
import signal
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any, Final

import anyio
from anyio import to_thread

from testkit.chaos import repertoire, verdict
from testkit.chaos.crowd import TERMINAL, Entry, Line, Subscriber, User
from testkit.chaos.host import Host
from testkit.chaos.repertoire import Piece
from testkit.chaos.seats import SEATS, devices
from testkit.service import placeholder_networks
from testkit.small_disk import Ballast, small_disk

EXPLAINED: Final = frozenset({"hung", "oom", "disk_full"})
"""Why a job may need its user to press retry once the storm is over; any other reason is a finding."""
CALM_S: Final = 300.0
"""Seconds in which every job must end once nothing disturbs any more.

A model that died while it was loaded is tried again after half a minute, and a slow machine may have many recordings.
"""
ROUNDS: Final = 3
"""Retries after which a job that fails still is one that fails."""
FAKES: Final = (
    "testkit.serve",
    "--speech",
    "testkit.scripted_actors:speech",
    "--media",
    "testkit.scripted_actors:media",
    "--speakers",
    "testkit.scripted_actors:speakers",
)


@dataclass(frozen=True)
class Plan:
    """How long a storm lasts, and its seed. With `model`, a folder, the actors are the real ones."""

    seed: int
    seconds: float
    model: Path | None = None
    seats: int = SEATS  # devices with a speech actor each

    @property
    def settings(self) -> dict[str, object]:
        """Settings with short deadlines, so that stopped actors are replaced during the storm."""
        common: dict[str, object] = {"storage__min_free_bytes": 1 << 20, "speech__slots": 2, "log__json": True}
        common |= {"storage__keep_changes": 10_000_000, "storage__undo_s": 0, "server__heartbeat_s": 1.0}
        if self.model is None:
            common |= {"speech__speakers": "auto", "speech__align_edits": False}
            common |= {"speech__device": devices(self.seats)}
            times = {"ready_timeout_s": 20, "batch_timeout_s": 3, "batch_timeout_factor": 5, "decode_stall_s": 3}
        else:
            times = {
                "ready_timeout_s": 40,
                "load_timeout_s": 20,
                "batch_timeout_s": 12,
                "batch_timeout_factor": 20,
                "decode_stall_s": 8,
            }
        return common | {f"supervision__{name}": value for name, value in times.items()}

    @property
    def module(self) -> tuple[str, ...]:
        return FAKES if self.model is None else ("whisper_service", "serve", "--model", str(self.model))

    @property
    def disk_mb(self) -> int:
        """Megabytes for everything that is sent and written, as long as nothing fills the disk."""
        return 96 + round(self.seconds)


@dataclass
class Report:
    """What was done, and what is wrong."""

    plan: Plan
    lines: list[str] = field(default_factory=list)
    findings: list[str] = field(default_factory=list)

    def say(self, topic: str, counts: Counter[str]) -> None:
        self.lines.append(f"{topic}: " + (", ".join(f"{name} {counts[name]}" for name in sorted(counts)) or "none"))

    def __str__(self) -> str:
        return "\n".join(
            [*self.lines, f"findings: {len(self.findings)}", *(f"- {finding}" for finding in self.findings)]
        )


async def run(plan: Plan, home: Path) -> Report:
    """Run one storm in the folder `home`. Return its report."""
    report = Report(plan)
    kind = "real actors" if plan.model else "scripted actors"
    report.lines.append(f"storm: seed {plan.seed}, {plan.seconds:.0f} s, {kind}")
    with ExitStack() as stack:
        reason = stack.enter_context(small_disk(home / "disk", plan.disk_mb))
        if reason is not None:
            report.lines.append(f"the disk is not filled: a small one cannot be mounted here ({reason})")
        host = Host(home, home / "disk", plan.module, plan.settings)
        ballast = Ballast(home / "disk") if reason is None else None
        if plan.model is None:
            placeholder_networks(home / "disk")
        scene = Scene(plan, host, home, ballast, report)
        await host.start()
        try:
            await scene.play()
        finally:
            if host.process.poll() is None:
                await to_thread.run_sync(host.abandon)
    return report


class Scene:
    """The parts of one storm."""

    def __init__(self, plan: Plan, host: Host, home: Path, ballast: Ballast | None, report: Report) -> None:
        self.plan = plan
        self.host = host
        self.report = report
        self.line = Line(host)
        self._ballast = ballast
        self._calm = home / "calm"
        home.joinpath("pieces").mkdir()
        self.pieces = repertoire.spoken(home / "pieces") if plan.model else repertoire.scripted(self._calm)
        self.users = [
            User(f"user{n}", self.line, self.pieces, self._dice(f"user {n}")) for n in range(2 if plan.model else 5)
        ]
        self.keepers = [Subscriber(self.line, "/api/events", self._dice(f"keeper {n}")) for n in range(4)]
        self.followers: list[tuple[str, Subscriber]] = []
        self.heard: dict[str, verdict.Heard] = {}
        self.timelines: dict[str, str] = {}  # of the undisturbed recordings, by name
        self.retried: Counter[str] = Counter()

    def _dice(self, name: str) -> random.Random:
        return random.Random(f"{self.plan.seed} {name}")

    @property
    def entries(self) -> list[Entry]:
        return [entry for user in self.users for entry in user.entries]

    async def play(self) -> None:
        """Run the parts: peace, storm, calm, verdict."""
        times = [anyio.current_time()]
        await self._rehearse()
        idle = await self._idle_descriptors()
        self._calm.mkdir()
        times.append(anyio.current_time())
        async with anyio.create_task_group() as listeners:
            for keeper in self.keepers:
                listeners.start_soon(keeper.run, None)
            await self._storm(listeners.start_soon)
            await self.host.feed()
            times.append(anyio.current_time())
            await self._settle()
            (head,) = self.host.rows("SELECT max(seq) FROM change")[0]
            with anyio.move_on_after(60) as patience:
                for listener in [*self.keepers, *(follower for _, follower in self.followers)]:
                    listener.restless = False
                while True:
                    await anyio.sleep(0.1)
                    if all(keeper.last >= head for keeper in self.keepers) and all(f.over for _, f in self.followers):
                        break
            if patience.cancelled_caught:
                self.report.findings.append("subscribers were not told everything within a minute of calm")
            listeners.cancel_scope.cancel()
        await self._judge()
        await self.line.client.aclose()
        await self._look_for_leaks(idle)
        if (code := await self.host.leave()) != 0:
            self.report.findings.append(f"the service left with {code}")
        if (found := self.host.rows("PRAGMA integrity_check")) != [("ok",)]:
            self.report.findings.append(f"integrity_check: {found}")
        times.append(anyio.current_time())
        log = self.host.log_entries()
        self.report.findings += [*self.host.findings, *verdict.log(log)]
        self._tell(log)
        peace, stormy, calm = (after - before for before, after in pairwise(times))
        self.report.lines.append(
            f"seconds: in peace {peace:.0f}, of storm {stormy:.0f}, of calm and judgement {calm:.0f}"
        )

    # -- peace -------------------------------------------------------------------------------------------------------

    async def _rehearse(self) -> None:
        """Transcribe every sound recording once without trouble."""
        rehearsal = User("rehearsal", self.line, self.pieces, self._dice("rehearsal"))
        self.users.append(rehearsal)
        for piece in self.pieces:
            if piece.sound and (await rehearsal.send(piece)).id is None:
                raise AssertionError(f"{piece.name} was not accepted in peace")
        await self._all_ended([entry for entry in rehearsal.entries if entry.id])
        for entry in rehearsal.entries:
            job = (await self.line.look(f"/api/jobs/{entry.id}")).json()
            if (job["status"], job["gaps"]) != ("completed", []):
                raise AssertionError(f"{entry.name} ended in peace as {job}")
            self.heard[entry.piece.name] = await self._transcript(entry)
            self.timelines[entry.piece.name] = verdict.timeline(self.host, entry)
            entry.piece = Piece(entry.piece.name, entry.piece.data, entry.piece.language)  # it had no holes then

    async def _transcript(self, entry: Entry) -> verdict.Heard:
        segments: verdict.Heard = (await self.line.look(f"/api/jobs/{entry.id}/transcript")).json()["segments"]
        return [{name: value for name, value in each.items() if name not in verdict.OF_SPEAKERS} for each in segments]

    async def _idle_descriptors(self) -> Counter[str]:
        await self.line.client.get(f"{self.host.url}/api/state")  # opens what only lists of jobs are read with
        await self.line.client.aclose()
        self.line.client = Line(self.host).client
        for user in self.users:
            user.line = self.line
        return await self._quiet()

    async def _quiet(self) -> Counter[str]:
        """Count open files once every connection of a client is closed."""
        for _ in range(50):
            found = self.host.descriptors()
            if found["socket"] <= 3:
                break
            await anyio.sleep(0.2)
        return found

    # -- storm -------------------------------------------------------------------------------------------------------

    async def _storm(self, start: Callable[..., object]) -> None:
        began = anyio.current_time()
        with anyio.move_on_after(self.plan.seconds):
            async with anyio.create_task_group() as tasks:
                for user in self.users[:-1]:
                    tasks.start_soon(user.run, 6 if self.plan.model else 25)
                tasks.start_soon(self._weather, began)
                tasks.start_soon(self._follow, start)
                tasks.start_soon(self._pass_by)

    async def _weather(self, began: float) -> None:
        """Make trouble in shuffled rounds, so that even a short storm has some of every kind."""
        dice = self._dice("weather")
        mean = 1.5 if self.plan.model else 0.7
        cards: list[str] = []
        while True:
            await anyio.sleep(dice.expovariate(1 / mean))
            if not cards:
                cards = [blow for blow, count in self._blows().items() for _ in range(count)]
                dice.shuffle(cards)
            late = anyio.current_time() - began > 0.7 * self.plan.seconds
            blow = cards.pop()
            if blow == "kill service" and late:  # the last service lives long enough to leak
                continue
            with anyio.CancelScope(shield=True):  # what was begun is undone
                await self._strike(blow, dice)
                self.host.check()

    def _blows(self) -> dict[str, int]:
        blows = {
            "kill speech": 3,
            "kill media": 3,
            "stop speech": 1,
            "stop media": 2,
            "freeze": 1,
            "lock": 1,
            "kill service": 2,
        }
        blows |= {"doze speech": 1, "doze media": 2}  # stopped for a moment only: they hear late what they were told
        if self.plan.model is None:
            blows |= {"kill speakers": 2, "doze speakers": 1}
        if self.plan.seats > 1:
            blows |= {"kill a seat": 3, "stop a seat": 2}
        if self.plan.model is not None:
            blows |= {"starve": 4, "starve at birth": 1, "kill speech": 1, "kill media": 2, "stop media": 1}
        return blows | ({"fill": 2} if self._ballast is not None else {})

    async def _strike(self, blow: str, dice: random.Random) -> None:
        acts: dict[str, Callable[[], Awaitable[Any]]] = {
            "kill speech": lambda: self.host.strike("speech", signal.SIGKILL),
            "kill media": lambda: self.host.strike("media", signal.SIGKILL),
            "stop speech": lambda: self.host.strike("speech", signal.SIGSTOP),
            "stop media": lambda: self.host.strike("media", signal.SIGSTOP),
            "doze speech": lambda: self.host.doze("speech", dice.uniform(0.2, 1.5)),
            "doze media": lambda: self.host.doze("media", dice.uniform(0.2, 1.5)),
            "kill speakers": lambda: self.host.strike("speakers", signal.SIGKILL),
            "doze speakers": lambda: self.host.doze("speakers", dice.uniform(0.2, 1.5)),
            "kill a seat": lambda: self.host.strike(f"speech-{self.plan.seats}", signal.SIGKILL),
            "stop a seat": lambda: self.host.strike(f"speech-{self.plan.seats}", signal.SIGSTOP),
            "kill service": self.host.kill,
            "freeze": lambda: self.host.freeze(dice.uniform(0.2, 1.5)),
            "lock": lambda: self.host.lock(dice.uniform(0.2, 1.5)),
            "starve": lambda: self.host.starve(dice.choice((0, 0, 16 << 20))),
            "starve at birth": lambda: self.host.starve_at_birth(dice.uniform(0.5, 3.0)),
            "fill": lambda: self._fill(dice.uniform(0.2, 1.5)),
        }
        await acts[blow]()

    async def _fill(self, seconds: float) -> None:
        assert self._ballast is not None
        try:
            await to_thread.run_sync(self._ballast.fill)
            self.host.done["disk filled"] += 1
            await anyio.sleep(seconds)
        finally:
            self._ballast.free()

    async def _follow(self, start: Callable[..., object]) -> None:
        """Open the events of a new job now and then, up to its end."""
        dice = self._dice("followers")
        followed: set[str] = set()
        while True:
            await anyio.sleep(dice.expovariate(1.0))
            new = [
                entry.id for entry in self.entries[-20:] if entry.id and not entry.deleted and entry.id not in followed
            ]
            if new:
                followed.add(job_id := dice.choice(new))
                follower = Subscriber(self.line, f"/api/jobs/{job_id}/events", dice)
                self.followers.append((job_id, follower))
                start(follower.run)

    async def _pass_by(self) -> None:
        """Open streams for a moment and leave them."""
        dice = self._dice("visitors")
        while True:
            visitor = Subscriber(self.line, "/api/events", dice)
            with anyio.move_on_after(dice.uniform(0.05, 1.5)):
                await visitor.run()
            self.host.done["visitors"] += 1

    # -- calm --------------------------------------------------------------------------------------------------------

    async def _settle(self) -> None:
        """Let the users resume what they paused, and retry what the storm took from them."""
        for _ in range(ROUNDS):
            pending: list[tuple[User, Entry]] = [
                (u, e) for u in self.users for e in u.entries if e.id and not e.deleted
            ]
            for user, entry in pending:
                await user.refresh(entry) if entry.paused else None
                if entry.paused:
                    await user.steer(entry, "resume")
            await self._all_ended([entry for _, entry in pending])
            again = [(user, entry) for user, entry in pending if await self._wants_retry(entry)]
            for user, entry in again:
                await user.steer(entry, "retry")
            if not again:
                return

    async def _wants_retry(self, entry: Entry) -> bool:
        if entry.cancelled:
            return False
        job = (await self.line.look(f"/api/jobs/{entry.id}")).json()
        codes = [job["error"]["code"]] if job["status"] == "failed" and entry.piece.sound else []
        if job["status"] == "failed" and not entry.piece.sound and job["error"]["code"] != entry.piece.code:
            codes.append(job["error"]["code"])
        for index, error in self.host.rows(
            "SELECT \"index\", error FROM chunk WHERE job_id = ? AND state = 'failed'", entry.id
        ):
            if job["status"] == "completed" and index not in entry.piece.holes:
                codes.append(f"gap: {json.loads(error)['code']}")
        self.retried.update(codes)
        for code in codes:
            if code.removeprefix("gap: ") not in EXPLAINED | {entry.piece.hurts}:
                self.report.findings.append(
                    f"{entry.name} ({entry.id}) had to be tried again because of {code}: {job['error'] or job['gaps']}"
                )
        return bool(codes)

    async def _all_ended(self, entries: list[Entry]) -> None:
        wanted = {entry.id for entry in entries}
        left: set[str | None] = set()
        with anyio.move_on_after(CALM_S):
            while True:
                left = wanted & await self._open()
                if not left:
                    return
                await anyio.sleep(0.3)
        for job_id in left:
            job = self.host.rows("SELECT name, status, phase, message FROM job WHERE id = ?", job_id)
            self.report.findings.append(f"{job_id} did not come to an end in {CALM_S:.0f} s of calm: {job}")

    async def _open(self) -> set[str | None]:
        answer = await self.line.look("/api/system")
        open_jobs = {status for status, count in answer.json()["jobs"].items() if count and status not in TERMINAL}
        if not open_jobs:
            return set()
        return {
            job_id
            for (job_id,) in self.host.rows("SELECT id FROM job WHERE status IN ('pending', 'processing', 'paused')")
        }

    # -- judgement ---------------------------------------------------------------------------------------------------

    async def _judge(self) -> None:
        found = self.report.findings
        deleted = {entry.id for entry in self.entries if entry.id and entry.deleted}
        found += verdict.jobs(self.host, self.entries)
        found += verdict.lifecycles(self.host)
        found += verdict.files(self.host)
        states = dict(self.host.rows("SELECT id, status FROM job"))
        for entry in self.entries:
            if entry.id in states:
                found += verdict.transcript(entry, states[entry.id], await self._transcript(entry), self.heard)
                found += verdict.speakers(self.host, entry, states[entry.id], self.timelines)
        for keeper in self.keepers:
            found += verdict.subscriber(self.host, keeper, None, deleted)
        for job_id, follower in self.followers:
            found += verdict.subscriber(self.host, follower, job_id, deleted)

    async def _look_for_leaks(self, idle: Counter[str]) -> None:
        more = await self._quiet() - idle
        if more:
            self.report.findings.append(f"the service has more files open than before the storm: {dict(more)}")
        living = [child for child in self.host.children() if "spawn_main" in " ".join(child.cmdline())]
        if len(living) > 3 + self.plan.seats:
            self.report.findings.append(f"too many actors: {living}")

    def _tell(self, log: list[dict[str, Any]]) -> None:
        report, entries = self.report, self.entries
        states = Counter(state for (state,) in self.host.rows("SELECT status FROM job"))
        (chunks,) = self.host.rows("SELECT count(*) FROM chunk WHERE state = 'done'")[0]
        (changes,) = self.host.rows("SELECT seq FROM sqlite_sequence WHERE name = 'change'")[0]
        listeners = [*self.keepers, *(follower for _, follower in self.followers)]
        asked = sum((user.asked for user in self.users), Counter[str]())
        report.say("done to it", self.host.done)
        report.say(
            "deaths as it saw them", Counter(entry["cause"] for entry in log if entry.get("action") == "actor_died")
        )
        if self.plan.model is not None:
            report.lines.append(f"batches too large for the memory that was left: {self.host.hungry()}")
        report.say("what it logged as failed", Counter(entry["action"] for entry in log if "traceback" in entry))
        report.say("asked of it", asked)
        report.say("turned away", self.line.refused)
        report.say("jobs", states + Counter({"deleted": sum(entry.deleted for entry in entries)}))
        report.say("tried again by their users after the storm", self.retried)
        told = sum(len(listener.got) for listener in listeners)
        report.lines.append(
            f"accepted {sum(entry.id is not None for entry in entries)}, "
            f"requests without an answer {self.line.unanswered}, "
            f"chunks done {chunks}, changes {changes}"
        )
        report.lines.append(
            f"subscribers {len(listeners)}, connections {sum(listener.connects for listener in listeners)}, "
            f"stalls {sum(listener.stalls for listener in listeners)}, events told {told}"
        )
        report.lines.append(f"losses: {sum(finding.startswith('LOST') for finding in report.findings)}")


def seeds(text: str) -> Iterator[int]:
    """Read numbers: `1,2,3`."""
    return map(int, text.split(","))
