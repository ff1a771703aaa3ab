CREATE FUNCTION one() RETURNS text LANGUAGE sql AS 'SELECT ''a;b''''c''';
CREATE FUNCTION two() RETURNS text LANGUAGE sql AS E'SELECT \'a;b\\\\\';\n-- it''s over\n';
CREATE FUNCTION three() RETURNS SETOF text LANGUAGE sql AS 'SELECT one(); SELECT two()' ROWS 2;
CREATE FUNCTION length_of(text) RETURNS int LANGUAGE internal IMMUTABLE STRICT AS 'textlen';
CREATE FUNCTION four(a int DEFAULT 1, VARIADIC b text[] DEFAULT '{";"}') RETURNS text
    LANGUAGE plpgsql SET search_path TO 'public', "a;b" AS '
BEGIN
    RETURN a || array_to_string(b, '';'');
END';
CREATE TABLE said AS SELECT one() AS a UNION ALL SELECT three() UNION ALL SELECT four(2, 'x', 'y;');
INSERT INTO said VALUES (length_of('four'));
