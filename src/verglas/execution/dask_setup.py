"""Dask as we want it: its memory limits, dashboard and profiler off, TLS by a certificate made for one job."""

from __future__ import annotations

import datetime
import importlib
from typing import Any


def configure() -> None:
    """Set Dask's configuration in this process; call before schedulers, workers or clients are made."""
    import dask

    dask.config.set(
        {
            "distributed.worker.memory.target": False,
            "distributed.worker.memory.spill": False,
            "distributed.worker.memory.pause": False,
            "distributed.worker.memory.terminate": False,
            "distributed.worker.profile.enabled": False,
            "distributed.worker.daemon": False,
            "distributed.scheduler.worker-ttl": None,
            "distributed.scheduler.allowed-failures": 0,
            "distributed.scheduler.worker-saturation": 1.0,
            "distributed.diagnostics.nvml": False,
            "distributed.comm.timeouts.connect": "5s",
            "distributed.logging": {"distributed": "critical"},
        }
    )


def distributed_class(name: str) -> Any:
    """Return Dask's ``Scheduler`` or ``Worker`` without the HTTP server, which would answer anybody on this host."""
    base = getattr(importlib.import_module("distributed"), name)

    def start_no_http_server(self: Any, *arguments: Any, **options: Any) -> None:
        del self, arguments, options

    return type(name, (base,), {"start_http_server": start_no_http_server})


def make_certificate() -> str:
    """Return a new self-signed certificate with its key, as PEM; who holds it may join the job, nobody else."""
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.x509.oid import NameOID

    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "verglas job")])
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(datetime.datetime(1971, 1, 1, tzinfo=datetime.UTC))  # whatever a node's clock says
        .not_valid_after(datetime.datetime(9999, 12, 31, 23, 59, 59, tzinfo=datetime.UTC))  # RFC 5280, 4.1.2.5: no end
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    return certificate.public_bytes(serialization.Encoding.PEM).decode() + private.decode()


def security_of(pem: str) -> Any:
    """Return Dask's security settings in which each side shows, and asks for, this one certificate."""
    security: Any = importlib.import_module("distributed.security")
    certificate = pem[: pem.index("-----BEGIN PRIVATE KEY")]
    key = pem[len(certificate) :]
    parts = {
        f"tls_{role}_{part}": text
        for role in ("scheduler", "worker", "client")
        for part, text in (("cert", certificate), ("key", key))
    }
    return security.Security(tls_ca_file=certificate, require_encryption=True, **parts)
