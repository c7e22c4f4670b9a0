"""The published checkpoints of SAM 2. Imports no torch: the front process reads this too."""

from __future__ import annotations

from dataclasses import dataclass

from diptych_runtime.weights import OfficialWeights

_BASE = "https://dl.fbaipublicfiles.com/segment_anything_2"
_SAM_2_1 = f"{_BASE}/092824/sam2.1_hiera"
_SAM_2 = f"{_BASE}/072824/sam2_hiera"


@dataclass(frozen=True)
class Checkpoint:
    """A published checkpoint and the configuration of the sam2 package that it belongs to."""

    weights: OfficialWeights
    config: str


def _checkpoint(
    name: str, url: str, config: str, *, size_bytes: int, parameters: int, sha256: str
) -> Checkpoint:
    return Checkpoint(OfficialWeights(name, url, size_bytes, parameters, sha256), config)


# Meta publishes no digests; these are what several independent public projects pin, all agreeing.
# Parameters are counted over the models that the configurations build.
CHECKPOINTS: tuple[Checkpoint, ...] = (
    _checkpoint(
        "sam2.1-hiera-tiny",
        f"{_SAM_2_1}_tiny.pt",
        "configs/sam2.1/sam2.1_hiera_t.yaml",
        size_bytes=156_008_466,
        parameters=38_962_498,
        sha256="7402e0d864fa82708a20fbd15bc84245c2f26dff0eb43a4b5b93452deb34be69",
    ),
    _checkpoint(
        "sam2.1-hiera-small",
        f"{_SAM_2_1}_small.pt",
        "configs/sam2.1/sam2.1_hiera_s.yaml",
        size_bytes=184_416_285,
        parameters=46_060_354,
        sha256="6d1aa6f30de5c92224f8172114de081d104bbd23dd9dc5c58996f0cad5dc4d38",
    ),
    _checkpoint(
        "sam2.1-hiera-base-plus",
        f"{_SAM_2_1}_base_plus.pt",
        "configs/sam2.1/sam2.1_hiera_b+.yaml",
        size_bytes=323_606_802,
        parameters=80_850_178,
        sha256="a2345aede8715ab1d5d31b4a509fb160c5a4af1970f199d9054ccfb746c004c5",
    ),
    _checkpoint(
        "sam2.1-hiera-large",
        f"{_SAM_2_1}_large.pt",
        "configs/sam2.1/sam2.1_hiera_l.yaml",
        size_bytes=898_083_611,
        parameters=224_446_642,
        sha256="2647878d5dfa5098f2f8649825738a9345572bae2d4350a2468587ece47dd318",
    ),
    _checkpoint(
        "sam2-hiera-tiny",
        f"{_SAM_2}_tiny.pt",
        "configs/sam2/sam2_hiera_t.yaml",
        size_bytes=155_906_050,
        parameters=38_945_986,
        sha256="65b50056e05bcb13694174f51bb6da89c894b57b75ccdf0ba6352c597c5d1125",
    ),
    _checkpoint(
        "sam2-hiera-small",
        f"{_SAM_2}_small.pt",
        "configs/sam2/sam2_hiera_s.yaml",
        size_bytes=184_309_650,
        parameters=46_043_842,
        sha256="95949964d4e548409021d47b22712d5f1abf2564cc0c3c765ba599a24ac7dce3",
    ),
    _checkpoint(
        "sam2-hiera-base-plus",
        f"{_SAM_2}_base_plus.pt",
        "configs/sam2/sam2_hiera_b+.yaml",
        size_bytes=323_493_298,
        parameters=80_833_666,
        sha256="d0bb7f236400a49669ffdd1be617959a8b1d1065081789d7bbff88eded3a8071",
    ),
    _checkpoint(
        "sam2-hiera-large",
        f"{_SAM_2}_large.pt",
        "configs/sam2/sam2_hiera_l.yaml",
        size_bytes=897_952_466,
        parameters=224_430_130,
        sha256="7442e4e9b732a508f80e141e7c2913437a3610ee0c77381a66658c3a445df87b",
    ),
)

OFFICIAL: tuple[OfficialWeights, ...] = tuple(entry.weights for entry in CHECKPOINTS)
"""What ``diptych-sam-2 pull`` knows."""
