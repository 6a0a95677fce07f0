"""The checks, one file a topic. Each says what must happen; none waits for something not to happen."""
