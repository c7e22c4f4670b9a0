"""The networks: torchvision's, rewritten to answer the same in less time and memory."""
