-- no-transaction
-- The session lasts from one statement to the next
SET search_path = later, public;
CREATE SCHEMA later;
CREATE TABLE t (id serial, a text);
PREPARE p AS INSERT INTO t (a) VALUES ($1); EXECUTE p('one;'); EXECUTE p('two');
CREATE TEMP TABLE scratch AS SELECT lastval() AS last, currval('t_id_seq') AS current;
CREATE INDEX CONCURRENTLY ON t (a);
INSERT INTO t (a) SELECT last || ';' || current FROM scratch;
