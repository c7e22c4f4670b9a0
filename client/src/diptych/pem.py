"""PEM files of certificates and keys, looked at before gRPC gets them.

gRPC takes whatever it is given and fails at the first connection, without saying which file it was.
"""

from __future__ import annotations

import os
import ssl


def check_certificates(pem: bytes) -> None:
    """Pass bytes that hold a certificate.

    Raises:
        ValueError: they hold none, or one that cannot be read.
    """
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(cadata=pem.decode("ascii"))
    except (ssl.SSLError, ValueError) as error:
        raise ValueError("expected a certificate in PEM form, got something else") from error


def check_pair(certificate: str | os.PathLike[str], key: str | os.PathLike[str]) -> None:
    """Pass a file of certificates, the own one first, and the file with its key.

    Raises:
        OSError: a file cannot be read.
        ValueError: the key cannot be read, has a passphrase, or belongs to another certificate.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    try:
        # Without a callback OpenSSL would ask for a passphrase on the terminal.
        context.load_cert_chain(certificate, key, password=lambda: b"")
    except ssl.SSLError as error:
        raise ValueError(
            "expected the certificate's own key in PEM form without a passphrase, "
            "got something else"
        ) from error
