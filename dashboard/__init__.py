"""The control room's pages: a folder a page in `pages`, what they share in `kit`, reached by `urls` and `consumers`."""
