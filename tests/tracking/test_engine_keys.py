"""Who is let into an engine: its owner, by keys that only the owner can read."""

from __future__ import annotations

import os
import ssl
import stat
import subprocess
import sys
import warnings

import dask
import psutil
import pytest
from distributed import Client

import napari_sam2s
from napari_sam2s.errors import TrackingError
from napari_sam2s.tracking import Engine
from napari_sam2s.tracking.engine_keys import CERTIFICATE, KEY, make_keys, security_of
from napari_sam2s.tracking.engine_server import say
from napari_sam2s.wording import tell_warnings_by

ATTACK = """
import os, socket, ssl, sys
from urllib.parse import urlsplit
address = urlsplit(sys.argv[1])
context = ssl.create_default_context()
context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
if own := sys.argv.pop(2):
    context.load_cert_chain(own + "/engine-certificate.pem", own + "/engine-key.pem")
socket.create_connection((address.hostname, address.port)).close()  # has all imported that it takes
os.setgroups([])
os.setgid(65534)  # nobody, who cannot import from here any more
os.setuid(65534)
for path in sys.argv[2:]:
    try:
        open(path).read()
        print("READ", path)
    except PermissionError:
        pass
try:
    with context.wrap_socket(socket.create_connection((address.hostname, address.port), timeout=10)) as knocking:
        knocking.sendall(b"x" * 64)
        print("ANSWER" if knocking.recv(1) else "closed")
except (ssl.SSLError, ConnectionError) as error:
    print("refused", type(error).__name__)
"""


class ToCall:
    """What an engine can hold."""

    def answer(self):
        """Answer."""
        return 42

    def setting(self, name):
        """Say how dask is set where this lives."""
        return dask.config.get(name)


@pytest.fixture(scope="module")
def engine():
    # As on a new machine: the widgets' tests leave the keys of their shared engine in dask's configuration until the run ends.
    with (
        dask.config.set({f"distributed.comm.tls.{name}": None for name in ("ca-file", "client.cert", "client.key")}),
        Engine() as running,
    ):
        yield running
    assert not running.keys.exists(), "the keys go with the engine"


@pytest.mark.skipif(os.name == "nt", reason="Windows keeps the folder for its user by its own rights")
def test_the_folder_of_the_keys_is_the_owners_alone(engine):
    assert stat.S_IMODE(engine.keys.stat().st_mode) == 0o700
    assert {stat.S_IMODE((engine.keys / name).stat().st_mode) for name in (CERTIFICATE, KEY)} == {0o600}


def test_an_engine_at_rest_rests(engine):
    """Dask would look at what it does a hundred times a second, and wake up for other reasons fifty times."""
    there = engine.create(ToCall)
    watched, woken = map(there.setting, ("distributed.worker.profile.enabled", "distributed.admin.tick.interval"))
    assert not watched
    assert woken == "500ms"


def test_no_port_but_two_that_ask_for_keys(engine):
    ports = [c.laddr for c in psutil.Process(engine.pid).net_connections("inet") if c.status == psutil.CONN_LISTEN]
    assert len(ports) == 2  # scheduler and worker; no HTTP
    assert {address.ip for address in ports} == {"127.0.0.1"}
    assert 8787 not in {address.port for address in ports}
    assert engine.address.startswith("tls://")


def test_with_its_keys_another_program_of_the_owner_is_let_in(engine):
    with Engine(engine.address, security=engine.keys) as second:
        assert second.create(ToCall).answer() == 42
        assert second.keys is None


def test_other_keys_are_not_let_in(engine, monkeypatch, tmp_path):
    monkeypatch.setattr("napari_sam2s.tracking.engine.START_TIMEOUT_S", 1.0)
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    with pytest.raises(TrackingError, match="No engine answers"):
        Engine(engine.address, security=make_keys())
    with pytest.raises(OSError, match=r"Timed out|closed"):  # plain TCP
        Client(engine.address.replace("tls://", "tcp://"), timeout=1, set_as_default=False)
    collected = []
    monkeypatch.setattr("napari_sam2s.tracking.engine.gc.collect", lambda: collected.append(1))
    for _ in range(2):
        with Engine(engine.address, security=engine.keys):
            assert collected == [1], "once, before the next client starts"


def test_an_address_with_tls_and_no_keys_says_what_it_needs(engine):
    with pytest.raises(TrackingError, match="needs `security="):
        Engine(engine.address)
    with pytest.raises(TrackingError, match="holds no keys"):
        Engine(engine.address, security=engine.keys / "not-there")
    with pytest.raises(TrackingError, match="makes its own keys"):
        Engine(security=engine.keys)


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() != 0, reason="only root can become another user")
@pytest.mark.parametrize("place", ["scheduler", "worker"])
@pytest.mark.parametrize("keys", [False, True])
def test_another_user_of_this_machine_gets_nothing(engine, place, keys):
    """At either port, without keys or with some of the same name."""
    files = [str(engine.keys / name) for name in (CERTIFICATE, KEY)]
    ports = [c.laddr.port for c in psutil.Process(engine.pid).net_connections("inet") if c.status == psutil.CONN_LISTEN]
    [port] = [p for p in ports if engine.address.endswith(f":{p}") == (place == "scheduler")]
    done = subprocess.run(
        [sys.executable, "-c", ATTACK, f"tls://127.0.0.1:{port}", str(make_keys()) if keys else "", *files],
        capture_output=True,
        text=True,
        cwd="/",
        timeout=60,
    )
    assert done.stdout.startswith(("refused", "closed")), done.stdout + done.stderr


def test_keys_are_new_every_time(tmp_path, monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    first, second = make_keys(), make_keys()
    assert first != second
    assert (first / KEY).read_bytes() != (second / KEY).read_bytes()
    context = security_of(first).get_connection_args("client")["ssl_context"]
    assert context.verify_mode == ssl.CERT_REQUIRED


def test_keys_that_cannot_be_written(tmp_path, monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "gone"))
    with pytest.raises(TrackingError, match=r"keys of the engine cannot be written .*TMPDIR"):
        make_keys()


def test_warnings_of_the_engine_are_sentences_without_a_place_in_the_code(capsys, monkeypatch):
    others = []
    monkeypatch.setattr("warnings.showwarning", lambda *of: others.append(of))
    tell_warnings_by(say)
    warnings.showwarning(UserWarning("a\x1b[1m.pt is used without slots.a."), UserWarning, napari_sam2s.__file__, 7)
    assert capsys.readouterr().err == "napari-sam2s: a\\x1b[1m.pt is used without slots.a.\n"
    warnings.showwarning(UserWarning("of others"), UserWarning, "/elsewhere.py", 7)
    assert len(others) == 1
