CREATE TYPE atomic AS (begin int, "end" int);
CREATE TABLE begin (begin int, atomic atomic, commit text DEFAULT 'COMMIT;');
CREATE FUNCTION begin(begin int) RETURNS int LANGUAGE sql AS 'SELECT begin';
CREATE VIEW commit AS SELECT begin AS begin, (atomic).begin AS atomic FROM begin;
INSERT INTO begin VALUES (begin(1), ROW(1, 2)); INSERT INTO begin SELECT 2, ROW(begin, atomic)::atomic FROM commit;
CREATE FUNCTION rollback() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN NEW.commit := ''ROLLBACK;''; RETURN NEW; END';
CREATE TRIGGER begin BEFORE UPDATE ON begin FOR EACH ROW WHEN (OLD.begin = 1) EXECUTE FUNCTION rollback();
UPDATE begin SET begin = begin;
