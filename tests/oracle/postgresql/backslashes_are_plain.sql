SET LOCAL standard_conforming_strings = on;
CREATE TABLE paths (a text DEFAULT 'C:\', b text DEFAULT '\');
INSERT INTO paths VALUES ('\\server\share\', '\'';'), ('\n', E'\n'), (DEFAULT, DEFAULT);
COMMENT ON COLUMN paths.a IS '\'; COMMENT ON COLUMN paths.b IS 'back\slash; and ''quote''\';
CREATE FUNCTION pattern(text) RETURNS boolean LANGUAGE sql AS 'SELECT $1 ~ ''^\w+\\;$''';
INSERT INTO paths VALUES ('matched', pattern('abc\;')::text);
