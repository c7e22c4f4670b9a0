"""One image to several models, and how far they agree."""
