"""What client, gateway and services agree on; each is written down only here."""

MAX_REQUEST_BYTES = 32 * 1024 * 1024
"""Largest request message, the image included."""

MAX_REPLY_BYTES = 64 * 1024 * 1024
"""Largest reply message."""

SERVER_IDS = 2**30
"""Objects of a video from here on are numbered by the server, those below by callers."""

NO_PROMPTS = (
    "expected at least one, got none; leave it out, or say task='instance-segmentation', "
    "to find everything"
)
"""Why prompts that were given and are none are refused: a program that found nothing to ask for
would get everything that there is."""
