CREATE TABLE entries (id int PRIMARY KEY, kind text, "end" int);
CREATE FUNCTION kind_of(n int) RETURNS text LANGUAGE sql IMMUTABLE
BEGIN ATOMIC
    SELECT CASE WHEN n < 0 THEN 'minus' WHEN n = 0 THEN CASE n WHEN 0 THEN 'zero;' END ELSE 'plus' END;
END;
CREATE PROCEDURE enter(first int, last int) LANGUAGE sql BEGIN ATOMIC
    INSERT INTO entries VALUES (first, kind_of(first), last);
    INSERT INTO entries (id, kind, "end") SELECT i, 'between; END', i AS "end" FROM generate_series(first + 1, last) AS i;
    UPDATE entries SET "end" = CASE WHEN "end" > 2 THEN 2 ELSE "end" END;
END;
CREATE FUNCTION nothing() RETURNS void BEGIN ATOMIC END;
CREATE OR REPLACE FUNCTION public.atomic(begin int, "atomic" int DEFAULT 1) RETURNS int RETURN begin + "atomic";
CREATE FUNCTION aliased() RETURNS TABLE (a int, b int) BEGIN ATOMIC
    ; SELECT e.id AS "end", e."end" AS "case" FROM entries AS e; -- END;
    SELECT 1 AS "begin", 2 /* END */;
END;
CALL enter(-1, 3);
INSERT INTO entries SELECT 10 + a, 'aliased', public.atomic(b) FROM aliased();
