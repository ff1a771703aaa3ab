CREATE TABLE parent (id int, a text DEFAULT ';'); CREATE TABLE child (b int CHECK (b > 0) NO INHERIT) INHERITS (parent);
LOCK TABLE parent, ONLY child IN ACCESS EXCLUSIVE MODE; SHOW search_path; EXPLAIN (COSTS off) SELECT * FROM parent;
INSERT INTO parent VALUES (1); INSERT INTO child VALUES (2, ';;', 3); NOTIFY "n;", 'payload; here';
EXPLAIN (ANALYZE, TIMING off) INSERT INTO child VALUES (4, 'analyzed;', 5); ALTER TABLE parent ADD c int DEFAULT (2 + (3));
UPDATE parent SET a = tableoid::regclass || a; CREATE TABLE copied (LIKE child INCLUDING DEFAULTS INCLUDING CONSTRAINTS);
CREATE TABLE no_data AS SELECT * FROM parent WITH NO DATA; CREATE UNLOGGED TABLE u () ; CREATE TABLE columnless ();
INSERT INTO columnless DEFAULT VALUES; RESET search_path; SET LOCAL work_mem = '5MB';
