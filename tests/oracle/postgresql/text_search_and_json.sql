CREATE TABLE docs (id int, body jsonb, tags text[] DEFAULT '{"a;b","c''d"}', search tsvector
    GENERATED ALWAYS AS (to_tsvector('simple', coalesce(body ->> 'title', ';'))) STORED);
CREATE INDEX ON docs USING gin (search); CREATE INDEX ON docs ((body -> 'a' ->> 'b;')) WHERE body ? 'a';
CREATE TEXT SEARCH CONFIGURATION mine (COPY = pg_catalog.simple);
INSERT INTO docs (id, body) VALUES (1, '{"title": "it''s; a \"title\"", "a": {"b;": "\\"}}'), (2, jsonb_build_object('k;', ARRAY[1, 2], ':x', '%s'));
UPDATE docs SET body = jsonb_set(body, '{a,"b;"}', '":y"') WHERE body @@ '$.a."b;" == "\\"' AND jsonb_path_exists(body, '$.title ? (@ like_regex "^it.;$" flag "i" || @ != ";")');
