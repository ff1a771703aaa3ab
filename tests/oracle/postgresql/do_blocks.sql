CREATE TABLE t (id int, name text);
DO LANGUAGE plpgsql $$ BEGIN FOR i IN 1..3 LOOP INSERT INTO t VALUES (i, 'do;'); END LOOP; END $$;
DO 'BEGIN INSERT INTO t VALUES (4, ''quoted; body''); END';
DO E'BEGIN INSERT INTO t VALUES (5, \'escaped; body\');\nEND';
DO $$
DECLARE
    r record;
BEGIN
    <<outer_loop>>
    FOR r IN SELECT id FROM generate_series(1, 5) AS id LOOP
        CONTINUE outer_loop WHEN r.id % 2 = 0;
        BEGIN
            EXECUTE 'ALTER TABLE t ADD COLUMN c' || r.id || ' int DEFAULT ' || r.id;
        EXCEPTION WHEN duplicate_column THEN
            RAISE NOTICE 'there; already';
        END;
    END LOOP outer_loop;
    IF NOT EXISTS (SELECT FROM pg_type WHERE typname = 'mood') THEN
        CREATE TYPE mood AS ENUM ('sad;', 'it''s ok', 'happy');
    END IF;
END
$$;
ALTER TABLE t ADD COLUMN mood mood DEFAULT 'it''s ok';
