"""What an offline run of W&B holds: its log is blocks of 32 KiB with checked pieces of protobuf records."""

from __future__ import annotations

import json
import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

BLOCK, HEADER = 1 << 15, 7
FULL, FIRST, LAST = 1, 2, 4


@dataclass
class Logged:
    """An artifact."""

    name: str
    type: str
    aliases: list[str]
    files: dict[str, Path]
    metadata: dict[str, Any]


@dataclass
class OfflineRun:
    """Everything that was said of a run."""

    facts: Any = None
    config: dict[str, Any] = field(default_factory=dict)
    summary: dict[str, Any] = field(default_factory=dict)
    history: list[dict[str, Any]] = field(default_factory=list)
    artifacts: list[Logged] = field(default_factory=list)
    axes: dict[str, str] = field(default_factory=dict)
    exit_code: int | None = None

    def values(self, name: str) -> list[Any]:
        """Of a metric, in order."""
        return [row[name] for row in self.history if name in row]

    def table(self, key: str) -> tuple[list[str], list[list[Any]]]:
        """Columns and rows of the latest table of this key."""
        artifact = self.table_artifact(key)
        document = json.loads(artifact.files[f"{key}.table.json"].read_text())
        return document["columns"], document["data"]

    def table_artifact(self, key: str) -> Logged:
        return next(each for each in reversed(self.artifacts) if f"{key}.table.json" in each.files)


def find(run: Path) -> list[Path]:
    """The logs of a training's folder."""
    return sorted((run / "tracking" / "wandb").glob("offline-run-*/*.wandb"))


def read(path: Path) -> OfflineRun:
    run = OfflineRun()
    for record in _records(path):
        _take(run, record)
    return run


def _records(path: Path) -> Iterator[Any]:
    from wandb.proto import wandb_internal_pb2

    content, place, parts = path.read_bytes(), HEADER, b""
    assert content.startswith(b":W&B")
    while place + HEADER <= len(content):
        if BLOCK - place % BLOCK < HEADER:
            place += BLOCK - place % BLOCK
            continue
        checksum, length, kind = struct.unpack_from("<IHB", content, place)
        piece = content[place + HEADER : place + HEADER + length]
        if kind == 0 or len(piece) < length:
            return
        assert zlib.crc32(bytes([kind]) + piece) == checksum
        place += HEADER + length
        parts = piece if kind in {FULL, FIRST} else parts + piece
        if kind in {FULL, LAST}:
            record = wandb_internal_pb2.Record()
            record.ParseFromString(parts)
            yield record


def _take(run: OfflineRun, record: Any) -> None:
    kind = record.WhichOneof("record_type")
    if kind == "run":
        run.facts = record.run
        run.config |= _items(record.run.config.update)
    elif kind == "config":
        run.config |= _items(record.config.update)
    elif kind == "summary":
        run.summary |= _items(record.summary.update)
    elif kind == "history":
        run.history.append(_items(record.history.item) | {"_step": record.history.step.num})
    elif kind == "metric":
        run.axes[record.metric.name or record.metric.glob_name] = record.metric.step_metric
    elif kind == "artifact":
        files = {entry.path: Path(entry.local_path) for entry in record.artifact.manifest.contents}
        metadata = json.loads(record.artifact.metadata or "{}")
        facts = record.artifact
        run.artifacts.append(Logged(facts.name, facts.type, list(facts.aliases), files, metadata))
    elif kind == "exit":
        run.exit_code = record.exit.exit_code


def _items(items: Any) -> dict[str, Any]:
    return {"/".join(item.nested_key) or item.key: json.loads(item.value_json) for item in items}
