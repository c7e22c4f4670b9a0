"""Tell whether weights answer as published, or as they did before."""
