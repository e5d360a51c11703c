"""Reports for people: terminal text, overlay pictures, a self-contained HTML page and files."""
