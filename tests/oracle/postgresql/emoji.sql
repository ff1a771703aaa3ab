CREATE TABLE "🐘" ("ключ;" text, 日本 text DEFAULT '本;', été int);
INSERT INTO "🐘" VALUES ('👩‍👩‍👧;', DEFAULT, 1), ('𝒳', $été$;$été$, 2), (E'\U0001F418', U&'\+01F418;', 3);
COMMENT ON TABLE "🐘" IS '👍🏽; ''𝄞''  separated';
CREATE FUNCTION 函数(ärger int) RETURNS text LANGUAGE sql AS $ß$ SELECT '♥;' || ärger $ß$;
UPDATE "🐘" SET 日本 = 函数(été);
