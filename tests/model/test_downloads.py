"""Downloads from a server on this machine: whole, broken off, wrong, unreachable."""

from __future__ import annotations

import threading
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import numpy as np
import pytest

from napari_sam2s.errors import ModelError
from napari_sam2s.model import load_model
from napari_sam2s.model.downloads import DOWNLOADS, Download, checked_weights, download, sha256, verify

CONTENT = np.random.default_rng(0).bytes(3_000_000)


class Server(BaseHTTPRequestHandler):
    """Serves ``CONTENT``; the first answer of ``/breaks`` ends in the middle."""

    asked: list[str] = []  # noqa: RUF012

    def do_GET(self):
        wanted = self.headers.get("Range", "")
        self.asked.append(wanted)
        start = int(wanted.removeprefix("bytes=").rstrip("-")) if wanted else 0
        if self.path == "/gone":
            self.send_error(404)
            return
        if start >= len(CONTENT):
            self.send_response(416)
            self.send_header("Content-Range", f"bytes */{len(CONTENT)}")
            self.end_headers()
            return
        self.send_response(206 if start else 200)
        self.send_header("Content-Length", str(len(CONTENT) - start))
        self.end_headers()
        stop = 1_200_000 if self.path == "/breaks" and not start else len(CONTENT)
        self.wfile.write(CONTENT[start:stop])

    def log_message(self, *_):
        """Say nothing."""


@pytest.fixture
def server(tmp_path, monkeypatch):
    monkeypatch.setenv("SAM2S_MODEL_DIR", str(tmp_path))
    Server.asked = []
    with ThreadingHTTPServer(("127.0.0.1", 0), Server) as running:
        threading.Thread(target=running.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{running.server_port}"
        running.shutdown()


def test_whole(server):
    told = []
    item = Download("x", f"{server}/whole", 3)
    path = download(item, lambda *p: told.append(p))
    assert path.read_bytes() == CONTENT
    assert told[-1] == (len(CONTENT), len(CONTENT))
    assert verify(item) == sha256(path)
    download(item)
    assert len(Server.asked) == 1  # not fetched twice


def test_broken_off_and_gone_on_with(server):
    item = Download("x", f"{server}/breaks", 3)
    with pytest.raises(ModelError, match="broke off at 1200000 of 3000000"):
        download(item)
    assert download(item).read_bytes() == CONTENT
    assert Server.asked == ["", "bytes=1200000-"]


def test_a_part_that_is_whole_is_taken_and_one_of_another_file_is_not(server, tmp_path):
    part = tmp_path / "models" / "x.part"
    part.parent.mkdir()
    part.write_bytes(CONTENT + b"more")
    item = Download("x", f"{server}/whole", 3)
    with pytest.raises(ModelError, match="3000004 bytes of a file of 3000000, so it was deleted"):
        download(item)
    assert not list(part.parent.iterdir())
    part.write_bytes(CONTENT)
    assert download(item).read_bytes() == CONTENT


def test_the_wrong_file_is_never_used(server, tmp_path):
    with pytest.raises(ModelError, match="not the file it should be"):
        download(Download("x", f"{server}/whole", 3, sha256="0" * 64))
    assert not list((tmp_path / "models").glob("x.p*"))


def test_damaged_later(server):
    item = Download("x", f"{server}/whole", 3)
    path = download(item)
    path.write_bytes(CONTENT[:-1] + b"!")
    with pytest.raises(ModelError, match="damaged"):
        verify(item)


@pytest.mark.parametrize("where", ["/gone", None])
def test_unreachable(server, where):
    url = f"{server}{where}" if where else "http://127.0.0.1:9/x"
    with pytest.raises(ModelError, match=r"cannot be fetched.*put the file at"):
        download(Download("x", url, 3))


def test_every_official_file_is_pinned():
    assert len(DOWNLOADS) == 8
    assert len({item.sha256 for item in DOWNLOADS.values()}) == 8
    assert all(len(item.sha256) == 64 and int(item.sha256, 16) for item in DOWNLOADS.values())


def test_weights_that_are_not_the_published_ones_are_not_loaded(tmp_path, monkeypatch):
    monkeypatch.setenv("SAM2S_MODEL_DIR", str(tmp_path))
    path = tmp_path / "models" / "sam2.1-tiny.pt"
    path.parent.mkdir()
    path.write_bytes(CONTENT)
    with pytest.raises(ModelError, match=r"not the published file.*models get sam2.1-tiny"):
        load_model("sam2.1-tiny", device="cpu")
    right = replace(DOWNLOADS["sam2.1-tiny"], sha256=sha256(path))
    monkeypatch.setitem(DOWNLOADS, "sam2.1-tiny", right)
    assert checked_weights("sam2.1-tiny") == path
    path.write_bytes(CONTENT + b"!")  # changed since it was looked at
    with pytest.raises(ModelError, match="not the published file"):
        checked_weights("sam2.1-tiny")
