"""Images with labels and masks from folders, and the treatment that makes classes comparable."""
