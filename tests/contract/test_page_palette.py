"""The page draws in the client's colours."""

from __future__ import annotations

import re
from pathlib import Path

import diptych_gateway
from diptych._drawing.palette import PALETTE

PAGE = Path(diptych_gateway.__file__).parent / "page"


def test_the_page_has_the_colours_of_the_client_in_their_order() -> None:
    text = (PAGE / "js" / "canvas" / "palette.js").read_text()
    found = re.search(r"\bPALETTE = \[(.*?)\]", text, re.DOTALL)
    assert found is not None
    assert tuple(re.findall(r'"(#[0-9a-f]{6})"', found[1])) == PALETTE
