"""The keys of an engine: who has them is let in, nobody else (design decision 12).

Whoever reaches the port of a dask scheduler can run code as its owner, and every user of a machine reaches its loopback
interface. So every engine has a certificate of its own, in a folder that only its owner can read, and both sides show it.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

from napari_sam2s.errors import TrackingError

if TYPE_CHECKING:
    from distributed import Security

CERTIFICATE, KEY = "engine-certificate.pem", "engine-key.pem"
_VALID = timedelta(days=3650)  # an engine ends with the viewer; a clock that is put right must not end it earlier
_NAME = "napari-sam2s engine"


def make_keys() -> Path:
    """Make a new key pair; return the folder it is in, which only this user can enter.

    Raises :class:`TrackingError` if the folder for temporary files is full or cannot be written.
    """
    folder = None
    certificate, key = _certificate_and_key()
    try:
        folder = Path(tempfile.mkdtemp(prefix="sam2s-engine-"))  # of mode 0700
        for name, content in ((CERTIFICATE, certificate), (KEY, key)):
            with os.fdopen(os.open(folder / name, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
                file.write(content)
    except OSError as error:
        if folder is not None:
            shutil.rmtree(folder, ignore_errors=True)
        raise TrackingError(
            f"The keys of the engine cannot be written ({error.strerror or error}): make room in the folder for temporary "
            "files, or name another one in TMPDIR."
        ) from error
    return folder


def security_of(folder: Path) -> Security:
    """Return what dask needs to talk with the keys of a folder, and with nobody who lacks them.

    Raises :class:`TrackingError` if the folder holds no keys of an engine.
    """
    from distributed import Security

    certificate, key = str(folder / CERTIFICATE), str(folder / KEY)
    if not (folder / CERTIFICATE).is_file() or not (folder / KEY).is_file():
        raise TrackingError(f"{folder} holds no keys of an engine: give the `keys` of one that runs, or a dask Security.")
    return Security(
        require_encryption=True,
        tls_ca_file=certificate,
        tls_client_cert=certificate,
        tls_client_key=key,
        tls_scheduler_cert=certificate,
        tls_scheduler_key=key,
        tls_worker_cert=certificate,
        tls_worker_key=key,
    )


def _certificate_and_key() -> tuple[bytes, bytes]:
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, _NAME)])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + _VALID)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .sign(key, hashes.SHA256())
    )
    pem = serialization.Encoding.PEM
    private = key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    return certificate.public_bytes(pem), private
