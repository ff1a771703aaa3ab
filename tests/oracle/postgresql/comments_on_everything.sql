CREATE SCHEMA s; CREATE TYPE s.mood AS ENUM ('a;', 'b''c'); CREATE DOMAIN s.d AS int CONSTRAINT positive CHECK (VALUE > 0);
CREATE TABLE s.t (id int CONSTRAINT pk PRIMARY KEY, m s.mood, d s.d);
CREATE VIEW s.v AS SELECT id FROM s.t; CREATE SEQUENCE s.q; CREATE INDEX i ON s.t (m);
CREATE FUNCTION s.f(int, text DEFAULT ';') RETURNS int LANGUAGE sql AS 'SELECT 1';
CREATE AGGREGATE s.total(int) (SFUNC = int4pl, STYPE = int, INITCOND = '0');
CREATE CAST (s.mood AS int) WITH INOUT AS ASSIGNMENT;
COMMENT ON SCHEMA s IS 'a "schema"; it''s';
COMMENT ON TYPE s.mood IS $$mood; '$$; COMMENT ON DOMAIN s.d IS E'do\'main;\n';
COMMENT ON CONSTRAINT positive ON DOMAIN s.d IS ';'; COMMENT ON CONSTRAINT pk ON s.t IS '''';
COMMENT ON TABLE s.t IS 'IS ''quoted''; "twice"'; COMMENT ON COLUMN s.t.m IS '-- no comment';
COMMENT ON VIEW s.v IS '/* neither */'; COMMENT ON SEQUENCE s.q IS U&'\003b'; COMMENT ON INDEX s.i IS 'i;'
  ' goes on';
COMMENT ON FUNCTION s.f(int, text) IS '$$;$$'; COMMENT ON AGGREGATE s.total(int) IS 'sum;';
COMMENT ON CAST (s.mood AS int) IS 'cast; ::';
COMMENT ON COLUMN s.t.d IS NULL;
INSERT INTO s.t VALUES (1, 'b''c', 2);
