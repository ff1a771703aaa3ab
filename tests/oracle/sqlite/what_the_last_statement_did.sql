CREATE TABLE t (id INTEGER PRIMARY KEY, a); CREATE TABLE seen (last INT, changed INT);
INSERT INTO t (id, a) VALUES (41, 'a'), (42, 'b;');
INSERT INTO seen VALUES (last_insert_rowid(), changes());
UPDATE t SET a = a || ';'; INSERT INTO seen VALUES (last_insert_rowid(), changes());
