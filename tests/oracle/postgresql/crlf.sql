-- Line ends of another system, in strings and bodies too
CREATE TABLE t (a text);
INSERT INTO t VALUES ('one
two;'), (E'three\
four');
CREATE FUNCTION f() RETURNS int LANGUAGE plpgsql AS $$
BEGIN -- it's
    RETURN 1;
END;
$$;
COMMENT ON FUNCTION f() IS 'a
b';
