CREATE TABLE shoes (id int PRIMARY KEY, name text);
CREATE TABLE log (what text, at int DEFAULT 0);
CREATE RULE watch AS ON UPDATE TO shoes DO ALSO (
    INSERT INTO log VALUES ('update; of ' || OLD.id);
    INSERT INTO log VALUES ('to (' || NEW.name || ');', 1);;
    UPDATE log SET at = at + 1 WHERE at > 0
);
CREATE VIEW names AS SELECT name FROM shoes;
CREATE OR REPLACE RULE entering AS ON INSERT TO names DO INSTEAD
    (INSERT INTO shoes VALUES ((SELECT coalesce(max(id), 0) + 1 FROM shoes), NEW.name););
CREATE RULE protect AS ON DELETE TO shoes WHERE OLD.id = 1 DO INSTEAD NOTHING;
INSERT INTO names VALUES ('boot;'); INSERT INTO names VALUES ('(');
UPDATE shoes SET name = 'clog' WHERE id = 1;
DELETE FROM shoes;
COMMENT ON RULE watch ON shoes IS 'watches; (both)';
