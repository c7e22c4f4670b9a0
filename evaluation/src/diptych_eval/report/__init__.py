"""Show figures to people: HTML, Markdown and CSV."""
