"""The published checkpoints of SAM 2. Imports no torch: the front process reads this too."""

from __future__ import annotations

from dataclasses import dataclass

from diptych_runtime.weights import OfficialWeights

_BASE = "https://dl.fbaipublicfiles.com/segment_anything_2"
_FOLDERS = {"sam2.1": f"{_BASE}/092824", "sam2": f"{_BASE}/072824"}

# Meta publishes no digests; these are what several independent public projects pin, all agreeing.
_SHA256 = {
    "sam2.1-hiera-tiny": "7402e0d864fa82708a20fbd15bc84245c2f26dff0eb43a4b5b93452deb34be69",
    "sam2.1-hiera-small": "6d1aa6f30de5c92224f8172114de081d104bbd23dd9dc5c58996f0cad5dc4d38",
    "sam2.1-hiera-base-plus": "a2345aede8715ab1d5d31b4a509fb160c5a4af1970f199d9054ccfb746c004c5",
    "sam2.1-hiera-large": "2647878d5dfa5098f2f8649825738a9345572bae2d4350a2468587ece47dd318",
    "sam2-hiera-tiny": "65b50056e05bcb13694174f51bb6da89c894b57b75ccdf0ba6352c597c5d1125",
    "sam2-hiera-small": "95949964d4e548409021d47b22712d5f1abf2564cc0c3c765ba599a24ac7dce3",
    "sam2-hiera-base-plus": "d0bb7f236400a49669ffdd1be617959a8b1d1065081789d7bbff88eded3a8071",
    "sam2-hiera-large": "7442e4e9b732a508f80e141e7c2913437a3610ee0c77381a66658c3a445df87b",
}


@dataclass(frozen=True)
class Checkpoint:
    """A published checkpoint and the configuration of the sam2 package that it belongs to."""

    weights: OfficialWeights
    config: str


def _checkpoint(name: str, config: str, size_bytes: int, parameter_count: int) -> Checkpoint:
    series, _, _ = name.partition("-")
    url = f"{_FOLDERS[series]}/{name.replace('-', '_')}.pt"
    weights = OfficialWeights(name, url, size_bytes, parameter_count, _SHA256[name])
    return Checkpoint(weights, f"configs/{series}/{series}_hiera_{config}.yaml")


# Sizes are those of the downloads; parameters are counted over what the configurations build.
CHECKPOINTS: tuple[Checkpoint, ...] = (
    _checkpoint("sam2.1-hiera-tiny", "t", 156_008_466, 38_962_498),
    _checkpoint("sam2.1-hiera-small", "s", 184_416_285, 46_060_354),
    _checkpoint("sam2.1-hiera-base-plus", "b+", 323_606_802, 80_850_178),
    _checkpoint("sam2.1-hiera-large", "l", 898_083_611, 224_446_642),
    _checkpoint("sam2-hiera-tiny", "t", 155_906_050, 38_945_986),
    _checkpoint("sam2-hiera-small", "s", 184_309_650, 46_043_842),
    _checkpoint("sam2-hiera-base-plus", "b+", 323_493_298, 80_833_666),
    _checkpoint("sam2-hiera-large", "l", 897_952_466, 224_430_130),
)

OFFICIAL: tuple[OfficialWeights, ...] = tuple(entry.weights for entry in CHECKPOINTS)
"""What ``diptych-sam-2 pull`` knows."""
