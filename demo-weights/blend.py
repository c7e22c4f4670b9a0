"""Mean of two states of the nano SAM 2: the decoder of both, the rest of the second.

python blend.py OLD NEW OUT [--share 0.8]

Weights between those before and after ``train_clicks.py`` keep what the old ones did on frames of
clips, and most of what was learned of clicks.
"""

from __future__ import annotations

import argparse

from common import load, save
from train_video import HEAD

DECODER = "sam_"


def main() -> None:
    """Parse the command line and write the mean in fp32."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("old")
    parser.add_argument("new")
    parser.add_argument("out")
    parser.add_argument("--share", type=float, default=0.8, help="of the new decoder")
    args = parser.parse_args()
    old, state = load(args.old), load(args.new)
    for name, value in state.items():
        if name.startswith(DECODER) and HEAD not in name and value.is_floating_point():
            state[name] = old[name].lerp(value, args.share)
    save(state, args.out, half=False, image_size=256)


if __name__ == "__main__":
    main()
