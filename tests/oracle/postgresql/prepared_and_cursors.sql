CREATE TABLE t (a int, b text);
PREPARE enter (int, text) AS INSERT INTO t VALUES ($1, $2 || ';');
EXECUTE enter(1, 'a''b'); EXECUTE enter(2, $$c;$$);
DEALLOCATE enter;
DECLARE "c;" CURSOR FOR SELECT a, b FROM t FOR UPDATE;
FETCH 1 FROM "c;"; MOVE NEXT IN "c;"; UPDATE t SET b = 'current;' WHERE CURRENT OF "c;"; CLOSE "c;";
CREATE TEMPORARY TABLE scratch ON COMMIT DROP AS SELECT * FROM t;
INSERT INTO t SELECT a + 10, b FROM scratch;
