CREATE TABLE a (id int PRIMARY KEY, v text); CREATE TABLE b (id int, v text, at timestamptz);
INSERT INTO a SELECT i, chr(96 + i) FROM generate_series(1, 5) i;
WITH gone AS (DELETE FROM a WHERE id > 3 RETURNING *), more AS (UPDATE a SET v = v || ';' RETURNING id, v)
INSERT INTO b SELECT id, v, timestamptz'2024-02-29 12:00:00+02' FROM gone UNION ALL SELECT id, v, 'infinity' FROM more;
INSERT INTO a VALUES (1, 'x') ON CONFLICT (id) DO UPDATE SET v = excluded.v || ';' || a.v WHERE a.v <> ';';
MERGE INTO a USING b ON a.id = b.id WHEN MATCHED AND b.id = 2 THEN UPDATE SET v = 'merged;' WHEN MATCHED THEN DO NOTHING
    WHEN NOT MATCHED THEN INSERT VALUES (b.id, 'new;');
VALUES (1, 'a;'), (2, 'b'); TABLE a; SELECT 1 AS "x;" UNION SELECT 2; (SELECT 3 LIMIT 1);
TRUNCATE ONLY b CONTINUE IDENTITY; INSERT INTO b (v) SELECT string_agg(v, ';' ORDER BY id) FROM a;
SELECT FROM a; SELECT;
