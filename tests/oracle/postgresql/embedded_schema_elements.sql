CREATE SCHEMA shop
    CREATE TABLE items (id int PRIMARY KEY, name text DEFAULT ';')
    CREATE VIEW names AS SELECT name FROM items WHERE name <> 'a;b'
    CREATE INDEX by_name ON items (name)
    GRANT SELECT ON names TO PUBLIC;
CREATE SCHEMA IF NOT EXISTS "other;schema" AUTHORIZATION CURRENT_USER;
SET LOCAL search_path = shop, "other;schema", public;
INSERT INTO items VALUES (1, DEFAULT), (2, 'a;b');
CREATE TABLE here (a text DEFAULT current_schema()); INSERT INTO here DEFAULT VALUES;
ALTER DEFAULT PRIVILEGES IN SCHEMA shop GRANT SELECT ON TABLES TO PUBLIC;
