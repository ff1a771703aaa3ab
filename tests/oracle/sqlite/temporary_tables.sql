CREATE TEMPORARY TABLE scratch AS SELECT 1 AS a, 'x;' AS b;
CREATE TEMP VIEW seen AS SELECT a, b FROM scratch; CREATE TABLE temp.other (c); CREATE INDEX temp.i ON scratch (a);
INSERT INTO other SELECT a + 1 FROM seen; CREATE TABLE kept AS SELECT b, c FROM scratch, temp.other; DROP TABLE temp.scratch;
