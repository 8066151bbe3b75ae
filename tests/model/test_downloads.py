"""Downloads from a server on this machine: whole, broken off, wrong, refused, interrupted, two at once, by proxy and mirror."""

from __future__ import annotations

import errno
import os
import threading
import warnings
from collections import namedtuple
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import numpy as np
import pytest

from napari_sam2s.errors import ModelError
from napari_sam2s.model import downloads, load_model
from napari_sam2s.model.checkpoints import unchanged_weights
from napari_sam2s.model.downloads import checked_weights, download, find_local, sha256, verify
from napari_sam2s.model.model_registry import Licence, ModelEntry, ModelFamily, registry

CONTENT = np.random.default_rng(0).bytes(3_000_000)
FAMILY = ModelFamily("f", "F", "sam2", True, "sam2", "")


def entry(url, **facts):
    return ModelEntry("x", FAMILY, "official.pt", url, Licence("Apache-2.0"), 1024, about_mb=3, **facts)


class Server(BaseHTTPRequestHandler):
    """Serves ``CONTENT``; the first answer of ``/breaks`` ends in the middle, ``/slow`` waits until it may go on."""

    asked: list[tuple[str, str]] = []  # noqa: RUF012 - path and range
    version = '"1"'
    go_on = threading.Event()

    def do_GET(self):
        wanted = self.headers.get("Range", "")
        self.asked.append((self.path, wanted))
        start = int(wanted.removeprefix("bytes=").rstrip("-")) if wanted else 0
        if self.headers.get("If-Range", self.version) != self.version:
            start = 0
        if "gone" in self.path:
            self.send_error(404)
            return
        if start >= len(CONTENT):
            self.send_response(416)
            self.send_header("Content-Range", f"bytes */{len(CONTENT)}")
            self.end_headers()
            return
        self.send_response(206 if start else 200)
        self.send_header("Content-Length", str(len(CONTENT) - start))
        self.send_header("ETag", self.version)
        self.end_headers()
        stop = 1_200_000 if "breaks" in self.path and not start else len(CONTENT)
        self.wfile.write(CONTENT[start:2_000_000] if "slow" in self.path else CONTENT[start:stop])
        if "slow" in self.path:
            self.go_on.wait(10)
            self.wfile.write(CONTENT[2_000_000:])

    def log_message(self, *_):
        """Say nothing."""


class Quiet(ThreadingHTTPServer):
    """Says nothing of clients that went away."""

    def handle_error(self, *_):
        pass


@pytest.fixture
def server(tmp_path, monkeypatch):
    monkeypatch.setenv("SAM2S_MODEL_DIR", str(tmp_path))
    Server.asked, Server.version, Server.go_on = [], '"1"', threading.Event()
    with Quiet(("127.0.0.1", 0), Server) as running:
        threading.Thread(target=running.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{running.server_port}"
        Server.go_on.set()
        running.shutdown()


@pytest.fixture
def digest(tmp_path_factory):
    path = tmp_path_factory.mktemp("content") / "content"
    path.write_bytes(CONTENT)
    return sha256(path)


def final_names(tmp_path):
    return [p.name for p in (tmp_path / "models").glob("*") if p.suffix == ".pt"]


def test_whole(server, digest):
    told = []
    item = entry(f"{server}/whole", sha256=digest, bytes=len(CONTENT))
    path = download(item, lambda *p: told.append(p))
    assert path.read_bytes() == CONTENT
    assert told[-1] == (len(CONTENT), len(CONTENT))
    assert verify(item) == digest
    download(item)
    assert len(Server.asked) == 1  # not fetched twice


@pytest.mark.parametrize("pinned", [True, False])
def test_broken_off_and_gone_on_with(server, tmp_path, digest, pinned):
    item = entry(f"{server}/breaks", sha256=digest if pinned else "")
    with pytest.raises(ModelError, match="broke off at 1200000 of 3000000"):
        download(item)
    assert not final_names(tmp_path)
    assert download(item).read_bytes() == CONTENT
    assert Server.asked == [("/breaks", ""), ("/breaks", "bytes=1200000-")]


def test_a_part_of_another_version_is_not_gone_on_with(server):
    item = entry(f"{server}/breaks")
    with pytest.raises(ModelError, match="broke off"):
        download(item)
    Server.version = '"2"'  # the file was changed on the server meanwhile
    with pytest.raises(ModelError, match="broke off"):
        download(item)
    assert download(item).read_bytes() == CONTENT


def test_a_part_that_is_whole_is_taken_and_one_of_another_file_is_not(server, tmp_path, digest):
    part = tmp_path / "models" / "x.part"
    part.parent.mkdir()
    part.write_bytes(CONTENT + b"more")
    with pytest.raises(ModelError, match="3000004 bytes of a file of 3000000, so it was deleted"):
        download(entry(f"{server}/whole", sha256=digest))
    assert not part.exists()
    part.write_bytes(CONTENT + b"more")
    item = entry(f"{server}/whole", sha256=digest, bytes=len(CONTENT))
    assert download(item).read_bytes() == CONTENT  # known to be too long: begun anew at once
    find_local(item).unlink()
    part.write_bytes(CONTENT)
    assert download(item).read_bytes() == CONTENT


@pytest.mark.parametrize(
    ("facts", "words"),
    [({"sha256": "0" * 64}, "not the file it should be .SHA-256"), ({"bytes": 5}, "3000000 bytes, not 5.*proxy")],
)
def test_the_wrong_file_is_never_used(server, tmp_path, facts, words):
    with pytest.raises(ModelError, match=words):
        download(entry(f"{server}/whole", **facts))
    assert not list((tmp_path / "models").glob("x.p*"))


def test_damaged_later(server):
    item = entry(f"{server}/whole")  # not pinned: recorded when it first came
    path = download(item)
    path.write_bytes(CONTENT[:-1] + b"!")
    with pytest.raises(ModelError, match="damaged"):
        verify(item)
    with pytest.raises(ModelError, match="damaged"):
        download(item)


@pytest.mark.parametrize(("where", "words"), [("/gone", "404 Not Found.*put the file at"), (None, "put the file at")])
def test_unreachable(server, tmp_path, where, words):
    url = f"{server}{where}" if where else "http://127.0.0.1:9/x"
    with pytest.raises(ModelError, match=rf"cannot be fetched.*{words}"):
        download(entry(url))
    assert not final_names(tmp_path)


def test_no_room_is_noticed_before_and_while_it_comes(server, tmp_path, monkeypatch, digest):
    item = entry(f"{server}/whole", sha256=digest, bytes=len(CONTENT))
    usage = namedtuple("usage", "total used free")
    with monkeypatch.context() as patch:
        patch.setattr(downloads.shutil, "disk_usage", lambda _: usage(10, 10, 1_000_000))
        with pytest.raises(ModelError, match=r"no room for x.*3 MB are needed, 1 MB are free.*SAM2S_MODEL_DIR"):
            download(item)
    assert not Server.asked

    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    with pytest.raises(ModelError, match="no room for x"):
        download(item, full)
    assert not final_names(tmp_path)
    assert download(item).read_bytes() == CONTENT
    assert Server.asked[-1][1]  # what had come was kept


def test_ctrl_c_keeps_what_came(server, tmp_path, digest):
    def interrupt(done, _):
        if done > 1_500_000:
            raise KeyboardInterrupt

    item = entry(f"{server}/whole", sha256=digest)
    with pytest.raises(KeyboardInterrupt):
        download(item, interrupt)
    assert not final_names(tmp_path)
    assert download(item).read_bytes() == CONTENT
    assert Server.asked[-1] == ("/whole", "bytes=2097152-")


def test_two_at_once_fetch_it_once(server, digest):
    item, got = entry(f"{server}/slow", sha256=digest), []
    begun = threading.Event()
    first = threading.Thread(target=lambda: got.append(download(item, lambda *_: begun.set())))
    first.start()
    begun.wait(10)

    def second():
        with warnings.catch_warnings(record=True) as told:
            warnings.simplefilter("always")
            threading.Timer(0.2, Server.go_on.set).start()
            got.append(download(item))
        assert "waits for it" in str(told[0].message)

    second()
    first.join()
    assert got[0] == got[1]
    assert got[0].read_bytes() == CONTENT
    assert len(Server.asked) == 1


def test_proxy_mirror_and_hugging_face_endpoint(server, tmp_path, monkeypatch, digest):
    item = entry("https://huggingface.co/a/b.pt", sha256=digest)
    monkeypatch.setenv("HF_ENDPOINT", f"{server}/hf/")
    download(item).unlink()
    monkeypatch.setenv("SAM2S_MODEL_MIRROR", f"{server}/mirror")
    download(item).unlink()
    monkeypatch.delenv("SAM2S_MODEL_MIRROR")
    monkeypatch.setenv("http_proxy", server)
    download(entry("http://weights.example/x.pt", sha256=digest))
    assert [path for path, _ in Server.asked] == ["/hf/a/b.pt", "/mirror/official.pt", "http://weights.example/x.pt"]


def test_an_offline_folder_serves_files_under_either_name(tmp_path, monkeypatch, digest):
    share = tmp_path / "share"
    share.mkdir()
    monkeypatch.setenv("SAM2S_MODEL_DIR", str(tmp_path / "mine"))
    monkeypatch.setenv("SAM2S_OFFLINE_DIR", str(share))
    item = entry("http://127.0.0.1:9/x", sha256=digest)
    (share / "official.pt").write_bytes(CONTENT)
    assert download(item) == share / "official.pt"  # nothing is fetched
    (share / "x.pt").write_bytes(CONTENT[:-1])
    with pytest.raises(ModelError, match="damaged"):
        download(item)


def test_weights_that_are_not_the_published_ones_are_not_loaded(tmp_path, monkeypatch):
    monkeypatch.setenv("SAM2S_MODEL_DIR", str(tmp_path))
    path = tmp_path / "models" / "sam2.1-tiny.pt"
    path.parent.mkdir()
    path.write_bytes(CONTENT)
    with pytest.raises(ModelError, match=r"not the published file.*models get sam2.1-tiny"):
        load_model("sam2.1-tiny", device="cpu")
    known = dict(registry())
    known["sam2.1-tiny"] = replace(known["sam2.1-tiny"], sha256=sha256(path))
    monkeypatch.setattr(downloads, "registry", lambda: known)
    assert checked_weights("sam2.1-tiny") == path
    path.write_bytes(CONTENT + b"!")  # changed since it was looked at
    with pytest.raises(ModelError, match="not the published file"):
        checked_weights("sam2.1-tiny")
    path.write_bytes(CONTENT)
    checked_weights("sam2.1-tiny")
    before = path.stat()
    with path.open("r+b") as file:  # the same file, of the same size and time
        file.write(b"?")
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    if os.name != "nt":
        with pytest.raises(ModelError, match="not the published file"):
            checked_weights("sam2.1-tiny")


@pytest.mark.parametrize("back", [False, True])
def test_weights_that_are_swapped_after_they_were_compared_are_not_used(tmp_path, back):
    """Also if the right ones are put back after the others were read."""
    path, other = tmp_path / "mine.pt", tmp_path / "other.pt"
    path.write_bytes(CONTENT)
    other.write_bytes(CONTENT[::-1])

    def swap():
        path.rename(tmp_path / "kept.pt")
        other.rename(path)
        if back:
            (tmp_path / "kept.pt").replace(path)

    with pytest.raises(ModelError, match="changed while it was read"), unchanged_weights(path):
        swap()
