CREATE TABLE t (j TEXT CHECK (json_valid(j)), d TEXT AS (j ->> '$."a;"'), e TEXT DEFAULT (date('2024-01-31', '+1 month')));
INSERT INTO t (j) VALUES ('{"a;": "it''s; \" here"}'), (json_object('a;', 1, ':x', '%s')), ('[1, {"b": ";"}]');
CREATE INDEX i ON t (j -> '$[1].b'); CREATE TABLE parts AS SELECT key, value FROM t, json_each(j) ORDER BY 1; UPDATE t SET e = strftime('%Y;%m', e);
