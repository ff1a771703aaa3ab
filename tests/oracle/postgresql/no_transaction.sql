-- dbmigrate: no-transaction
CREATE TABLE t (a int, b text);
INSERT INTO t SELECT i, 'row; ' || i FROM generate_series(1, 20) AS i;
CREATE INDEX CONCURRENTLY "by;a" ON t (a) WHERE b <> ';';
CREATE UNIQUE INDEX CONCURRENTLY IF NOT EXISTS by_b ON t (b);
REINDEX INDEX CONCURRENTLY "by;a";
CREATE PROCEDURE commits() LANGUAGE plpgsql AS $$
BEGIN
    FOR i IN 21..23 LOOP
        INSERT INTO t VALUES (i, 'own; transaction ' || i);
        COMMIT;
    END LOOP;
END
$$;
CALL commits();
DROP INDEX CONCURRENTLY by_b;
VACUUM t;
