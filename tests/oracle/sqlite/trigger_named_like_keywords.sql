CREATE TABLE "begin" ("end" INT, [case] TEXT, `trigger` TEXT DEFAULT 'END;');
CREATE TRIGGER trigger_end AFTER INSERT ON "begin" BEGIN
    UPDATE "begin" SET [case] = 'BEGIN; ' || NEW."end" WHERE "end" = NEW."end";
END;
CREATE TRIGGER "commit" AFTER UPDATE ON "begin" WHEN NEW.[case] = 'x' BEGIN SELECT NEW."end" AS [end]; SELECT 2 AS `end`;END
;
CREATE TABLE create_trigger (a); INSERT INTO create_trigger SELECT 'CREATE TRIGGER;';
INSERT INTO "begin" ("end") VALUES (1), (2);
CREATE VIEW "transaction" AS SELECT "end" AS "end" FROM "begin"; INSERT INTO create_trigger SELECT "end" FROM "transaction";
