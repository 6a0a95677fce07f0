"""What every scenario stands on: processes on cores, cheap sinks, alternating rounds, results."""
