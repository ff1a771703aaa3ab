"""Imported once by the server process that the test processes are forked from."""

import psycopg
import pymysql
import sqlalchemy.dialects.mysql
import sqlalchemy.dialects.postgresql
import sqlalchemy.dialects.sqlite

import dbmigrate.dialects.mysql
import dbmigrate.dialects.postgresql
import dbmigrate.dialects.sqlite
import tests.processes

__all__ = ["dbmigrate", "psycopg", "pymysql", "sqlalchemy", "tests"]
