"""What is read off weights, what has to be told, and what is assumed without a word."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from own_rcnn import masks, mobile, resnet
from safetensors.torch import save_file
from torch import nn
from torchvision.models import mobilenet
from torchvision.models import resnet as resnets
from torchvision.models.detection.backbone_utils import resnet_fpn_backbone
from torchvision.ops import FrozenBatchNorm2d

from diptych_maskrcnn.network import norms
from diptych_maskrcnn.network.anchors import anchors_of
from diptych_maskrcnn.network.backbone_reader import read_backbone
from diptych_maskrcnn.network.build import build_mask
from diptych_maskrcnn.network.heads import shared_heads
from diptych_maskrcnn.network.told import Given, Told
from diptych_maskrcnn.weights.load import BUNDLED, load_keypoint, load_mask
from diptych_runtime.weights import WeightsError
from diptych_torch.side_file import read_side_file

RESNETS = [name for name in resnets.__all__ if name.islower()]
ASSUMED = {
    "min_size": "800",
    "max_size": "1333",
    "image_mean": "[0.485, 0.456, 0.406]",
    "image_std": "[0.229, 0.224, 0.225]",
    "anchor_sizes": "[[32], [64], [128], [256], [512]]",
    "aspect_ratios": "[0.5, 1, 2]",
}


@pytest.fixture(scope="module")
def state() -> dict[str, torch.Tensor]:
    """A small network, frozen norms."""
    torch.manual_seed(0)
    return dict(masks(resnet("resnet18")).state_dict())


@pytest.fixture
def own(tmp_path: Path, state: dict[str, torch.Tensor]) -> Path:
    path = tmp_path / "own.safetensors"
    save_file(state, path)
    path.with_suffix(".classes.txt").write_text("cat\ndog\n")
    return path


@pytest.mark.parametrize("name", RESNETS)
def test_every_resnet_is_known_by_its_shapes(name: str) -> None:
    frozen = "wide" not in name
    norm = FrozenBatchNorm2d if frozen else nn.BatchNorm2d
    with torch.device("meta"):
        backbone = resnet_fpn_backbone(backbone_name=name, weights=None, norm_layer=norm)
    state = {f"backbone.{key}": value for key, value in backbone.state_dict().items()}
    kind = read_backbone(state)
    assert (kind.name, kind.frozen, kind.levels) == (name, frozen, 5)


@pytest.mark.parametrize("returned", [[1, 2, 3], [2, 3], [4]])
def test_stages_of_a_pyramid_are_read(returned: list[int]) -> None:
    with torch.device("meta"):
        backbone = resnet_fpn_backbone(
            backbone_name="resnet34", weights=None, returned_layers=returned
        )
        state = {f"backbone.{key}": value for key, value in backbone.state_dict().items()}
        kind = read_backbone(state)
        built: Any = kind.build(FrozenBatchNorm2d)
    assert built.body.return_layers == backbone.body.return_layers
    assert kind.levels == len(returned) + 1


def test_another_backbone_is_refused_by_name() -> None:
    state = {"backbone.body.stages.0.weight": torch.zeros(1), "backbone.fpn.x": torch.zeros(1)}
    with pytest.raises(WeightsError, match=r"none of torchvision's .* resnet50, .*mobilenet_v2"):
        read_backbone(state)


def test_norms_of_a_classifier_keep_its_eps() -> None:
    kind = read_backbone(
        {
            f"backbone.{k}": v
            for k, v in mobilenet.mobilenet_v3_small().features.state_dict().items()
        }
    )
    built = kind.build(nn.BatchNorm2d)
    assert {m.eps for m in built.modules() if isinstance(m, nn.BatchNorm2d)} == {0.001}
    module = mobile("mobilenet_v3_small", fpn=False, levels=1, norm_layer=nn.BatchNorm2d)
    made = build_mask(module.state_dict()).module
    norms_of = [m for m in made.backbone.modules() if isinstance(m, nn.BatchNorm2d)]
    assert {m.eps for m in norms_of} == {1e-5}


def test_without_a_side_file_torchvisions_sizes_are_assumed(own: Path) -> None:
    facts = load_mask(str(own)).facts
    assumed = {fact.name: fact.value for fact in facts if fact.origin == "assumed"}
    assert assumed == ASSUMED
    assert {fact.file for fact in facts if fact.origin == "assumed"} == {"own.model.toml"}
    (network,) = (fact.value for fact in facts if fact.name == "network")
    assert network == "resnet18, frozen batch norms, 5 levels of 256 channels"


def test_what_is_told_is_used_and_not_assumed(own: Path) -> None:
    text = (
        "min_size = [480, 512]\nmax_size = 640\nimage_mean = [0, 0, 0]\nimage_std = [1, 1, 1]\n"
        "anchor_sizes = [[16], [32], [64], [128], [256]]\naspect_ratios = [0.25, 1, 4]\n"
        "batch_norm_eps = 0.001\nbox_nms_thresh = 0.3\nbbox_reg_weights = [1, 1, 1, 1]\n"
    )
    own.with_suffix(".model.toml").write_text(text)
    network = load_mask(str(own))
    module = network.module
    assert (module.transform.min_size, module.transform.max_size) == ([480, 512], 640)
    assert (module.transform.image_mean, module.transform.image_std) == ([0, 0, 0], [1, 1, 1])
    assert module.rpn.anchor_generator.sizes == ((16,), (32,), (64,), (128,), (256,))
    assert module.rpn.anchor_generator.aspect_ratios == ((0.25, 1, 4),) * 5
    assert {norm.eps for norm in frozen(module)} == {0.001}
    assert module.roi_heads.nms_thresh == 0.3
    assert module.roi_heads.box_coder.weights == [1, 1, 1, 1]
    assert not [fact for fact in network.facts if fact.origin == "assumed"]
    told = {fact.name: fact.value for fact in network.facts if fact.origin == "told"}
    assert told["min_size"] == "512"
    assert told["box_nms_thresh"] == "0.3"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("anchor_size = [1]", r"anchor_size is no key; did you mean anchor_sizes\?"),
        ("x = 1", "x is no key; known are min_size, max_size, "),
        ('min_size = "800"', "min_size: input should be a valid integer, got '800'"),
        ("max_size = 0", "max_size: input should be greater than or equal to 16, got 0"),
        ("image_mean = [0.5]", "image_mean: list should have at least 3 items"),
        ("image_std = [0, 1, 1]", "image_std: input should be greater than 0, got 0"),
        ("batch_norm_eps = nan", "batch_norm_eps: input should be "),
        ("anchor_sizes = [16, 32]", "anchor_sizes is for 2 levels, the network has 5"),
        (
            "anchor_sizes = [1, 2, 3, 4, 5]\naspect_ratios = [1]",
            "make 1 anchors at a place, the network has 3",
        ),
        ("box_detections_per_img = true", "box_detections_per_img: input should be a valid int"),
        ("min_size = ", " cannot be read as TOML: "),
        ("#" * 70_000, " has more than 65536 bytes"),
    ],
)
def test_a_side_file_that_is_wrong_is_refused_by_its_key(
    own: Path, text: str, expected: str
) -> None:
    own.with_suffix(".model.toml").write_text(text)
    with pytest.raises(WeightsError, match=rf"^own\.model\.toml.*{expected}"):
        load_mask(str(own))


def test_anchors_that_torchvision_never_makes_have_to_be_told() -> None:
    expected = "5 levels with 5 anchors at a place.* say anchor_sizes and aspect_ratios in own"
    with pytest.raises(WeightsError, match=expected):
        anchors_of(5, 5, Given(file="own.model.toml"))
    told = Told(anchor_sizes=[8, 16, 32, 64, 96])
    with pytest.raises(WeightsError, match=r"make 3 anchors at a place, the network has 5"):
        anchors_of(5, 5, Given(told))


def frozen(module: nn.Module) -> list[FrozenBatchNorm2d]:
    return [norm for norm in module.modules() if isinstance(norm, FrozenBatchNorm2d)]


@pytest.fixture(scope="module")
def fifty() -> dict[str, torch.Tensor]:
    """The backbone of a ResNet-50 that began with the first layer of torchvision's first one."""
    torch.manual_seed(0)
    body = {f"backbone.{key}": value for key, value in resnet("resnet50").state_dict().items()}
    first = body["backbone.body.conv1.weight"]
    for row, numbers in enumerate(norms._FIRST):
        first[0, 0, row, [0, 1, 2, 4, 5, 6]] = torch.tensor(numbers) + 1e-4
    return body


def eps_of(state: dict[str, torch.Tensor], **given: Any) -> tuple[str, str]:
    fact = norms.norm_eps(read_backbone(state), state, Given(**given))
    assert fact is not None
    return fact.value, fact.origin


def test_eps_is_known_where_no_published_detector_was_the_start(
    state: dict[str, torch.Tensor], fifty: dict[str, torch.Tensor]
) -> None:
    assert eps_of(state) == ("1e-05", "known")
    other = fifty | {"backbone.body.conv1.weight": torch.rand(64, 3, 7, 7)}
    assert eps_of(other) == ("1e-05", "known")


def test_eps_is_assumed_only_where_one_may_have_been(fifty: dict[str, torch.Tensor]) -> None:
    assert eps_of(fifty) == ("0", "assumed")
    assert eps_of(fifty, told=Told(batch_norm_eps=1e-5)) == ("1e-05", "told")


@pytest.mark.parametrize(
    ("weights", "eps"),
    [("MaskRCNN_ResNet50_FPN_Weights.COCO_V1", "0"), ("DEFAULT", "0"), (None, "1e-05")],
)
def test_eps_is_known_of_the_reference_script(
    weights: str | None, eps: str, fifty: dict[str, torch.Tensor]
) -> None:
    args = {"model": "maskrcnn_resnet50_fpn", "weights": weights, "weights_backbone": "DEFAULT"}
    assert eps_of(fifty, args=args) == (eps, "known")


def test_a_variance_of_zero_gives_no_nan(
    state: dict[str, torch.Tensor], fifty: dict[str, torch.Tensor]
) -> None:
    name = "backbone.body.bn1.running_var"
    assert eps_of(fifty | {name: torch.zeros(64)}) == ("1e-05", "known")
    expected = r"bn1\.running_var has 0\.0, which with batch_norm_eps = 0\.0 makes every answer no"
    with pytest.raises(WeightsError, match=expected):
        build_mask(state | {name: torch.zeros(64)}, Given(Told(batch_norm_eps=0.0)))


def test_two_layers_of_proposals_are_read(state: dict[str, torch.Tensor]) -> None:
    more = {"weight": torch.zeros(256, 256, 3, 3), "bias": torch.zeros(256)}
    deeper = state | {f"rpn.head.conv.1.0.{name}": value for name, value in more.items()}
    assert len(shared_heads(deeper, 256)["rpn_head"].conv) == 2


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('keypoint_names = ["a", "b"]', "keypoint_names has 2 names, 2 of them different; .* 17"),
        (
            "keypoint_edges = [[0, 17]]",
            r"keypoint_edges has \[0, 17\], the network has points 0 to",
        ),
        ("min_size = 300", "the demo network has its own min_size"),
    ],
)
def test_points_that_do_not_fit_are_refused(text: str, expected: str, tmp_path: Path) -> None:
    path = tmp_path / "points.safetensors"
    path.write_bytes((BUNDLED / "keypoint-demo.safetensors").read_bytes())
    path.with_suffix(".model.toml").write_text(text)
    with pytest.raises(WeightsError, match=rf"^points\.model\.toml: {expected}"):
        load_keypoint(str(path))


def test_a_side_file_may_be_empty(tmp_path: Path) -> None:
    (tmp_path / "a.v1.model.toml").touch()
    assert read_side_file(tmp_path / "a.v1.pth", Told) == Told()


def test_the_documentation_shows_a_side_file_that_is_taken(own: Path) -> None:
    page = Path(__file__).parents[3] / "docs" / "models.md"
    example = page.read_text().partition("```toml\n")[2].partition("```")[0]
    own.with_suffix(".model.toml").write_text(example)
    told = read_side_file(own, Told).given
    assert len(told) == 7
    assert set(Told.model_fields) <= {*told, *page.read_text().replace("`", " ").split()}
