"""Between nodes: the Broker carries events, the Directory knows who is where."""
