"""The tests of dbmigrate."""
