"""Sizes that client, gateway and services agree on; each is written down only here."""

MAX_REQUEST_BYTES = 32 * 1024 * 1024
"""Largest request message, the image included."""

MAX_REPLY_BYTES = 64 * 1024 * 1024
"""Largest reply message."""
