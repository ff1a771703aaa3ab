-- The tag decides what closes, and an identifier may hold dollars.
CREATE FUNCTION plain() RETURNS text LANGUAGE sql AS $$ SELECT 'a;b' $$;
CREATE FUNCTION tagged() RETURNS text LANGUAGE sql AS $body$ SELECT $$it's; $1 $body2$ $$::text $body$;
CREATE FUNCTION longer() RETURNS text LANGUAGE sql AS $body_1$ SELECT '$body$ ; $$'::text $body_1$;
CREATE FUNCTION "größe"() RETURNS text LANGUAGE sql AS $größe$ SELECT ';'::text $größe$;
CREATE FUNCTION numbered(int, int) RETURNS int LANGUAGE sql AS 'SELECT $1+$2;';
CREATE TABLE a$b$c (d$$ int, e$1 text);
INSERT INTO a$b$c VALUES (numbered(1, 2), plain()), (2, tagged()), (3, longer()), (4, "größe"());
INSERT INTO a$b$c SELECT d$$+1,$a$;$a$ FROM a$b$c WHERE d$$ = 4;
INSERT INTO a$b$c VALUES (7, $$$$), (8, $a$$$a$), (9, $A$ $a$ ; $A$), (10, $$
two
lines; $$);
CREATE TABLE bare AS SELECT $$;$$ AS a, $a$;$$;$a$ AS b, $é$ $a$;'$é$ AS c, 'a$$;' AS d, E'$$;\'' AS "$$;";
