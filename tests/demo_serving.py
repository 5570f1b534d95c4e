"""The real page in a process of its own, and visitors who talk to it over HTTP alone."""

import http.client
import json
import os
import re
import secrets
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx

SERVE = """
import sys
from pathlib import Path

def tell(event, arguments):
    if event in ("socket.connect", "socket.getaddrinfo"):
        host = arguments[0] if event == "socket.getaddrinfo" else arguments[1][0]
        if host not in (None, "127.0.0.1", "localhost", "::1"):
            print(f"The server asked {host} for something.", file=sys.stderr, flush=True)

sys.addaudithook(tell)
from unetlift.demo import launch
launch(Path(sys.argv[1]), passwords=Path(sys.argv[2]) if sys.argv[2:] else None)
"""


@dataclass(frozen=True)
class Server:
    """The page.

    Attributes:
        address: with a slash at its end.
        cache: where Gradio keeps files.
        temporary: where visitors' own folders lie.
        process: that serves it.
    """

    address: str
    cache: Path
    temporary: Path
    process: subprocess.Popen

    def files(self) -> list[Path]:
        """All that lies in Gradio's cache and in visitors' folders."""
        folders = (self.cache, *self.temporary.glob("unetlift-*"))  # onnxruntime leaves a file of its own beside them
        return [path for folder in folders for path in folder.rglob("*") if path.is_file()]

    def peak(self) -> float:
        """The most memory that it ever took, in MB."""
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        return int(re.search(r"VmHWM:\s+(\d+) kB", status)[1]) / 1024

    def raw(self, target: str, method: str = "GET", headers: dict[str, str] | None = None, body: bytes | None = None) -> tuple[int, str]:
        """Status and body of a request whose target is sent letter by letter, which other clients would tidy up."""
        connection = http.client.HTTPConnection(urlsplit(self.address).netloc, timeout=60)
        connection.putrequest(method, target, skip_accept_encoding=True)
        for name, value in (headers or {}).items():
            connection.putheader(name, value)
        connection.endheaders(body)
        answer = connection.getresponse()
        read = answer.status, answer.read().decode("utf-8", "replace")
        connection.close()
        return read


@contextmanager
def served(checkpoints: Path, folder: Path, *passwords: Path) -> Iterator[Server]:
    """The page over some checkpoints; at the end it had asked no other machine for anything."""
    cache, temporary = folder / "gradio", folder / "temporary"
    temporary.mkdir()
    places = {"GRADIO_TEMP_DIR": str(cache), "TMPDIR": str(temporary), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-c", SERVE, str(checkpoints), *map(str, passwords)]
    log = folder / "log.txt"
    with log.open("w") as complaints:
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=complaints, text=True, env=os.environ | places)
    try:
        line = process.stdout.readline()
        found = re.search(r"http://127\.0\.0\.1:\d+/", line)
        assert found, line + log.read_text()
        yield Server(found[0], cache, temporary, process)
        assert process.poll() is None, log.read_text()[-2000:]
    finally:
        process.terminate()
        process.communicate(timeout=120)
    assert [line for line in log.read_text().splitlines() if line.startswith("The server asked")] == []


@dataclass
class Visitor:
    """Somebody with a session of his own."""

    address: str
    session: str = field(default_factory=lambda: secrets.token_hex(8))

    def __post_init__(self) -> None:
        self.http = httpx.Client(base_url=self.address, timeout=120)
        self.events = self.http.get("config").json()["dependencies"]

    def close(self) -> None:
        """Hangs up."""
        self.http.close()

    def upload(self, *files: tuple[str, bytes]) -> list[dict[str, Any]]:
        """Sends files, and gives what a page would then say of them."""
        answer = self.http.post("gradio_api/upload", files=[("files", file) for file in files])
        answer.raise_for_status()
        return [told(path, file[0]) for path, file in zip(answer.json(), files, strict=True)]

    def join(self, event: str | int, data: list[Any]) -> httpx.Response:
        """Asks for an event by name or number."""
        number = event if isinstance(event, int) else next(e["id"] for e in self.events if e["api_name"] == event)
        asked = {"data": data, "fn_index": number, "session_hash": self.session, "trigger_id": None}
        return self.http.post("gradio_api/queue/join", json=asked)

    def messages(self) -> Iterator[dict[str, Any]]:
        """What the server says of what was asked for, until it is done."""
        with self.http.stream("GET", f"gradio_api/queue/data?session_hash={self.session}") as answers:
            for line in answers.iter_lines():
                if line.startswith("data:"):
                    message = json.loads(line[5:])
                    yield message
                    if message["msg"] in ("process_completed", "unexpected_error"):
                        return

    def ask(self, event: str | int, data: list[Any]) -> str:
        """All that the server says to an event."""
        joined = self.join(event, data)
        if joined.status_code != 200:
            return joined.text
        return json.dumps(list(self.messages()), ensure_ascii=False)


def told(path: str, name: str = "file") -> dict[str, Any]:
    """A file as Gradio's page tells of it."""
    return {"path": path, "orig_name": name, "meta": {"_type": "gradio.FileData"}}
