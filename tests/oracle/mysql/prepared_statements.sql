CREATE TABLE t (a INT, b VARCHAR(20));
SET @sql = 'INSERT INTO t VALUES (?, ''prepared;'')', @one = 1;
PREPARE p FROM @sql; EXECUTE p USING @one; EXECUTE p USING @one; DEALLOCATE PREPARE p;
EXECUTE IMMEDIATE 'CREATE TABLE u (c INT DEFAULT ''3'')'; EXECUTE IMMEDIATE "INSERT INTO t VALUES (?, 'x;')" USING 5 + 5;
SET STATEMENT max_statement_time = 100, sort_buffer_size = 65536 FOR INSERT INTO t VALUES (7, 'set; statement');
SET @exists = (SELECT COUNT(*) FROM information_schema.columns WHERE table_schema = DATABASE() AND table_name = 't' AND column_name = 'c;');
SET @add = IF(@exists = 0, 'ALTER TABLE t ADD COLUMN `c;` INT DEFAULT 4', 'SELECT 1'); PREPARE s FROM @add; EXECUTE s; DROP PREPARE s;
CREATE TEMPORARY TABLE scratch AS SELECT * FROM t; INSERT INTO u SELECT a FROM scratch; DROP TEMPORARY TABLE scratch;
