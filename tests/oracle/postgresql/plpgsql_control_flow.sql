CREATE TABLE numbers (n int, said text);
CREATE FUNCTION say(n int, OUT said text) LANGUAGE plpgsql STABLE COST 5 AS $$
DECLARE
    digit CONSTANT int := n % 10; "end" int := 0; digit_text text;
BEGIN
    CASE digit
        WHEN 1, 2 THEN said := 'few; ';
        WHEN 3 THEN said := CASE WHEN n > 3 THEN 'big' ELSE 'small' END;
        ELSE said := '';
    END CASE;
    <<counting>>
    LOOP
        "end" := "end" + 1;
        EXIT counting WHEN "end" >= 3;
    END LOOP;
    WHILE "end" > 0 LOOP said := said || "end"; "end" := "end" - 1; END LOOP;
    FOREACH digit_text IN ARRAY ARRAY['a', 'b;'] LOOP said := said || digit_text; END LOOP;
EXCEPTION
    WHEN division_by_zero OR SQLSTATE '22012' THEN said := 'never;';
END
$$;
CREATE PROCEDURE fill(INOUT total int DEFAULT 0) LANGUAGE plpgsql AS $procedure$
<<main>>
BEGIN
    FOR i IN REVERSE 13..1 BY 2 LOOP
        IF i = 5 THEN CONTINUE; ELSIF i = 1 THEN NULL; ELSE total := total + 1; END IF;
        INSERT INTO numbers SELECT i, said FROM say(i);
    END LOOP;
    RETURN;
END main
$procedure$;
CALL fill();
