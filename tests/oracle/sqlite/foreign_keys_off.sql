-- dbmigrate: foreign-keys=off
CREATE TABLE parent (id INTEGER PRIMARY KEY, old TEXT);
CREATE TABLE child (parent INT REFERENCES parent ON DELETE CASCADE);
INSERT INTO parent VALUES (1, 'a;'), (2, 'b'); INSERT INTO child VALUES (1), (2);
CREATE TABLE parent_new (id INTEGER PRIMARY KEY, new TEXT NOT NULL CHECK (new <> ';'));
INSERT INTO parent_new SELECT id, old || ';' FROM parent;
DROP TABLE parent;
ALTER TABLE parent_new RENAME TO parent;
