"""A server on the loopback address that speaks as much of W&B's protocol as a tracked training needs.

Runs, their history and summary, files and artifacts up and down, resuming; all of it in memory.
"""

from __future__ import annotations

import base64
import gzip
import hashlib
import json
import re
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

ENTITY = "me"
KEY = "k" * 40
Variables = dict[str, Any]


@dataclass
class Kept:
    """An artifact's version."""

    id: str
    name: str
    type: str
    aliases: list[str]
    metadata: str
    digest: str
    run: str
    is_committed: bool = False
    manifest: str = ""
    """Where it was put."""


@dataclass
class WandbServer:
    """What clients sent, and answers for them."""

    runs: dict[str, Variables] = field(default_factory=dict)
    streams: list[tuple[str, Variables]] = field(default_factory=list)
    uploads: dict[str, bytes] = field(default_factory=dict)
    artifacts: list[Kept] = field(default_factory=list)
    used: list[str] = field(default_factory=list)
    unknown: list[str] = field(default_factory=list)
    asked: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._server = _Quiet(("127.0.0.1", 0), _handler(self))
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """No answer any more."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def history(self, run: str) -> list[dict[str, Any]]:
        """The rows of a run, in the order in which they came."""
        return [json.loads(line) for line in self._lines(run, "wandb-history.jsonl")]

    def summary(self, run: str) -> dict[str, Any]:
        lines = self._lines(run, "wandb-summary.json")
        return json.loads(lines[-1]) if lines else {}

    def _lines(self, run: str, file: str) -> list[str]:
        documents = (document.get("files", {}).get(file) for name, document in self.streams if name == run)
        return [line for document in documents if document for line in document["content"]]

    def files_of(self, artifact: Kept) -> dict[str, bytes]:
        """What a client would get of an artifact."""
        contents = json.loads(self.uploads[artifact.manifest])["contents"]
        return {name: self.by_digest(entry["digest"]) for name, entry in contents.items()}

    def by_digest(self, digest: str) -> bytes:
        """The upload whose MD5, in base64, is this."""
        return next(
            content
            for content in self.uploads.values()
            if base64.b64encode(hashlib.md5(content, usedforsecurity=False).digest()).decode() == digest
        )

    def answer(self, query: str, variables: Variables) -> Variables:
        """To one request in GraphQL."""
        found = re.search(r"(?:query|mutation)\s+(\w+)", query)
        operation = found[1] if found else "?"
        self.asked.append(operation)
        viewer = {"id": "u", "entity": ENTITY, "username": ENTITY, "flags": "{}", "teams": {"edges": []}}
        answers: dict[str, Callable[[Variables], Variables]] = {
            "Viewer": lambda _: {"viewer": viewer},
            "GetDefaultEntity": lambda _: {"viewer": viewer},
            "OrganizationCoreWeaveOrganizationID": lambda _: {"entity": None},
            "UseArtifact": self._use,
            "ServerFeaturesQuery": lambda _: {"serverInfo": {"features": []}},
            "UpsertBucket": self._upsert,
            "RunResumeStatus": self._resume,
            "RunStoppedStatus": lambda _: {"project": {"run": {"stopped": False}}},
            "CreateRunFiles": self._run_files,
            "ArtifactType": lambda _: {"project": {"artifact": None}},
            "CreateArtifact": self._create,
            "CreateArtifactManifest": self._manifest,
            "CreateArtifactFiles": self._artifact_files,
            "CommitArtifact": self._commit,
            "ArtifactMembershipByName": self._membership,
            "FetchArtifactManifest": self._fetch_manifest,
            "GetArtifactMembershipFileUrls": self._file_urls,
            "ArtifactByID": lambda v: {"artifact": self._described(self._by_id(v["id"]))},
        }
        if operation not in answers:
            self.unknown.append(f"{operation} {json.dumps(variables)}\n{query}")
            return {}
        return answers[operation](variables)

    def _upsert(self, variables: Variables) -> Variables:
        name = variables["name"]
        is_new = name not in self.runs
        self.runs.setdefault(name, {}).update({key: value for key, value in variables.items() if value is not None})
        project = {"id": "p", "name": variables.get("project") or "p", "entity": {"id": "e", "name": ENTITY}}
        bucket = {"id": "b", "name": name, "displayName": variables.get("displayName") or name, "description": ""}
        bucket |= {"config": variables.get("config"), "sweepName": None, "historyLineCount": 0, "project": project}
        return {"upsertBucket": {"bucket": bucket, "inserted": is_new}}

    def _resume(self, variables: Variables) -> Variables:
        name = variables["name"]
        if name not in self.runs:
            return {"model": None}
        lines = self._lines(name, "wandb-history.jsonl")
        bucket = {"id": "b", "name": name, "displayName": name, "tags": [], "notes": "", "eventsTail": "[]"}
        bucket |= {"summaryMetrics": json.dumps(self.summary(name)), "historyTail": json.dumps(lines[-1:])}
        bucket |= {"historyLineCount": len(lines), "eventsLineCount": 0, "logLineCount": 0}
        bucket |= {"config": self.runs[name].get("config") or "{}", "wandbConfig": json.dumps({"t": 1})}
        project = {"id": "p", "name": variables["project"], "entity": {"id": "e", "name": ENTITY}}
        return {"model": project | {"bucket": bucket}}

    def _run_files(self, variables: Variables) -> Variables:
        urls = [{"name": name, "uploadUrl": f"{self.url}/run/{variables['run']}/{name}"} for name in variables["files"]]
        return {"createRunFiles": {"runID": "r", "uploadHeaders": [], "files": urls}}

    def _create(self, variables: Variables) -> Variables:
        given = variables["input"]
        names = [alias["alias"] for alias in given["aliases"]]
        kept = Kept(
            f"artifact{len(self.artifacts)}",
            given["artifactCollectionName"],
            given["artifactTypeName"],
            names,
            given.get("metadata") or "{}",
            given["digest"],
            given.get("runName") or "",
        )
        for earlier in self.artifacts:
            if earlier.name == kept.name:
                earlier.aliases = [alias for alias in earlier.aliases if alias not in names]
        self.artifacts.append(kept)
        artifact = {"id": kept.id, "state": "PENDING", "artifactSequence": {"latestArtifact": None}}
        return {"createArtifact": {"artifact": artifact}}

    def _manifest(self, variables: Variables) -> Variables:
        artifact = self._by_id((variables.get("input") or variables)["artifactID"])
        artifact.manifest = f"/manifest/{artifact.id}"
        file = {"id": "f", "name": "wandb_manifest.json", "displayName": "wandb_manifest.json"}
        file |= {"uploadUrl": self.url + artifact.manifest, "uploadHeaders": []}
        return {"createArtifactManifest": {"artifactManifest": {"id": f"m{artifact.id}", "file": file}}}

    def _artifact_files(self, variables: Variables) -> Variables:
        nodes = []
        for number, given in enumerate(variables["input"]["artifactFiles"]):
            url = f"{self.url}/file/{given['artifactID']}/{given['name']}"
            node = {"id": f"n{number}", "name": given["name"], "displayName": given["name"], "uploadUrl": url}
            node |= {"uploadHeaders": [], "uploadMultipartUrls": None, "storagePath": ""}
            nodes.append({"node": node | {"artifact": {"id": given["artifactID"]}}})
        return {"createArtifactFiles": {"files": {"edges": nodes}}}

    def _commit(self, variables: Variables) -> Variables:
        artifact = self._by_id((variables.get("input") or variables)["artifactID"])
        artifact.is_committed = True
        return {"commitArtifact": {"artifact": {"id": artifact.id, "digest": artifact.digest}}}

    def _membership(self, variables: Variables) -> Variables:
        artifact = self.named(variables["name"])
        if artifact is None:
            return {"project": {"artifactCollectionMembership": None}}
        described = self._described(artifact)
        membership = {"__typename": "ArtifactCollectionMembership", "id": "m", "createdAt": "2026-01-01T00:00:00"}
        membership |= {"versionIndex": described["versionIndex"], "aliases": described["aliases"]}
        membership |= {"artifactCollection": described["artifactSequence"], "artifact": described}
        return {"project": {"artifactCollectionMembership": membership}}

    def _fetch_manifest(self, variables: Variables) -> Variables:
        url = self.url + self._by_id(variables["id"]).manifest
        return {"artifact": {"currentManifest": {"file": {"directUrl": url}}}}

    def _file_urls(self, variables: Variables) -> Variables:
        number = int(variables["alias"].removeprefix("v"))
        artifact = [each for each in self.artifacts if each.name == variables["collection"]][number]
        prefix = f"/file/{artifact.id}/"
        names = [path.removeprefix(prefix) for path in self.uploads if path.startswith(prefix)]
        edges = [{"node": {"__typename": "File", "name": n, "directUrl": f"{self.url}{prefix}{n}"}} for n in names]
        page = {"__typename": "PageInfo", "endCursor": None, "hasNextPage": False}
        membership = {"files": {"pageInfo": page, "edges": edges}}
        collection = {"__typename": "ArtifactSequence", "artifactMembership": membership}
        return {"project": {"artifactCollection": collection}}

    def named(self, name: str) -> Kept | None:
        """The version that NAME:ALIAS is now."""
        collection, _, alias = name.partition(":")
        found = [each for each in self.artifacts if each.name == collection and alias in each.aliases]
        return found[-1] if found else None

    def _use(self, variables: Variables) -> Variables:
        self.used.append(variables["artifactID"])
        return {"useArtifact": {"artifact": self._described(self._by_id(variables["artifactID"]))}}

    def _by_id(self, identity: str) -> Kept:
        return next(artifact for artifact in self.artifacts if artifact.id == identity)

    def _described(self, artifact: Kept) -> Variables:
        project = {"__typename": "Project", "id": "p", "internalId": "1", "name": "phantom"}
        project |= {"entity": {"__typename": "Entity", "name": ENTITY}}
        collection = {"__typename": "ArtifactSequence", "id": "c", "name": artifact.name, "project": project}
        aliases = [
            {"__typename": "ArtifactAlias", "id": alias, "alias": alias, "artifactCollection": collection}
            for alias in artifact.aliases
        ]
        version = [each for each in self.artifacts if each.name == artifact.name].index(artifact)
        return {
            "__typename": "Artifact",
            "id": artifact.id,
            "artifactSequence": collection,
            "versionIndex": version,
            "artifactType": {"name": artifact.type},
            "description": None,
            "metadata": artifact.metadata,
            "ttlDurationSeconds": -1,
            "ttlIsInherited": True,
            "tags": [],
            "historyStep": None,
            "size": 1,
            "state": "COMMITTED" if artifact.is_committed else "PENDING",
            "digest": artifact.digest,
            "commitHash": "h",
            "fileCount": 2,
            "createdAt": "2026-01-01T00:00:00",
            "updatedAt": None,
            "aliases": aliases,
        }


class _Quiet(ThreadingHTTPServer):
    """Clients may hang up as they like."""

    daemon_threads = True

    def handle_error(self, *args: Any) -> None:
        """Say nothing."""


def _handler(server: WandbServer) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, *args: Any) -> None:
            """Say nothing."""

        def do_PUT(self) -> None:
            server.uploads[self.path] = self._body()
            self._send(b"{}")

        def do_GET(self) -> None:
            self._send(server.uploads.get(self.path, b"{}"))

        def do_POST(self) -> None:
            content = self._body()
            if self.path.endswith("/file_stream"):
                server.streams.append((self.path.split("/")[-2], json.loads(content)))
                self._send(json.dumps({"exitcode": None, "limits": {}}).encode())
                return
            asked = json.loads(content)
            answer = {"data": server.answer(asked["query"], asked.get("variables") or {})}
            self._send(json.dumps(answer).encode())

        def _send(self, content: bytes) -> None:
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def _body(self) -> bytes:
            length = int(self.headers.get("Content-Length") or 0)
            content = self.rfile.read(length)
            if "chunked" in (self.headers.get("Transfer-Encoding") or ""):
                while size := int(self.rfile.readline().strip() or b"0", 16):
                    content += self.rfile.read(size)
                    self.rfile.readline()
                self.rfile.readline()
            return gzip.decompress(content) if self.headers.get("Content-Encoding") == "gzip" else content

    return Handler
