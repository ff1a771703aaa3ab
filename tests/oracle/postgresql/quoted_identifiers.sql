CREATE SCHEMA "a;b";
CREATE TABLE "a;b"."t""; --" ("co;l""umn" int PRIMARY KEY, "/* no */" text, "$$" int, "'" text, " " text, "E'\" text);
INSERT INTO "a;b"."t""; --" VALUES (1, '"', 2, '''', ';', '\');
CREATE INDEX "i;" ON "a;b"."t""; --" ("$$", ("co;l""umn" + 1));
CREATE TABLE U&"d\0061t\+000061;" (U&"!003b" UESCAPE '!' int);
CREATE VIEW "Größe; ☃" AS SELECT "'" AS "ü;", "E'\" AS "select" FROM "a;b"."t""; --";
INSERT INTO "data;" VALUES (3);
CREATE TABLE bare AS SELECT 1 AS ";", 2 AS "a"";", 3 AS U&"\003b;", 4 AS "'", 5 AS "$$", 6 AS "--;", 7 AS "/*;", 8 AS "\";
