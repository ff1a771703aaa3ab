CREATE TABLE sales (day date, amount numeric(8, 2));
INSERT INTO sales SELECT date '2024-01-01' + i, i * 1.5 FROM generate_series(0, 9) AS i;
CREATE MATERIALIZED VIEW totals AS
    WITH RECURSIVE t(n) AS (VALUES (1) UNION ALL SELECT n + 1 FROM t WHERE n < 3)
    SELECT n, sum(amount) FILTER (WHERE extract(day FROM day) > n) OVER_ FROM t, sales GROUP BY n WITH DATA;
CREATE MATERIALIZED VIEW empty_one AS SELECT ';'::text AS a WITH NO DATA;
CREATE UNIQUE INDEX ON totals (n);
INSERT INTO sales VALUES ('2025-01-31', 100);
REFRESH MATERIALIZED VIEW totals;
CREATE TABLE kept AS TABLE totals;
CREATE RECURSIVE VIEW public.nums (n) AS VALUES (1) UNION ALL SELECT n + 1 FROM nums WHERE n < 5;
CREATE VIEW checked WITH (security_barrier) AS SELECT * FROM sales WHERE amount > 0 WITH LOCAL CHECK OPTION;
