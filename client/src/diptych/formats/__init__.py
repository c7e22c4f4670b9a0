"""Results in the formats that other tools read: label tools, trainers, spreadsheets.

```py
from diptych import formats

picture = formats.Picture.of("photo.jpg", client.segment("photo.jpg", model="mask-rcnn"))
for name, data in formats.FORMATS["coco"].write([picture]):
    Path(name).write_bytes(data)
```
"""

from __future__ import annotations

from .archive import TooLargeError, pack
from .names import beside, names_of, one_step
from .picture import Files, Options, Picture
from .registry import FORMATS, Format, format_of

__all__ = [
    "FORMATS",
    "Files",
    "Format",
    "Options",
    "Picture",
    "TooLargeError",
    "beside",
    "format_of",
    "names_of",
    "one_step",
    "pack",
]
