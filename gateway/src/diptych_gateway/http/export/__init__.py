"""Answers that a page or a program has, as the files that other tools read."""
