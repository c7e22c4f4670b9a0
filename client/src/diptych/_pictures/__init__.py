"""Pictures in the forms in which callers have them: files, folders, arrays; how they are sent."""
