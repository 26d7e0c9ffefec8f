"""Small images, many in a process: what a job makes of its own and of others' images, and where each takes it from."""
