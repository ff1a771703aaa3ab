CREATE TABLE people (id INTEGER PRIMARY KEY, name TEXT COLLATE NOCASE UNIQUE);
CREATE VIEW names (n) AS SELECT name FROM people ORDER BY 1;
CREATE TRIGGER enter INSTEAD OF INSERT ON names
BEGIN
    -- a comment; with END;
    INSERT OR IGNORE INTO people (name) VALUES (NEW.n); /* END; */
    INSERT INTO people (name) SELECT NEW.n || '; again' WHERE NOT EXISTS (SELECT 1 FROM people WHERE name = NEW.n || '; again');
END;
INSERT INTO names VALUES ('Ann'), ('ann'), ('bob;');
CREATE TRIGGER refuse BEFORE DELETE ON people BEGIN SELECT RAISE(IGNORE); END; DELETE FROM people;
