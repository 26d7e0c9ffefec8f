"""How a run fares: what is done, running or failed, and why; and whether a machine is fit for one."""
