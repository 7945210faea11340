"""The list of sessions; one session with its round now, history, curves, data, log and settings; what operators do."""
