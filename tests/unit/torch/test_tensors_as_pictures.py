"""Tensors that are passed to the client as pictures."""

from __future__ import annotations

import io

import numpy as np
import picture_files
import pytest
import torch
from PIL import Image

from diptych._arguments import encode_image

RGB = np.asarray(picture_files.scene())
GREY = np.asarray(picture_files.scene().convert("L"))


def decoded(tensor: torch.Tensor) -> Image.Image:
    return Image.open(io.BytesIO(encode_image(tensor).data))


def test_tensors_of_torch_have_their_channels_first_or_last() -> None:
    last = torch.from_numpy(RGB.copy())
    first = last.permute(2, 0, 1)
    half = (first / 255).to(torch.bfloat16)
    weights = (first / 255).requires_grad_()
    for tensor in (last, first, first / 255, (last / 255).double(), weights):
        assert np.array_equal(np.asarray(decoded(tensor)), RGB)
    assert np.abs(np.asarray(decoded(half)).astype(int) - RGB).max() <= 1
    assert np.array_equal(np.asarray(decoded(torch.from_numpy(GREY.copy())[None])), GREY)
    with pytest.raises(ValueError, match="expected a tensor on the CPU, got one on meta"):
        encode_image(first.to("meta"))
    with pytest.raises(ValueError, match="expected floats from 0 to 1"):
        encode_image((first / 255 - 0.45) / 0.22)  # as networks are fed
    with pytest.raises(ValueError, match="one by one"):
        encode_image(first[None])
