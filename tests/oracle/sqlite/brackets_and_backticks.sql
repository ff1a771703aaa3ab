CREATE TABLE [a;b] ([it's "c"] INT, `d;``e` TEXT, "f;""g" TEXT DEFAULT "h;i", [j`k] DEFAULT 'l''m;');
INSERT INTO [a;b] ([it's "c"]) VALUES (1), (2); INSERT INTO `a;b` (`d;``e`, "f;""g") VALUES ('[n;', ']');
CREATE INDEX [i --] ON [a;b] ([it's "c"] DESC, `d;``e`) WHERE "f;""g" <> ';';
CREATE VIEW `v /*` AS SELECT [it's "c"] AS [--], `d;``e` AS `*/` FROM [a;b];
ALTER TABLE [a;b] RENAME COLUMN [j`k] TO "]"; UPDATE [a;b] SET "]" = "]" || ';';
