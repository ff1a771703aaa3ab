PRAGMA user_version = 7; PRAGMA application_id = 0x3B;
PRAGMA main.cache_size = -2000;
PRAGMA recursive_triggers = ON;
CREATE TABLE t (a); CREATE TRIGGER again AFTER INSERT ON t WHEN NEW.a < 3 BEGIN INSERT INTO t VALUES (NEW.a + 1); END;
INSERT INTO t VALUES (1); PRAGMA table_info("t"); ANALYZE; REINDEX; PRAGMA defer_foreign_keys = on;
