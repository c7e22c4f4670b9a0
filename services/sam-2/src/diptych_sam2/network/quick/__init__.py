"""Parts of SAM 2 rewritten to answer the same in less time, over the package's own weights."""
