"""What strangers try on the page's server, each over real HTTP against the real server in its own process."""

import io
import json
import os
import pickle
import socket
import struct
import time
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

import httpx
import numpy as np
import pytest
import tifffile
import torch
from demo_serving import Server, Visitor, served, told
from PIL import Image

from unetlift import UNet
from unetlift.demo.guard import MOST_ASKED, MOST_KEPT, MOST_UPLOADED

NETWORKS = ({"down": "max", "up": "nearest"}, {"down": "lift", "up": "lift", "phase": "adaptive", "padding_mode": "circular"})
SECRET = "only the server's owner may read this"
JOB = ["crop", 1, "0", "1", "find out"]
EXAMPLE = "nuclei"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("served")


@pytest.fixture(scope="module")
def secret(folder: Path) -> Path:
    path = folder / "secret.txt"
    path.write_text(SECRET)
    return path


@pytest.fixture(scope="module")
def server(folder: Path, secret: Path) -> Iterator[Server]:
    for number, network in enumerate(NETWORKS):
        torch.manual_seed(0)
        UNet(depth=2, width=4, classes=2, **network).save_pretrained(folder / "checkpoints" / str(number))
    with served(folder / "checkpoints", folder) as server:
        yield server


@pytest.fixture
def visitor(server: Server) -> Iterator[Visitor]:
    visitor = Visitor(server.address)
    yield visitor
    visitor.close()


@pytest.fixture
def other(server: Server) -> Iterator[Visitor]:
    other = Visitor(server.address)
    yield other
    other.close()


@pytest.fixture(autouse=True)
def nothing_stays(server: Server) -> Iterator[None]:
    """After every attack the server answers, and holds no file of anybody's but archives that were asked for."""
    yield
    assert httpx.get(server.address, timeout=60).status_code == 200
    end = time.monotonic() + 20
    while left := [path for path in server.files() if "parcels" not in path.parts]:
        assert time.monotonic() < end, left
        time.sleep(0.1)


def png(seed: int = 0, side: int = 128) -> bytes:
    buffer = io.BytesIO()
    pixels = np.random.default_rng(seed).integers(0, 255, (side, side), dtype=np.uint8)
    Image.fromarray(pixels).save(buffer, format="PNG")
    return buffer.getvalue()


def archive(**files: bytes) -> bytes:
    """A zip."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as packed:
        for name, data in files.items():
            packed.writestr(name, data)
    return buffer.getvalue()


def measured(visitor: Visitor, *files: tuple[str, bytes]) -> str:
    """What the page says of a model."""
    begun = visitor.ask("yours_begin", [None, visitor.upload(*files), EXAMPLE, None, *JOB])
    return begun if '"success": false' in begun else visitor.ask("yours_measure", [None])


def answered(visitor: Visitor, *files: tuple[str, bytes]) -> str:
    """What the page says of pictures."""
    begun = visitor.ask("batch_begin", [None, None, visitor.upload(*files)])
    return begun if '"success": false' in begun else visitor.ask("batch_answer", [None, "max+nearest", True])


def test_no_file_of_the_server_is_served(server: Server, secret: Path) -> None:
    config = server.cache.parent / "checkpoints" / "0" / "config.json"
    inside = f"{server.cache}/../{secret.name}"
    up = "../" * 12
    paths = ["/etc/passwd", "//etc/passwd", f"{up}etc/passwd", quote(f"{up}etc/passwd", safe=""), f"{quote(up, safe='')}etc/passwd"]
    paths += ["..%2f" * 12 + "etc%2fpasswd", "..%5c" * 12 + "etc%5cpasswd", "..\\" * 12 + "etc\\passwd"]
    paths += ["%252e%252e%252f" * 12 + "etc/passwd"]
    paths += [str(secret), inside, quote(inside, safe=""), str(config), f"{server.cache}/parcels/../../{secret.name}", "/etc/passwd%00.png"]
    paths += [f"{server.cache}/parcels/a/../../../{secret.name}", "/proc/self/environ", "/dev/zero", str(server.cache), "file:///etc/passwd"]
    places = ("gradio_api/file=", "gradio_api/file/", "gradio_api/file%3D", "file=", "file/", "static/", "assets/", "svelte/", "")
    places += ("gradio_api/proxy=", "gradio_api//file=", "gradio_api/./file=", "/gradio_api/file=")
    places += ("gradio_api/custom_component/1/client/x/",)
    for place in places:
        for path in paths:
            target = f"/{place}{path}".replace("\\", "%5c")
            status, body = server.raw(target)
            assert "root:" not in body and SECRET not in body and '"network"' not in body, target
            assert status >= 400 or "<!doctype html>" in body.lower(), target


def test_an_uploads_name_leads_nowhere(server: Server, visitor: Visitor) -> None:
    before = sorted(server.cache.parent.iterdir())
    names = ["../../evil.png", "..\\..\\evil.png", "/etc/evil.png", "a/../../evil.png", "evil\x00.png", "%2e%2e%2fevil.png"]
    names += ["é" * 300 + ".png"]
    files = visitor.upload(*((name, png(number)) for number, name in enumerate(names)))
    assert all(server.cache in Path(file["path"]).parents and ".." not in Path(file["path"]).parts for file in files)
    said = visitor.ask("batch_begin", [None, None, files])
    assert '"success": true' in said
    said = visitor.ask("batch_answer", [None, "max+nearest", False])
    assert "7 of 7 pictures answered" in said and "../" not in said
    assert sorted(server.cache.parent.iterdir()) == before
    assert visitor.http.post("gradio_api/upload", files=[("files", ("..", b"x"))]).status_code >= 400
    for path in server.cache.glob("tmp*"):  # Gradio leaves this one behind; uploads sweep the folder once it is old
        os.utime(path, (0, 0))
    visitor.ask("batch_begin", [None, None, visitor.upload(("last.png", png()))])
    visitor.ask("batch_cancel", [None])


def test_no_address_is_fetched_whoever_asks(server: Server, visitor: Visitor) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(0.2)
        address = f"http://127.0.0.1:{listener.getsockname()[1]}/x.png"
        kinds = [{"path": address, "url": address}, {"path": "x", "url": address}, {"path": address}]
        kinds += [{"path": "x", "url": None, "orig_name": address, "is_stream": True}, {"value": {"path": address}}]
        for kind in kinds:
            file = kind | {"meta": {"_type": "gradio.FileData"}}
            for event in visitor.events:
                for data in ([file] * len(event["inputs"]), [[file]] * len(event["inputs"])):
                    if data:
                        assert visitor.join(event["id"], data).status_code == 400
                        body = {"data": data, "fn_index": event["id"], "session_hash": visitor.session}
                        assert visitor.http.post(f"gradio_api/run/{event['api_name']}", json=body).status_code >= 400
                        assert visitor.http.post(f"gradio_api/call/{event['api_name']}", json=body).status_code >= 400
        for place in ("file=", "proxy=", "file/"):
            assert visitor.http.get(f"gradio_api/{place}{address}").status_code == 404
            assert visitor.http.head(f"gradio_api/{place}{address}").status_code == 404
        with pytest.raises(TimeoutError):
            listener.accept()


@pytest.mark.parametrize("address", ["http://192.0.2.7/x", "https://huggingface.co/x", "http://169.254.169.254/latest/meta-data/"])
def test_no_other_machine_is_asked(visitor: Visitor, address: str) -> None:
    """The server's own process tells of every connection and name that it asks for; see `served`."""
    assert visitor.join("yours_begin", [None, [told(address)], EXAMPLE, None, *JOB]).status_code == 400
    assert visitor.http.get(f"gradio_api/file={address}").status_code == 404


def test_files_that_were_not_uploaded_are_neither_read_nor_removed(server: Server, visitor: Visitor, secret: Path) -> None:
    folder = server.cache / ("0" * 64)
    for path in (str(secret), "/etc/passwd", "secret.txt", "../secret.txt", f"{server.cache}/../secret.txt", "", "\0", str(server.cache)):
        said = visitor.join("yours_begin", [None, [told(path)], EXAMPLE, None, *JOB])
        assert said.status_code == 400 and "was not uploaded here" in said.text
    (server.cache / "other").mkdir()
    for path in (server.cache / "other", folder, folder / "model.onnx"):  # another visitor's folder, and what is not there
        said = visitor.ask("yours_begin", [None, [told(str(path))], EXAMPLE, None, *JOB])
        assert "not there any more" in said
    assert secret.read_text() == SECRET and (server.cache / "other").is_dir()


def test_too_much_is_not_even_read(server: Server, visitor: Visitor) -> None:
    begun, kind = time.monotonic(), {"Content-Type": "multipart/form-data; boundary=x"}
    for target, most in (("/gradio_api/upload", MOST_UPLOADED), ("/gradio_api/queue/join", MOST_ASKED), ("/gradio_api/run/x", MOST_ASKED)):
        status, body = server.raw(target, "POST", kind | {"Content-Length": str(most + 1)})
        assert status == 413 and "up to" in body
    status, body = server.raw("/gradio_api/upload", "POST", kind | {"Transfer-Encoding": "chunked"}, b"5\r\nhello\r\n")
    assert status == 411 and "length" in body
    status, _ = server.raw("/gradio_api/upload", "POST", kind | {"Content-Length": "-1"})
    assert status == 400
    for target in ("process_recording", "component_server", "deep_link", "vibe-edit", "stream/x", "run-history/connect"):
        assert server.raw(f"/gradio_api/{target}", "POST", kind | {"Content-Length": "4"}, b"data")[0] == 404
    deep = b"[" * 200_000
    status, _ = server.raw("/gradio_api/queue/join", "POST", {"Content-Type": "application/json", "Content-Length": str(len(deep))}, deep)
    assert status == 400
    assert time.monotonic() - begun < 30


def test_uploads_do_not_fill_the_disk(server: Server, visitor: Visitor) -> None:
    server.cache.mkdir(exist_ok=True)
    hole = server.cache / "tmpfull"
    with hole.open("wb") as file:
        file.truncate(MOST_KEPT)  # a sparse file: nothing of the disk is taken
    try:
        refused = visitor.http.post("gradio_api/upload", files=[("files", ("a.png", png()))])
        assert refused.status_code == 503 and "try again" in refused.text
        os.utime(hole, (0, 0))  # an hour later
        (file,) = visitor.upload(("a.png", png()))
        assert not hole.exists()
    finally:
        hole.unlink(missing_ok=True)
    visitor.ask("batch_begin", [None, None, [file]])
    visitor.ask("batch_cancel", [None])


def huge_png(side: int = 30_000) -> bytes:
    """Black, one bit a pixel: 900 megapixels in some 110 kB."""
    packer, row = zlib.compressobj(9), bytes(1 + side // 8)
    data = b"".join(packer.compress(row * 1000) for _ in range(side // 1000)) + packer.flush()
    chunks = ((b"IHDR", struct.pack(">IIBBBBB", side, side, 1, 0, 0, 0, 0)), (b"IDAT", data), (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(struct.pack(">I", len(d)) + n + d + struct.pack(">I", zlib.crc32(n + d)) for n, d in chunks)


def huge_tiff() -> bytes:
    buffer = io.BytesIO()
    tifffile.imwrite(buffer, np.zeros((16, 16), np.uint8))
    return buffer.getvalue().replace(struct.pack("<HHII", 256, 4, 1, 16)[:8], struct.pack("<HHI", 256, 4, 1)).replace(
        struct.pack("<I", 16), struct.pack("<I", 60_000)
    )


def many_pages() -> bytes:
    buffer = io.BytesIO()
    tifffile.imwrite(buffer, np.zeros((50, 8, 8), np.uint8), photometric="minisblack")
    return buffer.getvalue()


def test_pictures_that_unfold_are_refused_by_their_header(server: Server, visitor: Visitor) -> None:
    before = server.peak()
    for name, data in (("a.png", huge_png()), ("a.tif", huge_tiff()), ("b.tif", many_pages())):
        assert len(data) < 2**18
        said = answered(visitor, (name, data))
        assert '"success": false' in said and name in said
        if name != "b.tif":
            said = visitor.ask("yours_picture", visitor.upload((name, data)))
            assert '"success": false' in said and name in said
    assert server.peak() - before < 150


def test_archives_neither_unfold_nor_slip(server: Server, visitor: Visitor) -> None:
    """What `unzip` refuses, and how, is tested with it; here, that it stands before whatever comes in."""
    before = sorted(server.temporary.parent.iterdir())
    packed = archive(**{"config.json": b"{}", "model.safetensors": bytes(2**16)})
    assert "MB unpacked" in measured(visitor, ("m.zip", packed.replace(struct.pack("<I", 2**16), struct.pack("<I", 2**31))))
    assert "is no plain file" in measured(visitor, ("m.zip", archive(**{"config.json": b"{}", "../model.safetensors": b"x"})))
    assert sorted(server.temporary.parent.iterdir()) == before


class Evil:
    """What a pickle could do."""

    def __init__(self, path: Path):
        self.path = path

    def __reduce__(self) -> tuple:
        return Path.touch, (self.path,)


def test_nothing_that_can_run_code_is_taken(server: Server, visitor: Visitor, tmp_path: Path) -> None:
    mark = tmp_path / "it ran"
    data = pickle.dumps(Evil(mark))
    for name in ("m.pt", "m.pth", "m.pt2", "m.py", "m.pkl", "m.ckpt", "m.ONNX.pkl", "m", "m.html"):
        assert "is no model that can be measured here" in measured(visitor, (name, data))
    assert "is no ONNX file" in measured(visitor, ("m.onnx", data))
    assert not mark.exists()


def test_pictures_that_are_none_are_told(visitor: Visitor) -> None:
    page = b"<html><script>alert(1)</script></html>"
    for name, data in (("a.png", page), ("a.html", page), ("a.svg", b"<svg onload='alert(1)'/>"), ("a.png", b"")):
        said = answered(visitor, (name, data))
        assert '"success": false' in said and name in said
    assert "a.jpg cannot be read as a picture" in answered(visitor, ("a.jpg", png()[:200]))


def test_names_are_never_markup(visitor: Visitor) -> None:
    evil = "<img src=x onerror=alert(1)>.png"
    file = visitor.upload(("a.png", png()))[0] | {"orig_name": evil}
    assert '"success": true' in visitor.ask("batch_begin", [None, None, [file]])
    said = visitor.ask("batch_answer", [None, "max+nearest", False])
    assert "1 of 1 pictures answered" in said and "<img src=x" not in said and "onerror=" not in said
    file = visitor.upload(("a.exe", b"x"))[0] | {"orig_name": "<script>alert(1)<script>.exe"}
    said = visitor.ask("yours_begin", [None, [file], EXAMPLE, None, *JOB])
    assert "&lt;script&gt;.exe is no model" in said and "<script>" not in said


def test_what_was_uploaded_is_served_to_nobody(visitor: Visitor, other: Visitor) -> None:
    files = visitor.upload(("a.png", png()), ("a.html", b"<script>alert(1)</script>"), ("a.svg", b"<svg/>"), ("a.onnx", b"x"))
    for file in files:
        for one in (visitor, other):
            for address in (f"gradio_api/file={file['path']}", f"file={file['path']}", f"gradio_api/file/{file['path']}"):
                answer = one.http.get(address)
                assert answer.status_code == 404 and "html" not in answer.headers["content-type"]
    assert "no model" in visitor.ask("yours_begin", [None, files[1:3], EXAMPLE, None, *JOB])  # and with that they are gone
    assert "no model" in visitor.ask("yours_begin", [None, files[::3], EXAMPLE, None, *JOB])


def test_an_archive_belongs_to_whom_it_was_told(server: Server, visitor: Visitor, other: Visitor) -> None:
    said = answered(visitor, ("mine.png", png()))
    address = said.split('href=\\"')[1].split('\\"')[0]
    answer = visitor.http.get(address)
    assert answer.status_code == 200 and answer.headers["content-disposition"].startswith("attachment")
    with zipfile.ZipFile(io.BytesIO(answer.content)) as packed:
        assert sorted(packed.namelist()) == ["masks/mine.png", "overlays/mine.png", "summary.csv"]
        table = packed.read("summary.csv").decode()
    assert "mine.png" in table and str(server.temporary) not in table
    folder, parcels = address.rsplit("/", 1)[0], f"gradio_api/file={server.cache}/parcels"
    assert len(Path(folder).name) >= 43
    for guess in (folder, parcels, f"{parcels}/", f"{parcels}/*/unetlift-answers.zip", f"{parcels}/{'A' * 43}/unetlift-answers.zip"):
        assert other.http.get(guess).status_code in (403, 404)
    theirs = "".join(other.ask(event, [None] * count) for event, count in (("batch_answer", 3), ("batch_cancel", 1), ("yours_cancel", 1)))
    assert "unetlift-answers" not in theirs and "mine" not in theirs
    assert visitor.http.get(address).status_code == 200  # whatever others end or begin
    answered(other, ("other.png", png(1)))
    assert visitor.http.get(address).status_code == 200
    answered(visitor, ("next.png", png(2)))
    assert visitor.http.get(address).status_code in (403, 404)  # the next one takes its place


GARBAGE = (None, "x", -1e308, [], {}, [[[]]], {"a": {"b": []}}, True, "../../etc/passwd", [None] * 40, {"__type__": "update"}, "😀" * 9)


@pytest.mark.parametrize("turn", [0, pytest.param(5, marks=pytest.mark.slow)])
def test_hidden_endpoints_answer_garbage_without_telling_anything(turn: int, server: Server, visitor: Visitor, folder: Path) -> None:
    places = [str(server.cache), str(server.temporary), str(folder), "site-packages", "Traceback", 'File \\"']
    for event in visitor.events:
        count = len(event["inputs"])
        turned = [GARBAGE[(place + turn) % len(GARBAGE)] for place in range(count)]
        for data in (turned, [None] * (count + 3)) if count else ([],):
            said = visitor.ask(event["id"], data)
            assert not [place for place in places if place in said], (event["api_name"], data, said[:400])
        direct = visitor.http.post(f"gradio_api/run/{event['api_name']}", json={"data": ["x"] * count})
        assert not [place for place in places if place in direct.text]
        assert direct.status_code >= 400 or not event["queue"]
    for number in (-1, 10**6):
        assert visitor.join(number, []).status_code >= 400
    for body in ({}, {"data": "x"}, [], "x", {"data": None, "fn_index": None, "session_hash": None}):
        answer = visitor.http.post("gradio_api/queue/join", json=body)
        assert 400 <= answer.status_code < 500 and not [place for place in places if place in answer.text]


def test_nothing_local_is_told(server: Server, visitor: Visitor, folder: Path) -> None:
    for target in ("monitoring", "monitoring/", "monitoring/summary", "monitoring/x", "gradio_api/runs", "docs", "redoc", "openapi.json"):
        assert visitor.http.get(target).status_code == 404
    told_to_all = ("config", "", "gradio_api/info", "gradio_api/info?all_endpoints=true", "gradio_api/startup-events")
    for target in (*told_to_all, "gradio_api/queue/status", "gradio_api/openapi.json"):
        body = visitor.http.get(target).text
        assert str(folder) not in body and str(Path.home()) + "/" not in body and "site-packages" not in body
        assert str(Path(__file__).parent.parent) not in body and socket.gethostname() not in body
    info = json.dumps(visitor.http.get("gradio_api/info").json())
    assert "yours_" not in info and "batch_" not in info
    config = visitor.http.get("config").json()
    ours = [event for event in config["dependencies"] if event["api_name"].startswith(("yours_", "batch_"))]
    assert len(ours) == 8 and all(event["api_visibility"] == "private" for event in ours)


def test_pages_of_other_origins_get_nothing(server: Server) -> None:
    for origin in ("https://evil.example", "null", "http://127.0.0.1.evil.example"):
        answer = httpx.get(f"{server.address}config", headers={"Origin": origin})
        assert "access-control-allow-origin" not in answer.headers
        asked = httpx.options(f"{server.address}gradio_api/queue/join", headers={"Origin": origin, "Access-Control-Request-Method": "POST"})
        assert "access-control-allow-origin" not in asked.headers
    status, _ = server.raw("/gradio_api/queue/join", "POST", {"Host": "evil.example", "Content-Length": "1"}, b"x")
    assert status == 400


def test_behind_passwords_nothing_answers_a_stranger(folder: Path, tmp_path: Path) -> None:
    passwords = tmp_path / "passwords"
    passwords.write_text("ann:correct horse\n")
    with served(folder / "checkpoints", tmp_path, passwords) as server, httpx.Client(base_url=server.address, timeout=60) as ann:
        assert "max+nearest" not in ann.get("/").text
        doors = ["config", "gradio_api/info", "gradio_api/queue/data?session_hash=a"]
        assert {ann.get(door).status_code for door in doors} == {401}
        join = {"data": ["nuclei"], "fn_index": 0, "session_hash": "a"}
        assert ann.post("gradio_api/queue/join", json=join).status_code == 401
        assert ann.post("gradio_api/upload", files=[("files", ("a.png", png()))]).status_code == 401
        assert ann.post("login", data={"username": "ann", "password": "wrong"}).status_code == 400
        assert ann.get("config").status_code == 401
        assert ann.post("login", data={"username": "ann", "password": "correct horse"}).json()["success"]
        assert ann.get("config").status_code == 200 and ann.get("gradio_api/info").status_code == 200
