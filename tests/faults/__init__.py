"""What goes wrong between a program and its database, made to happen at a chosen moment."""
