"""The overview, with the first start of a new installation and the palette's names."""
