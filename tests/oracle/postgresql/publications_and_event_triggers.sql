CREATE TABLE t (a int PRIMARY KEY, b text); CREATE TABLE log (what text);
CREATE PUBLICATION "p;" FOR TABLE t (a, b) WHERE (a > 1) WITH (publish = 'insert, update');
CREATE FUNCTION watch() RETURNS event_trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO log SELECT tg_tag || ';' || object_identity FROM pg_event_trigger_ddl_commands();
END $$;
CREATE EVENT TRIGGER "e;" ON ddl_command_end WHEN TAG IN ('CREATE VIEW', 'CREATE AGGREGATE') EXECUTE FUNCTION watch();
CREATE VIEW v AS SELECT a FROM t; CREATE AGGREGATE many(text) (SFUNC = textcat, STYPE = text, INITCOND = ';');
ALTER EVENT TRIGGER "e;" DISABLE; CREATE VIEW unseen AS SELECT many(b) FROM t;
CREATE FOREIGN DATA WRAPPER nowhere; CREATE SERVER "s;" FOREIGN DATA WRAPPER nowhere OPTIONS (host 'it''s;', "port;" '1');
