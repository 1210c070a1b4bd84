"""`make bench`: the appliance beside its bare parts, measured in one run."""
