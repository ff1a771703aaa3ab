CREATE TABLE t (a);
INSERT INTO t VALUES (1);
/* never closed; it is fine
DROP TABLE t;
