CREATE TABLE notes (id int PRIMARY KEY, owner name NOT NULL DEFAULT current_user, body text);
ALTER TABLE notes ENABLE ROW LEVEL SECURITY; ALTER TABLE notes FORCE ROW LEVEL SECURITY;
CREATE POLICY "own; only" ON notes AS PERMISSIVE FOR SELECT TO PUBLIC USING (owner = current_user OR body = 'it''s; public');
CREATE POLICY changing ON notes AS RESTRICTIVE FOR UPDATE USING (true) WITH CHECK (body <> ';' AND (id > 0));
CREATE POLICY entering ON notes FOR INSERT WITH CHECK (CASE WHEN id > 100 THEN false ELSE true END);
COMMENT ON POLICY changing ON notes IS 'restrictive; policy';
GRANT SELECT (id, body), UPDATE (body) ON notes TO PUBLIC;
INSERT INTO notes VALUES (1, DEFAULT, 'a;'), (2, 'somebody', 'b');
