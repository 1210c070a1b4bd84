"""Who owns the cluster: real processes, real signals, one kernel lock."""
