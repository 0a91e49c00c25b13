"""A database with many finished jobs, filled with the triggers that a service uses."""

from __future__ import annotations

import random
import re
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from whisper_service.storage import database, search_terms

ENGLISH = re.split(
    " +",
    "the of and to in is that for it was on with as we have to decide about "
    "budget meeting transcript crash model memory audio"
    " recording language database power second minute hour people think know because",
)
CHINESE = (
    "每个分块完成后先写入数据库断点写在进程崩溃以后从最后继续会议预算"
    "语音转写模型内存录音语言秒分钟小时我们知道因为的是了不在人有这"
)
RARE = "zyxwvut 龘靐齉"
WORDS = "[" + ",".join(['{"start":12.25,"end":12.75,"word":" recording","probability":0.9}'] * 14) + "]"


def jobs(count: int, segments: int) -> Iterator[tuple[tuple[Any, ...], list[str]]]:
    """Rows of jobs, and the texts of each."""
    draw = random.Random(1)
    for n in range(count):
        texts = [
            " ".join(draw.choices(ENGLISH, k=14)) if n % 2 else "".join(draw.choices(CHINESE, k=30))
            for _ in range(segments)
        ]
        if n == 17:
            texts[0] += f" {RARE}"
        name = f"{draw.choice(ENGLISH)} {n}.wav" if n % 2 else "".join(draw.choices(CHINESE, k=5)) + f" {n}.m4a"
        yield (f"{n:026d}", name, "failed" if n % 20_000 == 7 else "completed"), texts


async def fill(path: Path, count: int, segments: int) -> None:
    """A database of that size."""
    async with database.connect(path) as connection:
        await database.prepare(connection, path)
    with sqlite3.connect(path, isolation_level=None) as plain:
        plain.create_function("grams", 1, search_terms.grams, deterministic=True)
        plain.execute("PRAGMA synchronous = OFF")
        plain.execute("BEGIN")
        for n, (job, texts) in enumerate(jobs(count, segments)):
            plain.execute(
                "INSERT INTO job (id, name, status, options, created_at, bytes, sha256, progress, message, position_s,"
                " chunks_done, chunks_total, decoded, attempts, rank, gaps)"
                " VALUES (?, ?, ?, '{}', 0, 1, 'x', 1, '', 0, 1, 1, 1, 1, 0, '[]')",
                job,
            )
            chunk = 'INSERT INTO chunk (job_id, "index", start_sample, samples, start, "end", state)'
            plain.execute(f"{chunk} VALUES (?, 0, 0, 1, 0, 1, 'done')", job[:1])
            plain.executemany(
                'INSERT INTO segment (job_id, chunk, "index", start, "end", text, words) VALUES (?, 0, ?, 0, 1, ?, ?)',
                [(job[0], index, text, WORDS) for index, text in enumerate(texts)],
            )
            if n % 2_000 == 1_999:
                plain.execute("COMMIT")
                plain.execute("BEGIN")
        plain.execute("COMMIT")
    plain.close()
