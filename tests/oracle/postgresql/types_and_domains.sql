CREATE TYPE mood AS ENUM ('sad;', 'it''s', '"', '$$', '--', '');
ALTER TYPE mood ADD VALUE IF NOT EXISTS '/*' BEFORE 'it''s'; ALTER TYPE mood RENAME VALUE '"' TO 'double;';
CREATE TYPE pair AS (a int, "b;" text COLLATE "C");
CREATE TYPE floats AS RANGE (SUBTYPE = float8, SUBTYPE_DIFF = float8mi);
CREATE DOMAIN code AS varchar(10) DEFAULT ';' NOT NULL CONSTRAINT "short;" CHECK (VALUE ~ '^[a-z;'']+$');
CREATE DOMAIN happy AS mood CHECK (VALUE <> 'sad;');
CREATE TABLE t (m mood, p pair, f floats, c code, h happy[]);
INSERT INTO t VALUES ('--', '(1,";""")', '[1,2.5)', 'a;', '{it''s,$$}'), ('$$', ROW(2, '();'), 'empty', DEFAULT, ARRAY['double;']::happy[]);
