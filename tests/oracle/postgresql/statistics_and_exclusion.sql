CREATE TABLE bookings (room int4range, during tsrange, a int, b int,
    CONSTRAINT "no; overlap" EXCLUDE USING gist (during WITH &&, room WITH -|-) WHERE (NOT isempty(during)) DEFERRABLE INITIALLY DEFERRED);
CREATE STATISTICS "st;" (dependencies, ndistinct) ON a, b FROM bookings;
CREATE STATISTICS st2 ON (a + b), (CASE WHEN a > 0 THEN ';' END) FROM bookings;
COMMENT ON STATISTICS "st;" IS 'both; columns';
ALTER TABLE bookings ALTER COLUMN a SET STATISTICS 500, ADD CONSTRAINT later CHECK (a <> b) NOT VALID, ADD UNIQUE NULLS NOT DISTINCT (a, b);
CREATE INDEX ON bookings USING btree (a DESC NULLS LAST) INCLUDE (b) WITH (fillfactor = 70) WHERE b > 0;
INSERT INTO bookings VALUES ('[1,2)', '[2024-01-01 10:00, 2024-01-01 11:00)', 1, 2), ('empty', 'empty', 3, 4);
