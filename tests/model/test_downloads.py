"""Downloads from a server on this machine: whole, broken off, wrong, refused, interrupted, two at once, by proxy and mirror."""

from __future__ import annotations

import errno
import io
import os
import threading
import warnings
from collections import namedtuple
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import numpy as np
import pytest
import torch

from napari_sam2s.errors import ModelError
from napari_sam2s.model import checkpoints, downloads, load_model
from napari_sam2s.model.checkpoints import WEIGHTS, unchanged_weights
from napari_sam2s.model.downloads import address, checked_weights, download, find_local, sha256, terms, verify
from napari_sam2s.model.model_registry import Licence, ModelEntry, ModelFamily, registry

_FILE = io.BytesIO()
torch.save({"model": {"a": torch.from_numpy(np.random.default_rng(0).random(375_000))}}, _FILE)
CONTENT = _FILE.getvalue()
LENGTH = len(CONTENT)
PAGES = {
    "/login": b"<!DOCTYPE html><html>Sign in</html>",
    "/refused": b"Access to model facebook/sam3 is restricted.",
    "/nothing": b"",
    "/half": CONTENT[: LENGTH // 2],
}
FAMILY = ModelFamily("f", "F", "sam2", True, "sam2", "")


def entry(url, **facts):
    return ModelEntry("x", FAMILY, "official.pt", url, Licence("Apache-2.0"), 1024, about_mb=3, **facts)


class Server(BaseHTTPRequestHandler):
    """Serves ``CONTENT``; the first answer of ``/breaks`` ends in the middle, ``/slow`` and ``/drip`` wait."""

    asked: list[tuple[str, str]] = []  # noqa: RUF012 - path and range
    version = '"1"'
    go_on = threading.Event()

    def do_GET(self):
        wanted = self.headers.get("Range", "")
        self.asked.append((self.path, wanted))
        start = int(wanted.removeprefix("bytes=").rstrip("-")) if wanted else 0
        if self.headers.get("If-Range", self.version) != self.version:
            start = 0
        if "gone" in self.path or "busy" in self.path:
            self.send_error(404 if "gone" in self.path else 503)
            return
        if self.path in PAGES:  # with no length, so that nothing tells where it ends
            self.send_response(200)
            self.end_headers()
            self.wfile.write(PAGES[self.path])
            return
        if "lies" in self.path and start:  # another part than is asked for
            self.send_response(206)
            self.send_header("Content-Range", f"bytes 0-{LENGTH - 1}/{LENGTH}")
            self.send_header("Content-Length", str(LENGTH))
            self.end_headers()
            self.wfile.write(CONTENT)
            return
        if start >= len(CONTENT):
            self.send_response(416)
            self.send_header("Content-Range", f"bytes */{len(CONTENT)}")
            self.end_headers()
            return
        self.send_response(206 if start else 200)
        self.send_header("Content-Length", str(len(CONTENT) - start))
        self.send_header("ETag", self.version)
        if start:
            self.send_header("Content-Range", f"bytes {start}-{LENGTH - 1}/{LENGTH}")
        self.end_headers()
        first = {"/slow": 2_000_000, "/drip": 1000}.get(self.path)
        breaks = "breaks" in self.path or ("lies" in self.path and len(self.asked) == 1)
        stop = first or (1_200_000 if breaks and not start else len(CONTENT))
        self.wfile.write(CONTENT[start:stop])
        if first and not start:
            self.go_on.wait(10)
            self.wfile.write(CONTENT[first:])

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
        threading.Thread(target=running.serve_forever, args=(0.01,), daemon=True).start()  # half a second to end, else
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
    with pytest.raises(ModelError, match=f"broke off at 1200000 of {LENGTH}"):
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
    with pytest.raises(ModelError, match=f"{LENGTH + 4} bytes of a file of {LENGTH}, so it was deleted"):
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
    [({"sha256": "0" * 64}, "not the file it should be .SHA-256"), ({"bytes": 5}, f"{LENGTH} bytes, not 5.*proxy")],
)
def test_the_wrong_file_is_never_used(server, tmp_path, facts, words):
    with pytest.raises(ModelError, match=words):
        download(entry(f"{server}/whole", **facts))
    assert not list((tmp_path / "models").glob("x.p*"))


@pytest.mark.parametrize(
    ("page", "words"),
    [("/login", "web page"), ("/refused", "is text"), ("/nothing", "is empty"), ("/half", "cut short")],
)
def test_what_is_no_checkpoint_gets_no_name_though_no_hash_is_known(server, tmp_path, page, words):
    with pytest.raises(ModelError, match=rf"^{server}{page} .*{words}.*The download was deleted"):
        download(entry(f"{server}{page}"))
    assert not [p for p in (tmp_path / "models").iterdir() if p.suffix != ".lock"]
    path = tmp_path / "models" / "x.pt"
    path.write_bytes(PAGES[page])  # by hand
    with pytest.raises(ModelError, match=words):
        verify(entry(server))
    path.write_bytes(CONTENT)  # its hash was not kept, so that the right file is none that was changed
    assert verify(entry(server)) == sha256(path)


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


def test_a_busy_server_and_a_folder_that_cannot_be_written_to(server, tmp_path):
    with pytest.raises(ModelError, match="try again later, or put the file at"):
        download(entry(f"{server}/busy"))
    (tmp_path / "models" / "y.lock").mkdir()
    with pytest.raises(ModelError, match=r"y\.lock cannot be made .*Name another folder for models in SAM2S_MODEL_DIR"):
        download(replace(entry(f"{server}/whole"), name="y"))


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
    assert int(Server.asked[-1][1].removeprefix("bytes=").rstrip("-")) > 1_500_000


def test_a_slow_line_is_shown_and_kept_byte_by_byte(server, tmp_path, digest):
    def interrupt(*_):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        download(entry(f"{server}/drip", sha256=digest), interrupt)
    assert (tmp_path / "models" / "x.part").stat().st_size == 1000


@pytest.mark.parametrize("pinned", [True, False])
def test_another_part_than_was_asked_for_is_not_put_behind_the_first(server, digest, pinned):
    item = entry(f"{server}/lies", sha256=digest if pinned else "")
    with pytest.raises(ModelError, match="broke off"):
        download(item)
    assert download(item).read_bytes() == CONTENT
    assert [part for _, part in Server.asked] == ["", "bytes=1200000-", ""]


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


@pytest.mark.parametrize("given", ["mirror.example/weights", "/share/weights", "http://", "https://me:secret@mirror.example"])
@pytest.mark.parametrize("variable", ["SAM2S_MODEL_MIRROR", "HF_ENDPOINT"])
def test_a_mirror_that_is_no_address(monkeypatch, variable, given):
    monkeypatch.setenv(variable, given)
    with pytest.raises(ModelError, match=rf"{variable} is not the address of a server.*SAM2S_OFFLINE_DIR") as told:
        terms(entry("https://huggingface.co/a/b.pt"))
    assert "secret" not in str(told.value)
    monkeypatch.setenv(variable, "https://mirror.example/zwei Wörter/")
    assert address(entry("https://huggingface.co/b.pt")).startswith("https://mirror.example/zwei%20W%C3%B6rter/")


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
    before, real = path.stat(), checkpoints.open_checkpoint

    def replaced(path):
        path.write_bytes(CONTENT[::-1])
        return real(WEIGHTS / "sam2s-nano.pt")

    with monkeypatch.context() as patch:
        patch.setattr(checkpoints, "open_checkpoint", replaced)
        with pytest.raises(ModelError, match="changed while it was read"):
            load_model("sam2.1-tiny", device="cpu")
    with pytest.raises(ModelError, match=r"cannot be read \(Is a directory\)"):  # of the engine, a loss of its process else
        sha256(tmp_path)
    path.write_bytes(CONTENT[:-1] + b"!")  # changed since it was looked at, though size and time are the same
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
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
