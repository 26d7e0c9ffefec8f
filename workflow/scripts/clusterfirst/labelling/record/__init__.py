"""What people did and what follows from it: the journal, the history, the state. No web, no pictures."""
