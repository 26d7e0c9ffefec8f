"""What cells are called, and who says so: people, a model; and the table that joins it all."""
