CREATE TABLE t (stdin text, a text);
INSERT INTO t VALUES ('
\connect nowhere
\.
', $$
\copy t FROM stdin;
\q
$$);
CREATE FUNCTION copy() RETURNS text LANGUAGE plpgsql AS $$
-- \gexec
BEGIN
    RETURN 'COPY t FROM stdin;';
END $$;
/* \set ON_ERROR_STOP off */ INSERT INTO t VALUES (copy(), E'\\d t'), (':name', ':''name'''), ('@', ':"name"');
SELECT "stdin" FROM t; SELECT a[1:2], a[:1] FROM (SELECT ARRAY['x', ';']) AS s(a); -- \!
