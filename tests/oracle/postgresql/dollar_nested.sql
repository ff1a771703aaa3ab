DO $outer$
BEGIN
    EXECUTE $create$
        CREATE FUNCTION nested(a text) RETURNS text LANGUAGE plpgsql AS $body$
        DECLARE
            said text := $quote$he said: "it's; $$ or $1"$quote$;
        BEGIN
            RETURN $$<$$ || said || a || $$>;$$;
        END;
        $body$;
    $create$;
    CREATE TABLE result (said text);
    EXECUTE format($$INSERT INTO result VALUES (nested(%L))$$, $x$';'$x$);
END;
$outer$;
INSERT INTO result VALUES ($a$$b$;$b$$a$);
