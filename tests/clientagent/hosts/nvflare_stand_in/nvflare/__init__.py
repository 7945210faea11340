"""The few names of nvflare that a Client-API script and its host use. tests/peers compares them with the real ones."""
