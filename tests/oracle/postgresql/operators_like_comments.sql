CREATE FUNCTION apart(int, int) RETURNS int LANGUAGE sql IMMUTABLE AS 'SELECT abs($1 - $2)';
CREATE OPERATOR <#> (LEFTARG = int, RIGHTARG = int, FUNCTION = apart, COMMUTATOR = <#>);
CREATE OPERATOR @#@ (RIGHTARG = int, FUNCTION = int4abs);
CREATE TABLE found (a int, b boolean, c jsonb);
INSERT INTO found VALUES (3<#>5, 1<>2, '{"a": [1, {"b;": ":c"}]}');
INSERT INTO found SELECT @#@ -4, c ? 'a' AND c ?| array['a', 'b;'] AND c @? '$.a[*] ? (@ > 0)', c #> '{a,1}' FROM found;
INSERT INTO found SELECT ((array[10, 20, 30])[2:3])[1], 7 % 2 = 1, (c -> 'a' ->> 0)::jsonb FROM found WHERE c @> '{}' AND c ? 'a';
INSERT INTO found VALUES (2 OPERATOR(pg_catalog.*) 3, 'a' !~ 'b' AND 'a' ~* 'A', '":x"');
